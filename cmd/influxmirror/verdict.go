package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// verdictDoc is verify's report as JSON.
type verdictDoc struct {
	Mirror      string            `json:"mirror"`
	Exit        int               `json:"exit"`
	Full        bool              `json:"full"`
	Error       string            `json:"error,omitempty"`
	Result      string            `json:"result,omitempty"`
	Damaged     []damageDoc       `json:"damaged,omitempty"`
	Time        string            `json:"time,omitempty"` // by the source's clock
	Made        string            `json:"made,omitempty"` // by the local one, to the nanosecond
	Source      *endDoc           `json:"source,omitempty"`
	Target      *endDoc           `json:"target,omitempty"`
	Rows        map[string]rowDoc `json:"rows,omitempty"`
	Sum         uint64            `json:"sum"`
	Union       uint64            `json:"union"`
	AddsUp      bool              `json:"adds_up"`
	Reread      uint64            `json:"samples_reread"`
	OldestProof string            `json:"oldest_proof,omitempty"`
	Differences []differenceDoc   `json:"differences,omitempty"`
	Extra       []extraDoc        `json:"extra,omitempty"`
	Unreadable  map[string]string `json:"unreadable,omitempty"`
}

type endDoc struct {
	Product  string `json:"product"`
	Version  string `json:"version"`
	URL      string `json:"url"` // of the config, without secrets
	Bucket   string `json:"bucket"`
	BucketID string `json:"bucket_id"`
}

type rowDoc struct {
	Windows int        `json:"windows"`
	Samples uint64     `json:"samples"`
	Note    string     `json:"note,omitempty"`
	Places  []placeDoc `json:"places,omitempty"`
}

// placeDoc is a window that was read and is not identical.
type placeDoc struct {
	Measurement string `json:"measurement"`
	Start       string `json:"start"`
	Stop        string `json:"stop"`
}

type differenceDoc struct {
	Measurement string `json:"measurement"`
	Source      string `json:"source"`
	Target      string `json:"target"`
}

func document(v engine.Verdict, m *config.Mirror, word string, code int, explain bool, extra []extraDoc) verdictDoc {
	end := func(p mirror.Probe, r config.Ref) *endDoc {
		return &endDoc{p.Product, p.Version, r.Endpoint.Address(), p.Bucket, p.BucketID}
	}
	d := verdictDoc{Mirror: v.Mirror, Exit: code, Result: word, Time: seconds(v.Date), Source: end(v.Source, m.From), Target: end(v.Target, m.To), Rows: map[string]rowDoc{},
		Sum: v.Sum().Samples, Union: v.Union, AddsUp: v.AddsUp(), Reread: v.Reread, Extra: extra, Unreadable: v.Unreadable}
	for _, r := range engine.Rows {
		t := v.Rows[r]
		row := rowDoc{Windows: t.Windows, Samples: t.Samples, Note: t.Note}
		for _, p := range t.Places {
			if explain {
				row.Places = append(row.Places, placeDoc{p.Measurement, mirror.FormatTime(p.Window.Start), mirror.FormatTime(p.Window.Stop)})
			}
		}
		d.Rows[string(r)] = row
	}
	if v.Oldest != 0 {
		d.OldestProof = seconds(v.Oldest)
	}
	if explain {
		for _, x := range v.Differences {
			d.Differences = append(d.Differences, differenceDoc(x))
		}
	}
	return d
}

// showVerdict prints the report of one mirror.
func (s *site) showVerdict(v engine.Verdict, word string, code int, m *config.Mirror) {
	w := s.out
	fmt.Fprintf(w, "%-50s %s\n", "verify "+clean(m.Name), time.Unix(0, v.Date).UTC().Format("2006-01-02 15:04:05Z"))
	source, target := m.From.Endpoint.Address(), m.To.Endpoint.Address()
	width := max(len(source), len(target))
	for _, e := range []struct {
		side, url string
		p         mirror.Probe
	}{{"source", source, v.Source}, {"target", target, v.Target}} {
		id := "" // 1.x knows none
		if e.p.BucketID != "" {
			id = " (" + abbreviated(e.p.BucketID) + ")"
		}
		fmt.Fprintf(w, "  %s  %s  %-*s  bucket %s%s\n", e.side, product(e.p), width, e.url, clean(e.p.Bucket), id)
	}
	label := 0
	for _, r := range engine.Rows {
		label = max(label, len(r))
	}
	fmt.Fprintf(w, "  %-*s %10s  %16s  %12s  %13s\n", label, "", "windows", "samples", "re-read now", "oldest proof")
	shown := 0
	for _, r := range engine.Rows {
		t := v.Rows[r]
		windows, tail := num(t.Windows), ""
		switch {
		case (r == engine.OwnRow || r == engine.AfterRow) && t.Samples == 0: // only where a recovery left it, or --until asks for less
			continue
		case r == engine.BeforeRow || r == engine.AfterRow || r == engine.Filtered:
			windows = "–"
		case r == engine.Identical:
			tail = fmt.Sprintf("  %12s  %13s", short(v.Reread), oldest(v))
		case r == engine.Different && len(t.Places) > 0:
			tail = "   " + where(t.Places[0])
		case t.Samples > 0 && t.Note != "":
			tail = "   " + clean(t.Note)
		}
		if windows != "–" {
			shown += t.Windows
		}
		fmt.Fprintf(w, "  %-*s %10s  %16s%s\n", label, r, windows, num(t.Samples), tail)
	}
	sum, adds := v.Sum(), "adds up"
	if !v.AddsUp() {
		adds = fmt.Sprintf("DOES NOT ADD UP: both sides hold %s", num(v.Union))
	}
	fmt.Fprintf(w, "  %-*s %10s  %16s   %s\n", label, "sum", num(shown), num(sum.Samples), adds)
	for _, n := range slices.Sorted(maps.Keys(v.Unreadable)) {
		fmt.Fprintf(w, "  the source lists measurement %s and refuses to read it: %s\n", clean(n), clean(v.Unreadable[n]))
	}
	fmt.Fprintf(w, "RESULT  %s.   exit %d\n", word, code)
	switch code {
	case exitDifferent, exitIncomplete:
		fmt.Fprintf(w, "next    influxmirror sync %s\n", pasted(m))
	}
}

// oldest is the date of the oldest proof that was relied on.
func oldest(v engine.Verdict) string {
	if v.Oldest == 0 && v.Reread > 0 {
		return "now"
	}
	return day(v.Oldest)
}

// abbreviated is the beginning of an id.
func abbreviated(id string) string {
	if len(id) > 4 {
		return id[:4] + "…"
	}
	return id
}

// where names a place: cpu 2026-11-22T14:00Z/15:00Z.
func where(p engine.Place) string {
	start, stop, _ := strings.Cut(minutes(p.Window), "/")
	date, _, _ := strings.Cut(start, "T")
	return clean(p.Measurement) + " " + start + "/" + strings.TrimPrefix(stop, date+"T")
}

func (s *site) showDifferences(v engine.Verdict) {
	for _, d := range v.Differences {
		fmt.Fprintf(s.out, "  source  %s\n  target  %s\n", orNone(d.Source), orNone(d.Target))
	}
	if n := v.Rows[engine.Different].Samples; n > uint64(len(v.Differences)) {
		fmt.Fprintf(s.out, "  … and %s\n", count(n-uint64(len(v.Differences)), "more sample"))
	}
}

func (s *site) showExtra(v engine.Verdict, extra []extraDoc) {
	if len(extra) == 0 {
		fmt.Fprintln(s.out, "extra   none is enumerated")
		if v.Rows[engine.Kept].Samples > 0 {
			fmt.Fprintln(s.out, "        what was found just now is enumerated by the next sync")
		}
		return
	}
	for _, x := range extra {
		fmt.Fprintf(s.out, "extra   %s %s %s of type %s, %s, such as %s\n", minutes(x.window), clean(x.Measurement), clean(x.Field), x.Type, count(x.Samples, "sample"), clean(x.Example))
	}
}

func orNone(line string) string {
	if line == "" {
		return "(none)"
	}
	return clean(line)
}

// product names what an end runs on.
func product(p mirror.Probe) string {
	if strings.HasPrefix(p.Product, "InfluxDB") {
		return "InfluxDB " + p.Version
	}
	return p.Product + " " + p.Version
}
