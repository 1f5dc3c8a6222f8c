package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"influxmirror/internal/mirror"
)

// print writes a result as JSON to stdout.
func (a *app) print(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

type integer interface {
	~int | ~int64 | ~uint64
}

// num writes n in groups of three digits.
func num[T integer](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	if uint64(n) > 1<<63-1 && n > 0 {
		s = strconv.FormatUint(uint64(n), 10)
	}
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return sign + b.String()
}

// count writes n things.
func count[T integer](n T, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return num(n) + " " + thing + "s"
}

// short writes n with two digits and a unit: 12 M.
func short(n uint64) string {
	f := float64(n)
	for _, unit := range []string{"", " k", " M", " G"} {
		if f < 999.5 || unit == " G" {
			if unit == "" || f >= 9.95 {
				return fmt.Sprintf("%.0f%s", f, unit)
			}
			return fmt.Sprintf("%.1f%s", f, unit)
		}
		f /= 1000
	}
	return ""
}

// span writes a duration with at most two units.
func span(d time.Duration) string {
	if d < 0 {
		return "-" + span(-d)
	}
	if d < time.Minute {
		return fmt.Sprintf("%d s", int(d.Round(time.Second)/time.Second))
	}
	type unit struct {
		d    time.Duration
		name string
	}
	units := []unit{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}}
	for i, u := range units {
		if d < u.d {
			continue
		}
		s := fmt.Sprintf("%d %s", d/u.d, u.name)
		if i+1 < len(units) && d/u.d < 10 {
			if n := d % u.d / units[i+1].d; n > 0 {
				s += fmt.Sprintf(" %d %s", n, units[i+1].name)
			}
		}
		return s
	}
	return "0 s"
}

// seconds writes a time to the second: 2026-11-22T14:00:00Z.
func seconds(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05Z") }

// day writes a date, "–" for none.
func day(ns int64) string {
	if ns == 0 {
		return "–"
	}
	return time.Unix(0, ns).UTC().Format(time.DateOnly)
}

// minutes writes a window of whole minutes without seconds.
func minutes(w mirror.Window) string {
	f := func(ns int64) string {
		t := time.Unix(0, ns).UTC()
		if t.Second() != 0 || t.Nanosecond() != 0 {
			return t.Format(time.RFC3339Nano)
		}
		return t.Format("2006-01-02T15:04Z")
	}
	return f(w.Start) + "/" + f(w.Stop)
}

// clean makes a name from a server safe to show: as it is, or quoted. No two names are shown alike.
func clean(s string) string {
	if !utf8.ValidString(s) || strings.HasPrefix(s, `"`) {
		return strconv.Quote(s)
	}
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// cleanAll joins names from a server.
func cleanAll(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = clean(n)
	}
	return strings.Join(out, ", ")
}
