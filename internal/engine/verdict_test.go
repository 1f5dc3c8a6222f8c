package engine

import "testing"

// What the rows come to, from worst to best, and what it is called.
func TestResult(t *testing.T) {
	rows := map[Row]Tally{}
	for _, c := range []struct {
		row     Row
		samples uint64
		code    int
		word    string
	}{
		{OpenRow, 5, 0, "IDENTICAL"},
		{ExpiredRow, 5, 0, "IDENTICAL"},
		{Kept, 1_202_013, 0, "COMPLETE, the target keeps 1 202 013 more"},
		{OwnRow, 13, 0, "COMPLETE, the target keeps 1 202 000 more and 13 other values"},
		{NotChecked, 1000, 3, "INCOMPLETE: 1 000 samples not checked"},
		{Different, 1, 4, "NOT IDENTICAL: 1 sample differs"},
		{Different, 999_999, 4, "NOT IDENTICAL: 999 999 samples differ"},
	} {
		rows[c.row] = Tally{Windows: 1, Samples: c.samples}
		v := Verdict{Rows: rows}
		v.Union = v.Sum().Samples
		if word, code := v.Result(); word != c.word || code != c.code {
			t.Errorf("%q, %d; want %q, %d", word, code, c.word, c.code)
		}
		if v.Union++; v.AddsUp() {
			t.Error("a sample that stands in no row adds up")
		}
		if word, code := v.Result(); code != 1 {
			t.Errorf("%q, %d", word, code)
		}
	}
}
