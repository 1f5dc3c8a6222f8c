package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// exceptions lists what the ledger holds of the classes.
func (s *scene) exceptions(classes ...mirror.Class) (out []mirror.Exception) {
	s.t.Helper()
	p, err := s.ledger.Pair(s.t.Context(), s.pairKey)
	if err != nil {
		s.t.Fatal(err)
	}
	for x, err := range p.Exceptions(s.t.Context(), classes...) {
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, x.Exception)
	}
	return out
}

// What the target refuses is excepted with its reason, and costs neither its neighbours nor another try.
func TestTypeConflict(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	base := monday(time.Now().UnixNano()) - 8*week
	var points []string
	for i := range 500 {
		points = append(points, point("m", []string{"h", strconv.Itoa(i % 3)}, []string{"ok", "true", "v", strconv.Itoa(i) + "i", "w", "1.5"}, base+int64(i)*15*minute))
	}
	load(s.src, s.bucket, points)
	// In this one shard the target has floats, a number of them beside those of the source; and three fields conflict at once elsewhere.
	load(s.dst, s.bucket, []string{point("m", []string{"h", "x"}, []string{"v", "0.5"}, base+minute), point("m", []string{"h", "2"}, []string{"v", "0.25"}, base+30*minute)})
	load(s.src, s.bucket, []string{point("three", nil, []string{"a", "1i", "b", "2i", "c", "3i"}, base), point("three", nil, []string{"a", "4i", "b", "5i", "c", "6i", "d", "7i"}, base+1)})
	load(s.dst, s.bucket, []string{point("three", nil, []string{"a", "1", "b", "2", "c", text("3")}, base+2)})
	s.start()
	r := s.settled()
	if r.Totals.Excepted != 506 || r.Totals.Extra != 5 {
		t.Errorf("%d excepted, want 506; %d extra, want 5", r.Totals.Excepted, r.Totals.Extra)
	}
	var refused uint64
	for _, x := range s.exceptions(mirror.Refused) {
		refused += x.Samples.Count
		if !strings.Contains(x.Reason, "field type conflict") {
			t.Errorf("refused for %q", x.Reason)
		}
	}
	if refused != 506 {
		t.Errorf("%d samples listed as refused", refused)
	}
	source, target := s.contents(always)
	d := compare(source, target)
	// A different value is refused like a missing one.
	if len(d.Missing)+len(d.Different) != 506 || len(d.Extra) != 4 {
		d.Report(t, source, target)
	}
	for _, p := range append(d.Missing, d.Different...) {
		if p.Field != "v" && p.Measurement == "m" {
			t.Errorf("%v did not arrive although only v conflicts", p)
		}
	}
	before := written(t, s.dst, s.dstID)
	for range 2 {
		s.quiet()
	}
	s.start()
	s.quiet()
	v := s.verify()
	if n := v.Rows[engine.RefusedRow].Samples; n != 506 {
		t.Errorf("verify counts %d refused samples", n)
	}
	if n := v.Rows[engine.Different].Samples; n != 0 {
		t.Errorf("verify counts %d different samples: %v", n, v.Differences[:min(3, len(v.Differences))])
	}
	s.quiet()
	if n := written(t, s.dst, s.dstID) - before; n != 0 {
		t.Errorf("the target was sent %d points again", n)
	}
	s.proofs(1)
	// A neighbour arrives later all the same.
	load(s.src, s.bucket, []string{point("m", []string{"h", "0"}, []string{"w", "2.5", "v", "9i"}, base+3*minute)})
	s.settled()
	source, target = s.contents(always)
	if d := compare(source, target); len(d.Missing)+len(d.Different) != 507 {
		d.Report(t, source, target)
	}
	if r := s.settled(); r.Written != 0 {
		t.Errorf("the next pass wrote %d lines", r.Written)
	}
}

// One field has another type on each day of a week that the source cut by day. A target that cuts by week refuses all types but one,
// says which, and a target that cuts by day holds everything.
func TestMixedWeek(t *testing.T) {
	t.Parallel()
	for _, target := range []time.Duration{24 * time.Hour, 7 * 24 * time.Hour} {
		t.Run(fmt.Sprint(target), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, buckets{})
			w := newTorture()
			groupDuration(t, s.src, s.srcID, 24*time.Hour)
			load(s.src, s.bucket, w.ByDay(false))
			groupDuration(t, s.src, s.srcID, 7*24*time.Hour)
			groupDuration(t, s.dst, s.dstID, target)
			s.start()
			r := s.settled()
			if target == 24*time.Hour {
				s.identical(always)
				s.quiet()
				s.verdict("IDENTICAL")
				s.proofs(1)
				return
			}
			if r.Totals.Excepted != 400 {
				t.Errorf("%d excepted, want 400", r.Totals.Excepted)
			}
			source, target := s.contents(always)
			if d := compare(source, target); len(d.Missing) != 400 || len(d.Different)+len(d.Extra) != 0 {
				d.Report(t, source, target)
			}
			s.quiet()
			s.proofs(1)
			if v := s.verify(); v.Rows[engine.RefusedRow].Samples != 400 {
				t.Errorf("verify: %v", v.Rows)
			}
		})
	}
}
