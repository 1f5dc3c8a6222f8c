package sim

import (
	"strings"
	"testing"
	"time"

	"influxmirror/internal/engine"
)

// A restarted source that has not loaded all its shards shows less than was proven: that is waited for, an hour long and by a new process too,
// and nothing is forgotten or written. What is still gone then is extra on the target.
func TestShardsNotLoaded(t *testing.T) {
	for _, comes := range []bool{true, false} {
		direct(t, buckets{}, func(s *scene) {
			for i := range 5 {
				s.put("m v=%di %d", i, now()-int64(i)*int64(week)-int64(time.Hour))
			}
			s.sync()
			s.proven()
			time.Sleep(time.Minute)
			before := len(s.dst.Dump(bucket))
			s.src.Restart()
			load := s.src.UnloadBefore(bucket, now()-10*int64(24*time.Hour))
			for i := range 6 {
				time.Sleep(6 * time.Minute)
				r, err := s.try(engine.Goal{Insist: i%2 == 0})
				if err != nil {
					t.Fatal(err)
				}
				if r.Complete() || !strings.Contains(strings.Join(r.Errors, "\n"), "less than were proven") {
					t.Fatalf("pass %d takes hidden shards for a fact: %+v", i, r)
				}
				if r.Written != 0 || r.Totals.Samples != 5 || r.Totals.Extra != 0 {
					t.Errorf("pass %d: wrote %d, proven %d, extra %d", i, r.Written, r.Totals.Samples, r.Totals.Extra)
				}
				if i == 2 {
					s.stop()
					if err := s.start(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if comes {
				load()
				if r := s.sync(); !r.Complete() || r.Written != 0 {
					t.Errorf("after the shards came back: %+v", r)
				}
				s.proven()
				return
			}
			time.Sleep(time.Hour)
			r := s.sync()
			if !r.Complete() || r.Totals.Extra == 0 || r.Written != 0 {
				t.Errorf("an hour later: %+v", r)
			}
			if n := len(s.dst.Dump(bucket)); n != before {
				t.Errorf("the target holds %d samples, %d before", n, before)
			}
			load() // after all
			s.sync()
			s.proven()
		})
	}
}
