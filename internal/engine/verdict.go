package engine

import (
	"fmt"
	"time"

	"influxmirror/internal/mirror"
)

// Row is a line of Verify's table: what state Samples are in.
type Row string

// The rows, from best to worst; a window stands in the row of its worst state.
const (
	Identical  Row = "identical"
	BeforeRow  Row = "before since, not asked for"
	AfterRow   Row = "after until, not asked for"
	Filtered   Row = "excluded by filter"
	ExpiredRow Row = "too old for the target's retention"
	GoneRow    Row = "too old at the source, not copied"
	Kept       Row = "only on the target, kept here"
	Unwritable Row = "cannot be written in line protocol"
	RefusedRow Row = "refused by the target"
	OwnRow     Row = "another value at the target, kept there"
	OpenRow    Row = "still being written"
	NotChecked Row = "not checked"
	Different  Row = "DIFFERENT"
)

// Rows in the order they are shown.
var Rows = []Row{Identical, Different, OpenRow, Kept, ExpiredRow, GoneRow, OwnRow, RefusedRow, Unwritable, BeforeRow, AfterRow, Filtered, NotChecked}

var badness = []Row{Identical, BeforeRow, AfterRow, Filtered, ExpiredRow, GoneRow, Kept, OwnRow, Unwritable, RefusedRow, OpenRow, NotChecked, Different}

// Tally counts the windows and Samples of a Row.
type Tally struct {
	Windows int
	Samples uint64
	Note    string
	Places  []Place // the first 100 of the windows that were read now and are not identical
}

// Place is a window of one measurement.
type Place struct {
	Measurement string
	Window      mirror.Window
}

// Difference is one Sample that is not the same on both sides; the absent side is "".
type Difference struct {
	Measurement string
	Source      string // canonical line
	Target      string
}

// Verdict is what Verify found. Samples are counted over the union of both sides.
type Verdict struct {
	Mirror         string
	Date           int64
	Source, Target mirror.Probe
	Rows           map[Row]Tally
	Reread         uint64 // Samples read again now
	Oldest         int64  // AsOf of the oldest Proof that was relied on, 0 if everything was read again
	Union          uint64 // Samples on either side, counted apart from the rows
	Differences    []Difference
	Unreadable     map[string]string // measurements the server lists and refuses to read
	loading        bool              // the source was restarted lately, and may not show everything yet
	waited         time.Duration     // for the process that mirrors beside
}

// Sum adds up the rows.
func (v Verdict) Sum() (t Tally) {
	for _, r := range v.Rows {
		t.Windows += r.Windows
		t.Samples += r.Samples
	}
	return t
}

// AddsUp reports whether every Sample of the union stands in one row.
func (v Verdict) AddsUp() bool { return v.Sum().Samples == v.Union }

// Result says what the rows come to.
func (v Verdict) Result() (word string, code int) {
	n := func(r Row) uint64 { return v.Rows[r].Samples }
	switch {
	case !v.AddsUp():
		return "the table does not add up: this is a bug", 1
	case n(Different) == 1:
		return "NOT IDENTICAL: 1 sample differs", 4
	case n(Different) > 0:
		return fmt.Sprintf("NOT IDENTICAL: %s samples differ", grouped(n(Different))), 4
	case n(NotChecked) > 0 || len(v.Unreadable) > 0:
		return fmt.Sprintf("INCOMPLETE: %s samples not checked", grouped(n(NotChecked))), 3
	case n(OwnRow) > 0:
		return fmt.Sprintf("COMPLETE, the target keeps %s more and %s other values", grouped(n(Kept)-min(n(Kept), n(OwnRow))), grouped(n(OwnRow))), 0
	case n(Kept) > 0:
		return fmt.Sprintf("COMPLETE, the target keeps %s more", grouped(n(Kept))), 0
	}
	return "IDENTICAL", 0
}

// grouped writes n as the table does: 202 113.
func grouped(n uint64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s %03d", grouped(n/1000), n%1000)
}

// Bounds of what is listed.
const (
	maxDifferences = 1000
	maxPlaces      = 100 // of each Row
)
