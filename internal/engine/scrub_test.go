package engine

import (
	"testing"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// What may be scrubbed grows with time, up to the most that a Pass takes, and what was taken too much is owed.
func TestScrubAllowance(t *testing.T) {
	const day = 24 * 3600 * second
	s := &scrubber{side: mirror.TargetSide, period: 30 * day, total: 3e6}
	now := 1_700_000_000 * second
	s.may.At = now
	s.grow(now+day, scrubSlice)
	if want := 3e6 / 22.5; s.may.Owed != -int64(scrubSlice) || s.may.Samples < want-1 || s.may.Samples > want+1 {
		t.Errorf("after a day: %+v", s.may)
	}
	s.may.Owed, s.may.Samples = 10*second, -100
	s.grow(now+day+100*second, scrubSlice)
	if s.may.Owed != 8*second {
		t.Errorf("100 s later 2 s are paid back: %+v", s.may)
	}
	for _, c := range []struct {
		owed    int64
		samples float64
		age     int64
		want    bool
	}{
		{-1, 1, 2 * day, false}, {-1, 1, 3 * day, true}, {-1, 0, 26 * day, false}, {-1, -1e6, 27 * day, true}, {0, 1, 29 * day, false},
		{-1, 0, -day, true}, // dated by a clock that was wrong
	} {
		s.may = allotment{Owed: c.owed, Samples: c.samples}
		if got := s.due(now-c.age, now); got != c.want {
			t.Errorf("%+v: %t", c, got)
		}
	}
}

// The Proofs of a group that are read together are about as old as the oldest that both sides keep.
func TestScrubOld(t *testing.T) {
	const day = 24 * 3600 * second
	s := &scrubber{side: mirror.SourceSide, period: 40 * day}
	now := 1_700_000_000 * second
	g := mirror.Group{}
	for i, age := range []int64{39, 30, 25, 3, 12, -9} {
		g.Proofs = append(g.Proofs, mirror.Proof{Window: mirror.Window{Start: int64(i) * day, Stop: int64(i+1) * day}, AsOf: now - age*day})
	}
	p := plan.NewPolicy(mirror.NewGrid(7*day), now, 0)
	for floor, want := range map[int64]int{0: 3, day: 2, 3 * day: 1} { // 39 and 30 days, and what the clock says nothing of
		p.SourceFloor = floor
		if got, oldest := s.old(g, p, now); len(got) != want || s.age(oldest, now) != s.period {
			t.Errorf("from %d on: %d proofs, the oldest %d days", floor/day, len(got), (now-oldest)/day)
		}
	}
	g.Proofs = g.Proofs[:5]
	for floor, want := range map[int64]int{0: 2, day: 2, 2 * day: 1, 3 * day: 1} {
		p.SourceFloor = floor
		if got, _ := s.old(g, p, now); len(got) != want {
			t.Errorf("from %d on: %d proofs", floor/day, len(got))
		}
	}
}
