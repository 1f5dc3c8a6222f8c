package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// Bounds of the reports of verify that are kept.
const (
	keptReports = 20  // of each mirror
	keptWords   = 200 // bytes of what a server said, in a report
	keptList    = 20  // files that are damaged, measurements that cannot be read
)

// reportsNote is where the reports of verify are kept with a mirror's proofs, the newest first.
func reportsNote(name string) string { return "verify " + name }

// leftReports are those of a verify beside the process that has the lock: they lie beside the ledger.
type leftReports struct {
	Pair    string // key
	Reports []verdictDoc
}

// file keeps a report of verify, and lets go of all but the newest. It is kept even after a signal.
func (w *wired) file(ctx context.Context, d verdictDoc) error {
	pair, name := w.memory.pair, reportsNote(w.cfg.Name)
	if pair == nil {
		return errors.New("nothing is remembered of this mirror yet")
	}
	ctx = context.WithoutCancel(ctx)
	if w.site.lock == nil {
		left, err := w.site.left(name, pair)
		if err != nil {
			return err
		}
		return ledger.SetBeside(w.site.dir, name, leftReports{pair.Key(), newest(left, d.bounded())})
	}
	var all []verdictDoc
	if _, err := pair.State(ctx, name, &all); err != nil {
		return err
	}
	return pair.SetState(ctx, name, newest(all, d.bounded()))
}

// left returns what a verify left beside the ledger, of this pair.
func (s *site) left(name string, pair *ledger.Pair) ([]verdictDoc, error) {
	var left leftReports
	if _, err := ledger.Beside(s.dir, name, &left); err != nil || left.Pair != pair.Key() {
		return nil, err
	}
	return left.Reports, nil
}

// reports returns the reports that are kept of a mirror, the newest first.
func (s *site) reports(ctx context.Context, name string) (all []verdictDoc, err error) {
	pair, err := s.pairOf(ctx, name)
	if err != nil || pair == nil {
		return nil, err
	}
	if _, err := pair.State(ctx, reportsNote(name), &all); err != nil {
		return nil, err
	}
	left, err := s.left(reportsNote(name), pair)
	return newest(all, left...), err
}

// newest joins reports, the newest first, and keeps as many as are kept.
func newest(all []verdictDoc, more ...verdictDoc) []verdictDoc {
	out := slices.Concat(more, all)
	slices.SortStableFunc(out, func(a, b verdictDoc) int { return strings.Compare(b.Made, a.Made) })
	return out[:min(len(out), keptReports)]
}

// bounded is the report as it is kept: the whole table, without the samples, and no longer than it has to be.
func (d verdictDoc) bounded() verdictDoc {
	d.Differences, d.Extra = nil, nil
	rows := map[string]rowDoc{}
	for name, r := range d.Rows {
		r.Note, r.Places = clipped(r.Note), nil
		rows[name] = r
	}
	d.Rows = rows
	d.Damaged = slices.Clone(d.Damaged[:min(len(d.Damaged), keptList)])
	for i := range d.Damaged {
		d.Damaged[i].File, d.Damaged[i].Reason, d.Damaged[i].Measurement = clipped(d.Damaged[i].File), clipped(d.Damaged[i].Reason), clipped(d.Damaged[i].Measurement)
	}
	unreadable := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(d.Unreadable))[:min(len(d.Unreadable), keptList)] {
		unreadable[clipped(name)] = clipped(d.Unreadable[name])
	}
	d.Unreadable = unreadable
	return d
}

func clipped(s string) string {
	if len(s) > keptWords {
		return strings.ToValidUTF8(s[:keptWords], "") + "…"
	}
	return s
}

// sentence is a kept report in a line: IDENTICAL, 918 000 118 samples, 12 M re-read.
func (d verdictDoc) sentence() string {
	at := d.Time
	if t, err := time.Parse(time.RFC3339, d.Time); err == nil {
		at = t.UTC().Format("2006-01-02 15:04Z")
	}
	return fmt.Sprintf("verified %s: %s, %s, %s re-read", at, d.Result, count(d.Sum, "sample"), short(d.Reread))
}

// rowFields are the integer fields of a report's point in the log bucket, beside result, exit, full, sum, reread and oldest_proof_timestamp_seconds.
var rowFields = map[engine.Row]string{
	engine.Identical: "identical", engine.Different: "different", engine.OpenRow: "still_written", engine.Kept: "kept", engine.ExpiredRow: "expired",
	engine.GoneRow: "gone", engine.OwnRow: "own_value", engine.RefusedRow: "refused", engine.Unwritable: "unwritable", engine.BeforeRow: "before_since",
	engine.AfterRow: "after_until", engine.Filtered: "filtered", engine.NotChecked: "not_checked",
}

// verifyPoint is a report as one point of measurement verify, at the report's time. "" if the mirror's name fits into no tag.
func verifyPoint(name string, v engine.Verdict, d verdictDoc) string {
	tags := []mirror.Tag{{Key: "mirror", Value: strings.TrimRight(oneLine(name), `\`)}}
	if tags[0].Value == "" || lineproto.UnwritableSeries("verify", tags) != "" {
		return ""
	}
	fields := []string{}
	integer := func(name string, n int64) { fields = append(fields, fmt.Sprintf("%s=%di", name, n)) }
	integer("exit", int64(d.Exit))
	fields = append(fields, fmt.Sprintf("full=%t", d.Full))
	integer("sum", int64(d.Sum))
	integer("reread", int64(d.Reread))
	if v.Oldest != 0 {
		integer("oldest_proof_timestamp_seconds", v.Oldest/int64(time.Second))
	}
	for _, r := range engine.Rows {
		integer(rowFields[r], int64(v.Rows[r].Samples))
	}
	line := append(lineproto.AppendKey(nil, "verify", tags), " result="...)
	line = lineproto.AppendQuoted(line, []byte(oneLine(d.Result)))
	return fmt.Sprintf("%s,%s %d\n", line, strings.Join(fields, ","), v.Date)
}
