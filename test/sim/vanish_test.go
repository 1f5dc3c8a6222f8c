package sim

import (
	"net/http"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
)

// TestLargeWritesVanish: something on the way loses every write of more than a KiB, or of more than one point, without a word. Bodies shrink until they
// come through, each Pass brings something, and nothing is claimed that is not so; when the way is mended, the next history goes in large ones again (N11).
func TestLargeWritesVanish(t *testing.T) {
	const point = len("deep,h=0 s=\"a text\",v=1000i 1600000000000000000\n")
	for name, most := range map[string]int64{"a KiB": 1024, "one point": int64(point)} {
		t.Run(name, func(t *testing.T) {
			direct(t, buckets{}, func(s *scene) {
				n := 3000
				if most < 1024 {
					n = 300
				}
				base := now() - int64(10*week)
				for i := range n {
					s.put("deep,h=%d s=\"a text\",v=%di %d", i%3, 1000+i, base+int64(i)*int64(10*time.Minute))
				}
				var writes, largest int64
				large := s.dst.Fault(func(r *http.Request) bool {
					if !influxtest.Writes(r) {
						return false
					}
					writes++
					largest = max(largest, r.ContentLength)
					return r.ContentLength > most
				}, influxtest.Stall(0))
				began, passes, stored := time.Now(), 0, 0
				for done := false; !done; passes++ {
					if passes == 20 {
						t.Fatalf("not done after %d passes and %v; %d of %d samples are there", passes, time.Since(began), stored, 2*n)
					}
					r, err := s.try(engine.Goal{Insist: true})
					done = err == nil && r.Complete()
					had := stored
					if stored = len(s.dst.Dump(bucket)); stored == had && passes > 1 && !done {
						t.Errorf("pass %d brought nothing", passes)
					}
					s.proven()
					time.Sleep(10 * time.Second)
				}
				t.Logf("%v, %d passes, %d writes, %d of them vanished", time.Since(began), passes, writes, large.Fired())
				if large.Fired() < 2 || large.Fired() > 20 {
					t.Errorf("%d writes vanished", large.Fired())
				}
				if took := time.Since(began); took > 30*time.Minute {
					t.Errorf("it took %v", took)
				}
				large.Remove()
				time.Sleep(2 * time.Hour)
				for i := range n {
					s.put("later,h=%d s=\"a text\",v=%di %d", i%3, 1000+i, base+int64(i)*int64(10*time.Minute))
				}
				s.sync()
				writes = 0
				for i := range n {
					s.put("last,h=%d s=\"a text\",v=%di %d", i%3, 1000+i, base+int64(i)*int64(10*time.Minute))
				}
				count := s.dst.Fault(func(r *http.Request) bool {
					if influxtest.Writes(r) {
						writes++
					}
					return false
				}, influxtest.Refuse())
				s.sync()
				count.Remove()
				if writes == 0 || writes > 10 {
					t.Errorf("%d writes for a history that fits into a few", writes)
				}
				s.proven()
			})
		})
	}
}
