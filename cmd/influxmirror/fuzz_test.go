package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
)

// FuzzWords: nothing that names of servers and files hold is obeyed by a terminal, moves a line, or makes two names one; what is printed by count and size says
// how much it is.
func FuzzWords(f *testing.F) {
	for _, s := range []string{"cpu", "a\x1b[2Jb", "\x9b31m", "\xff", "a\u202eb\u2066", "\u2028", "a\nb\r\n", `"a\nb"`, `\u001b`, "\u001b", "\U000e0001", "\ufeff", "\u00ad", "🛰\u200d", "", "\x00", `"`, `"x"`, "\ufffd", "é", "\u0301", "a b", " "} {
		f.Add(s, s+"x", int64(len(s)))
		f.Add(s, strconv.Quote(s), int64(-1)<<uint(len(s)))
	}
	f.Fuzz(func(t *testing.T, a, b string, n int64) {
		dark := func(s, more string) bool {
			return !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && !strings.ContainsRune(more, r) })
		}
		for _, s := range []string{clean(a), cleanAll([]string{a, b}), oneLine(a)} {
			if dark(s, "") {
				t.Fatalf("a terminal would obey %q, made of %q", s, a)
			}
		}
		if dark(visible(a), "\n") {
			t.Fatalf("a terminal would obey %q, made of %q", visible(a), a)
		}
		if a != b && clean(a) == clean(b) {
			t.Fatalf("%q and %q are shown as %q", a, b, clean(a))
		}
		if !dark(a, "\n") && visible(a) != a || visible(visible(a)) != visible(a) {
			t.Fatalf("%q is shown as %q", a, visible(a))
		}

		// A stream in parts, JSON, and the log.
		var out bytes.Buffer
		g := guard(&out)
		if n, err := g.Write([]byte(a)); err != nil || n != len(a) || out.String() != visible(a) {
			t.Fatalf("%q is written as %q, %d %v", a, out.String(), n, err)
		}
		out.Reset()
		if err := (&app{out: guard(&out)}).print(map[string]string{"name": a}); err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["name"] != strings.ToValidUTF8(a, "\ufffd") && utf8.ValidString(a) || dark(out.String(), "\n") {
			t.Fatalf("%q is printed as %s: %q, %v", a, out.Bytes(), back, err)
		}
		out.Reset()
		slog.New(visibleLog{slog.NewTextHandler(&out, nil)}).With("with", a).Error(a, "text", b, "err", errors.New(a))
		if strings.Count(out.String(), "\n") != 1 || dark(out.String(), "\n") {
			t.Fatalf("%q is logged as %q", a, out.String())
		}
		checkAction(t, a)
		checkNumbers(t, n)
	})
}

// checkAction: a line of the action log is one line of line protocol that says what was to be said.
func checkAction(t *testing.T, text string) {
	l := newActionLog(nil, nil)
	l.add(levelInfo, "%s", text)
	d := lineprotocol.NewDecoderWithBytes([]byte(l.lines[0].text))
	n := 0
	for d.Next() {
		n++
		m, err := d.Measurement()
		if err != nil || string(m) != "Logs" {
			t.Fatalf("%q: %q, %v", l.lines[0].text, m, err)
		}
		if k, v, err := d.NextTag(); err != nil || string(k) != "LOG_LEVEL" || string(v) != levelInfo {
			t.Fatalf("%q: %q=%q, %v", l.lines[0].text, k, v, err)
		}
		k, v, err := d.NextField()
		want := visible(strings.NewReplacer("\n", " ", "\r", " ").Replace(text))
		if err != nil || string(k) != "Message" || v.StringV() != want {
			t.Fatalf("%q: %q is %q, want %q, %v", l.lines[0].text, k, v.StringV(), want, err)
		}
		if k, _, err := d.NextField(); err != nil || k != nil {
			t.Fatalf("%q: also %q, %v", l.lines[0].text, k, err)
		}
		if at, err := d.Time(lineprotocol.Nanosecond, time.Time{}); err != nil || at.UnixNano() != l.lines[0].at {
			t.Fatalf("%q: %v, %v", l.lines[0].text, at, err)
		}
	}
	if n != 1 {
		t.Fatalf("%q is %d lines", l.lines[0].text, n)
	}
}

func checkNumbers(t *testing.T, n int64) {
	if got, err := strconv.ParseInt(strings.ReplaceAll(num(n), " ", ""), 10, 64); err != nil || got != n {
		t.Fatalf("%d is written %q", n, num(n))
	}
	if got, err := strconv.ParseUint(strings.ReplaceAll(num(uint64(n)), " ", ""), 10, 64); err != nil || got != uint64(n) {
		t.Fatalf("%d is written %q", uint64(n), num(uint64(n)))
	}
	for i, part := range strings.Split(strings.TrimPrefix(num(n), "-"), " ") {
		if i > 0 && len(part) != 3 || len(part) == 0 || len(part) > 3 {
			t.Fatalf("%d is written %q", n, num(n))
		}
	}
	text, unit, _ := strings.Cut(short(uint64(n)), " ")
	scale := map[string]float64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[unit]
	if x, err := strconv.ParseFloat(text, 64); err != nil || x*scale < float64(uint64(n))*0.94 || x*scale > float64(uint64(n))*1.06 {
		t.Fatalf("%d is shortened to %q", uint64(n), short(uint64(n)))
	}
	// A span has units of falling size, and leaves out less than a tenth.
	d, sum, last := time.Duration(n), time.Duration(0), time.Duration(1<<62)
	text = strings.TrimPrefix(span(d), "-")
	words := strings.Fields(text)
	for i := 0; i+1 < len(words); i += 2 {
		x, err := strconv.ParseInt(words[i], 10, 64)
		one := map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "min": time.Minute, "s": time.Second}[words[i+1]]
		if err != nil || one == 0 || one >= last {
			t.Fatalf("%v is written %q", d, span(d))
		}
		sum, last = sum+time.Duration(x)*one, one
	}
	if whole := d.Abs(); whole > 0 && len(words) > 4 || len(words)%2 != 0 || sum > whole+time.Second/2 || float64(whole-sum) > float64(whole)/10+float64(time.Second) {
		t.Fatalf("%v is written %q", d, span(d))
	}
}
