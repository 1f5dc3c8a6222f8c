package e2e

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/plan"
)

// history writes old weeks of three types, 100 points each, and the last hour.
func history(s *scene, weeks int) (now int64) {
	now = time.Now().UnixNano()
	var points []string
	for w := range weeks {
		at := monday(now) - int64(w+2)*week
		for i := range 100 {
			points = append(points, point("old", []string{"h", strconv.Itoa(i % 4)}, []string{"v", fmt.Sprintf("%d.5", i), "s", text("as it was"), "b", "true"}, at+int64(i)*90*minute))
		}
	}
	for i := range 360 {
		points = append(points, point("live", nil, []string{"v", strconv.Itoa(i) + "i"}, now-int64(i)*10*int64(time.Second)))
	}
	load(s.src, s.bucket, points)
	return now
}

// Late, overwritten and future points are found and named, and nothing but the Cells they lie in is written.
func TestChanges(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	now := history(s, 60)
	s.start()
	s.settled()
	s.identical(always)
	s.quiet()

	// 1 000 points between the old ones in 50 weeks, 100 values overwritten in 10 others, 10 points in the future.
	var late, over, future []string
	for w := range 50 {
		at := monday(now) - int64(w+12)*week
		for i := range 20 {
			late = append(late, point("old", []string{"h", strconv.Itoa(i % 5)}, []string{"v", "77.25"}, at+int64(i)*7*hour+minute))
		}
	}
	for w := range 10 {
		at := monday(now) - int64(w+2)*week
		for i := range 10 {
			// The sum of each week stays as it was: one value up, the next one down.
			f := [][]string{{"v", fmt.Sprintf("%d.5", i+[]int{4, -4}[i/4%2])}, {"s", text("overwritten")}, {"b", "false"}}[i%3]
			over = append(over, point("old", []string{"h", strconv.Itoa(i % 4)}, f, at+int64(i)*90*minute))
		}
	}
	for i := range 10 {
		future = append(future, point("live", nil, []string{"v", strconv.Itoa(i) + "i"}, now+int64(i+1)*30*day))
	}
	before := written(t, s.dst, s.dstID)
	load(s.src, s.bucket, late)
	load(s.src, s.bucket, over)
	load(s.src, s.bucket, future)

	work, _, err := s.mirror.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The counters tell which groups were written to, so all three show at once.
	covers := func(measurement string, at int64, reasons ...plan.Reason) bool {
		for _, w := range work {
			if w.Chunk.Measurement == measurement && w.Chunk.Window.Contains(at) {
				for _, r := range reasons {
					if w.Reason == r {
						return true
					}
				}
			}
		}
		return false
	}
	for w := range 50 {
		if at := monday(now) - int64(w+12)*week + minute; !covers("old", at, plan.Late, plan.Gap, plan.Changed) {
			t.Errorf("the plan does not name the late points of week %d", w+12)
		}
	}
	for w := range 10 {
		if at := monday(now) - int64(w+2)*week; !covers("old", at, plan.Changed) {
			t.Errorf("the plan does not name the overwritten values of week %d", w+2)
		}
	}
	for i := range 10 {
		if !covers("live", now+int64(i+1)*30*day, plan.Future) {
			t.Errorf("the plan does not name future point %d", i)
		}
	}
	r := s.settled()
	if want := int64(len(late) + len(over) + len(future)); r.Written < want || r.Written > want+5 {
		t.Errorf("wrote %d lines for %d changed ones", r.Written, want)
	}
	if n := written(t, s.dst, s.dstID) - before; n != r.Written {
		t.Errorf("the target took %d points, the report says %d", n, r.Written)
	}
	s.identical(always)
	s.verdict("IDENTICAL")
	s.proofs(1)
	// The counters have not been still for long, so groups are read again, but nothing is sent.
	if r := s.settled(); r.Written != 0 {
		t.Errorf("the next pass wrote %d lines", r.Written)
	}
}

// An overwritten value is found by another process too, which has only the ledger.
func TestChangesWhileAway(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	now := history(s, 14)
	s.start()
	s.settled()
	s.stop()
	at := monday(now) - 7*week
	load(s.src, s.bucket, []string{
		point("old", []string{"h", "1"}, []string{"b", "false"}, at+90*minute),
		point("old", []string{"h", "2"}, []string{"s", text("overwritten")}, at+2*90*minute),
	})
	s.start()
	if r := s.settled(); r.Written != 2 {
		t.Errorf("wrote %d lines for 2 changed ones", r.Written)
	}
	s.identical(always)
}

// Two values swapped inside one Cell leave count, sum, first and last as they were; Verify names both, the next Pass repairs them.
func TestSwappedValues(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	now := history(s, 14)
	s.start()
	s.settled()
	at := monday(now) - 9*week
	a, b := at+91*minute, at+92*minute
	load(s.src, s.bucket, []string{point("swap", nil, []string{"v", "1"}, at+90*minute), point("swap", nil, []string{"v", "2.5"}, a), point("swap", nil, []string{"v", "7.5"}, b), point("swap", nil, []string{"v", "9"}, at+93*minute)})
	s.settled()
	s.verdict("IDENTICAL")
	load(s.dst, s.bucket, []string{point("swap", nil, []string{"v", "7.5"}, a), point("swap", nil, []string{"v", "2.5"}, b)})
	v := s.verdict("NOT IDENTICAL: 2 samples differ")
	want := []engine.Difference{{Measurement: "swap", Source: fmt.Sprintf("swap v=2.5 %d", a), Target: fmt.Sprintf("swap v=7.5 %d", a)},
		{Measurement: "swap", Source: fmt.Sprintf("swap v=7.5 %d", b), Target: fmt.Sprintf("swap v=2.5 %d", b)}}
	if fmt.Sprint(v.Differences) != fmt.Sprint(want) {
		t.Errorf("verify found %v, want %v", v.Differences, want)
	}
	if r := s.settled(); r.Written != 2 {
		t.Errorf("wrote %d lines for 2 swapped ones", r.Written)
	}
	s.identical(always)
	s.verdict("IDENTICAL")
	// The same again, and found without Verify: the target's own counter says that somebody wrote there.
	load(s.dst, s.bucket, []string{point("swap", nil, []string{"v", "7.5"}, a), point("swap", nil, []string{"v", "2.5"}, b)})
	s.settled()
	s.identical(always)
}

// What is missing on the target is sent again, what only the target has is kept, reported and sent nowhere.
func TestForeignTarget(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	now := history(s, 14)
	s.start()
	s.settled()
	at := monday(now) - 11*week
	from, to := time.Unix(0, at+10*hour).UTC().Format(time.RFC3339Nano), time.Unix(0, at+20*hour).UTC().Format(time.RFC3339Nano)
	if a, err := s.dst.Do("POST", "/api/v2/delete?org="+s.dst.Org+"&bucket="+s.dstID, fmt.Sprintf(`{"start":%q,"stop":%q}`, from, to), "Content-Type", "application/json"); err != nil || a.Status != 204 {
		t.Fatal(a.Status, string(a.Body), err)
	}
	load(s.dst, s.bucket, []string{point("old", []string{"h", "9"}, []string{"v", "1"}, at+30*hour), point("stranger", nil, []string{"v", "1i"}, at)})
	r := s.settled()
	if r.Written < 7 || r.Written > 7*3 {
		t.Errorf("wrote %d lines where seven of three fields were missing", r.Written)
	}
	if r.Totals.Extra == 0 { // what lies where the source has nothing is counted by verify alone
		t.Error("no extra samples in the report")
	}
	source, target := s.contents(always)
	if d := compare(source, target); len(d.Missing)+len(d.Different) > 0 || len(d.Extra) != 2 {
		d.Report(t, source, target)
	}
	s.verdict("COMPLETE, the target keeps 2 more")
	s.proofs(1)
	for range 2 {
		s.quiet()
	}
	s.verdict("COMPLETE, the target keeps 2 more")
}

// A lost ledger costs reading, not writing.
func TestLedgerDeleted(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	history(s, 14)
	s.start()
	first := s.settled()
	s.forget()
	r := s.settled()
	if r.Written > first.Written/1000 {
		t.Errorf("wrote %d lines although the target had everything", r.Written)
	}
	if r.Totals.Samples != first.Totals.Samples {
		t.Errorf("%d samples proven, %d before", r.Totals.Samples, first.Totals.Samples)
	}
	s.identical(always)
	s.proofs(1)
}
