package sim

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/mirror"
)

// C1: the local clock and those of both servers move ten years apart, both ways and each by itself, in the middle of a history and between two
// starts. What is proven is so at any time, and everything arrives.
func TestClocksTenYearsApart(t *testing.T) {
	const years = 10 * 365 * day
	steps := [][2]time.Duration{{0, 0}, {years, years}, {0, 0}, {-years, -years}, {years, 0}, {0, years}, {-years, years}, {years, -years}, {0, 0}}
	for name, restart := range map[string]bool{"in one run": false, "between two starts": true} {
		t.Run(name, func(t *testing.T) {
			var ahead [2]atomic.Int64
			clock := func(i int) func() time.Time {
				return func() time.Time { return time.Now().Add(time.Duration(ahead[i].Load())) }
			}
			direct(t, buckets{src: influxtest.Options{Now: clock(0)}, dst: influxtest.Options{Now: clock(1)}}, func(s *scene) {
				honest := func(when string) {
					lies, err := s.lies(s.t.Context(), mirror.MinTime)
					if err != nil {
						t.Fatal(err)
					}
					for _, l := range lies {
						t.Errorf("%s: %s", when, l)
					}
				}
				for i, step := range steps {
					when := fmt.Sprint("step ", i, ": ", step)
					for k := range step {
						ahead[k].Store(int64(step[k]))
					}
					if restart && i > 0 {
						s.again()
					}
					at := clock(0)().UnixNano()
					for j := range 5 {
						s.put("m v=%di %d\nm v=%di %d\nold v=%d %d", i, at-int64(j)*int64(time.Second), j, at-int64(j)*int64(time.Hour), 100*i+j, now()-int64(40*day)+int64(j))
					}
					s.run(1, 10*time.Second)
					honest(when)
					s.put("m v=%di %d", 1000+i, clock(0)().UnixNano())
					s.run(6, time.Minute)
					honest(when)
					s.equal()
				}
				s.sync()
				s.run(4, time.Minute)
				s.proven()
			})
		})
	}
}
