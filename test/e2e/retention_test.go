package e2e

import (
	"strconv"
	"testing"
	"time"

	"influxmirror/internal/engine"
)

// Retention on one side settles, and stays settled while live data comes and Cells expire and close: nothing is sent twice, and nothing
// is claimed of what one side does not keep.
func TestRetention(t *testing.T) {
	t.Parallel()
	const month = 30 * 24 * time.Hour
	for _, c := range []struct {
		name string
		buckets
	}{{"at the source", buckets{sourceRetention: month, group: 24 * time.Hour}}, {"at the target", buckets{targetRetention: month, group: 24 * time.Hour}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, c.buckets)
			now := time.Now()
			edge := now.Add(-month).UnixNano()
			var points []string
			sent := map[int64]bool{}
			add := func(at int64) {
				if !sent[at] {
					sent[at] = true
					points = append(points, point("m", []string{"k", "v"}, []string{"v", strconv.FormatInt(at%1000, 10) + "i"}, at))
				}
			}
			if c.targetRetention > 0 {
				for i := range 100 { // long gone at the target
					add(edge - 40*day - int64(i)*hour)
				}
				for i := range 60 {
					add(edge - int64(i)*minute)
				}
			}
			for i := range 60 * 6 { // dense around the edge, every ten seconds of an hour: some expire during the test
				add(edge + 5*int64(time.Second) + int64(i)*10*int64(time.Second))
			}
			for i := range 200 {
				add(now.UnixNano() - int64(i)*3*hour - 2*hour)
			}
			load(s.src, s.bucket, points)
			s.start()
			s.settled()
			taken := written(t, s.dst, s.dstID)
			if taken > int64(len(sent)) {
				t.Errorf("%d points were sent for %d", taken, len(sent))
			}
			s.settledBut(edge, c.targetRetention > 0)
			// Live writes, until a minute and a half have closed two Cells at the tail and moved the edge of the retention twice.
			live := 0
			lateAt := edge + 20*minute + 1
			for time.Since(now) < 80*time.Second {
				at := time.Now().UnixNano()
				load(s.src, s.bucket, []string{point("live", nil, []string{"v", strconv.Itoa(live) + "i"}, at)})
				live++
				r := s.pass()
				if len(r.Errors) > 0 {
					t.Errorf("errors %v", r.Errors)
				}
				pause(4 * time.Second)
			}
			n := written(t, s.dst, s.dstID) - taken
			t.Logf("%d live points, %d points sent", live, n)
			if n > int64(live)*2 {
				t.Errorf("%d points were sent for %d live ones", n, live)
			}
			// A late point just before it expires still arrives.
			load(s.src, s.bucket, []string{point("m", []string{"k", "late"}, []string{"v", "1i"}, lateAt)})
			s.pass()
			if _, target := s.contents(span{First: lateAt, Last: lateAt}); len(target) != 1 {
				t.Error("a late point shortly before its retention ends did not arrive")
			}
			s.settledBut(edge, c.targetRetention > 0)
		})
	}
}

// pause lets time pass that belongs to the scene: the tail closes by the servers' clocks.
func pause(d time.Duration) { <-time.After(d) }

// settledBut is Verify where samples may be too old for one side.
func (s *scene) settledBut(edge int64, atTarget bool) {
	s.t.Helper()
	v := s.verify()
	word, code := v.Result()
	if code != 0 || v.Rows[engine.Different].Samples != 0 {
		s.t.Errorf("verify says %q: %v %v", word, v.Rows, v.Differences[:min(3, len(v.Differences))])
	}
	row := engine.GoneRow
	if atTarget {
		row = engine.ExpiredRow
	}
	if v.Rows[row].Samples == 0 {
		s.t.Errorf("no samples %s", row)
	}
	// Well behind both edges everything is the same.
	within := span{First: edge + 10*minute, Last: time.Now().Add(-2 * time.Minute).UnixNano()}
	source, target := s.contents(within)
	compare(source, target).Report(s.t, source, target)
}
