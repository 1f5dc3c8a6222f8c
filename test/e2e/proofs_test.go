package e2e

import (
	"context"
	"slices"

	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
	"influxmirror/test/oracle"
)

// recorded reads every Proof in the state directory, beside a process that may be using it.
func (s *scene) recorded() (out []recorded) {
	s.t.Helper()
	l := s.ledger
	if l == nil {
		var err error
		if l, err = ledger.OpenReader(s.dir); err != nil {
			s.t.Fatal(err)
		}
		defer l.Close()
	}
	ctx := context.Background()
	pairs, err := l.Pairs(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, info := range pairs {
		p, err := l.Pair(ctx, info.Key)
		if err != nil {
			s.t.Fatal(err)
		}
		sums, err := p.Summaries(ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, sum := range sums {
			g, err := p.Group(ctx, sum.Measurement, sum.Window)
			if err != nil {
				s.t.Fatal(err)
			}
			for _, proof := range g.Proofs {
				out = append(out, recorded{sum.Measurement, proof})
			}
		}
	}
	if n := l.Dropped(); n > 0 {
		s.t.Errorf("%d rows of the ledger were damaged", n)
	}
	return out
}

type recorded struct {
	measurement string
	mirror.Proof
}

// How many Proofs proofs must find.
const (
	proofsMayBeMissing = 0
	proofsFound        = 1
)

// proofs re-reads both buckets and fails for every Proof that is not true: nobody wrote to the source since it was made.
func (s *scene) proofs(atLeast int) int {
	s.t.Helper()
	return s.proofsSince(axisStart, atLeast)
}

// proofsSince is proofs of those made after an instant, since which nobody wrote.
func (s *scene) proofsSince(since int64, atLeast int) int {
	s.t.Helper()
	list := slices.DeleteFunc(s.recorded(), func(r recorded) bool { return r.AsOf < since }) // first: what is proven after this is not judged
	if len(list) < atLeast {
		s.t.Fatalf("%d proofs in the ledger", len(list))
	}
	if len(list) == 0 {
		return 0
	}
	source, target := s.contents(always)
	src, dst := oracle.SumsOf(source), oracle.SumsOf(target)
	wrong := 0
	for _, p := range list {
		f := mirror.Fingerprint(src.In(p.measurement, p.Window.Start, p.Window.Stop))
		g := mirror.Fingerprint(dst.In(p.measurement, p.Window.Start, p.Window.Stop))
		if f == p.Source && g == p.Target && p.Holds() {
			continue
		}
		if wrong++; wrong <= 5 {
			s.t.Errorf("proof of %q %v says %v and %v (excepted %v, extra %v); it is %v and %v", p.measurement, p.Window, p.Source, p.Target, p.Excepted, p.Extra, f, g)
		}
	}
	if wrong > 0 {
		s.t.Errorf("%d of %d proofs are not true", wrong, len(list))
	}
	return len(list)
}
