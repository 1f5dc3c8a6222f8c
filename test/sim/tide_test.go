package sim

import (
	"context"
	"net"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
)

// tide makes the link of one side up for the first up of every cycle: connections are broken when it goes down, and none comes about until it is up.
func (s *scene) tide(side int, up, cycle time.Duration) {
	began := time.Now()
	s.wrap[side] = func(c net.Conn) net.Conn {
		left := up - time.Since(began)%cycle
		if left <= 0 {
			c.Close()
			return nil
		}
		time.AfterFunc(left, func() { c.Close() })
		return c
	}
}

// TestUpNowAndThen: the service gets on whenever a link is up, be it three seconds of sixty, and begins nothing anew (N22).
func TestUpNowAndThen(t *testing.T) {
	const total = 6000
	for side, name := range []string{"source", "target"} {
		t.Run(name, func(t *testing.T) {
			direct(t, buckets{}, func(s *scene) {
				for i := range total {
					s.put("deep,h=%d v=%di %d", i%3, i, now()-int64(week)-int64(i)*int64(12*time.Hour))
				}
				far := s.src
				if side == 1 {
					far = s.dst
				}
				defer far.Fault(nil, influxtest.Delay(60*time.Millisecond)).Remove()
				began := time.Now()
				s.tide(side, 3*time.Second, time.Minute)
				ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Hour)
				defer cancel()
				had, cycles, idle, longest, done := 0, 0, 0, 0, false
				s.mirror.Observe = func(e engine.Event) {
					if e.Kind != "pass" {
						return
					}
					s.t.Logf("%v: done %d left %d written %d, then %v: %v", time.Since(began), e.Report.Done, e.Report.Left, e.Report.Written, e.Pause, e.Err)
					if done = e.Err == nil && e.Report.Complete(); done {
						cancel()
					}
				}
				ended := make(chan struct{})
				go func() { // at the end of each minute
					defer close(ended)
					for {
						select {
						case <-ctx.Done():
							return
						case <-time.After(time.Minute):
						}
						n := len(s.dst.Dump(bucket))
						if cycles++; n == had && n < total {
							idle++
							longest = max(longest, idle)
						} else {
							idle = 0
						}
						had = n
					}
				}()
				if err := s.mirror.Run(ctx); err != nil {
					t.Fatal(err)
				}
				cancel()
				<-ended
				t.Logf("%v, %d cycles, at most %d one after the other without anything new", time.Since(began), cycles, longest)
				if !done {
					t.Fatalf("not done after %v: %d of %d samples", time.Since(began), had, total)
				}
				if longest > 1 || cycles < 2 {
					t.Errorf("%d times in a row the link was up for nothing; it was up %d times", longest, cycles)
				}
				s.proven()
			})
		})
	}
}
