package oracle

import (
	"cmp"
	"slices"
	"testing"
)

// Diff is what two ends do not share, each by time.
type Diff struct{ Missing, Different, Extra []Place }

// None reports whether there is no difference.
func (d Diff) None() bool { return len(d.Missing)+len(d.Different)+len(d.Extra) == 0 }

// Compare holds every sample of the target against the source's: Missing are only at the source, Extra only on the target.
func Compare(source, target Contents) (d Diff) {
	for p, v := range source {
		switch w, ok := target[p]; {
		case !ok:
			d.Missing = append(d.Missing, p)
		case v != w:
			d.Different = append(d.Different, p)
		}
	}
	for p := range target {
		if _, ok := source[p]; !ok {
			d.Extra = append(d.Extra, p)
		}
	}
	for _, l := range [][]Place{d.Missing, d.Different, d.Extra} {
		slices.SortFunc(l, func(a, b Place) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Measurement, b.Measurement), cmp.Compare(a.Tags, b.Tags), cmp.Compare(a.Field, b.Field))
		})
	}
	return d
}

// Report fails the test with the first differences, if there are any.
func (d Diff) Report(t testing.TB, source, target Contents) {
	t.Helper()
	for _, l := range []struct {
		what string
		list []Place
	}{{"missing", d.Missing}, {"different", d.Different}, {"only on the target", d.Extra}} {
		if len(l.list) > 0 {
			t.Errorf("%d samples %s", len(l.list), l.what)
		}
		for _, p := range l.list[:min(10, len(l.list))] {
			t.Errorf("  %v: %s at the source, %s at the target", p, ShowValue(source[p]), ShowValue(target[p]))
		}
	}
}
