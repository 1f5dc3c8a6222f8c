package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// alarms collects what is to be said in the action log, of this process.
func (s *scene) alarms(into *[]string) {
	s.mirror.Observe = func(e engine.Event) {
		if e.Kind == "alarm" {
			*into = append(*into, e.Err.Error())
		}
	}
}

// TestGoneIsSaidOnce: what a source does not hold any more is said once, by however many processes: behind a restart when an hour has gone by for its
// shards to load, else at once. The target keeps it, and verify counts it there (S3, L4, D20).
func TestGoneIsSaidOnce(t *testing.T) {
	for _, restart := range []bool{true, false} {
		t.Run(fmt.Sprintf("restarted %t", restart), func(t *testing.T) {
			direct(t, buckets{}, func(s *scene) {
				s.fill(12, 10)
				s.sync()
				s.run(3, time.Minute)
				var said []string
				s.alarms(&said)
				if restart {
					s.src.Restart()
				}
				s.src.Delete(bucket, "m1", mirror.MinTime, now()-8*int64(week))
				began := time.Now()
				for pass := range 12 {
					time.Sleep(10 * time.Minute)
					if _, err := s.try(engine.Goal{Insist: pass%2 == 0}); err != nil {
						t.Fatal(err)
					}
					if pass == 3 || pass == 8 {
						s.again()
						s.alarms(&said)
					}
					if restart && time.Since(began) < time.Hour && len(said) > 0 {
						t.Errorf("after %s: %q", time.Since(began), said)
					}
				}
				if len(said) != 1 || !strings.Contains(said[0], "fewer than were proven, in 1 shard groups") || !strings.Contains(said[0], "the target keeps them") {
					t.Errorf("said: %q", said)
				}
				v, err := s.mirror.Verify(s.t.Context(), false)
				gone := len(s.dst.Dump(bucket)) - len(s.src.Dump(bucket))
				if word, code := v.Result(); err != nil || gone == 0 || v.Rows[engine.Kept].Samples != uint64(gone) || code != 0 {
					t.Errorf("%d are gone; verify: %s, %v, %v", gone, word, v.Rows, err)
				}
			})
		})
	}
}

// TestVerifyDoubtsARestartedTarget: a table made before any Pass noticed the restart does not believe what the target acknowledged last; what it finds lost is
// repaired by the next.
func TestVerifyDoubtsARestartedTarget(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		s.fill(30, 20)
		s.sync()
		time.Sleep(3 * day)
		s.run(3, time.Minute)
		lose := s.overwriteOld()
		lose()
		v, err := s.mirror.Verify(s.t.Context(), false)
		if err != nil || v.Rows[engine.Different].Samples != 1 || !v.AddsUp() {
			t.Errorf("%v, %v", v.Rows, err)
		}
		if v.Reread > 100 {
			t.Errorf("%d samples of the source were read again for one group in doubt", v.Reread)
		}
		s.run(3, time.Minute)
		s.proven()
	})
}
