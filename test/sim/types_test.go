package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTypesByShard: a field has one type a shard, and another one in the next; where the duration of shard groups was changed, one group of now
// holds several of then. Every sample arrives with its own type (D5, D22).
func TestTypesByShard(t *testing.T) {
	const day = 24 * time.Hour
	direct(t, buckets{srcGroup: day, dstGroup: day}, func(s *scene) {
		first := weeks.Group(now() - 3*int64(week)).Start
		for i := range 14 {
			at := first + int64(i)*int64(day) + int64(time.Hour)
			s.put("m,h=a v=%s %d\nm,h=b v=%s %d", []string{"1i", "2.5", `"x"`, "true"}[i%4], at, []string{"-1i", "7", `"y"`, "false"}[i%4], at+1)
		}
		s.src.UpdateBucket(bucket, 0, week)
		s.sync()
		s.sync()
		s.proven()
	})
}

// TestRefusedFieldBesideOthers: the target refuses one field of each line; the others of the line arrive, and so do the neighbours (L12, T1).
func TestRefusedFieldBesideOthers(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		start := weeks.Group(now() - 3*int64(week)).Start
		s.dst.Write(bucket, fmt.Sprintf("m v=\"text\" %d", start+1))
		for i := range 40 {
			s.put("m v=%di,w=%di,a=%d %d\nn v=%di %d", i, i, i, start+int64(i)*int64(7*time.Minute)+2, i, start+int64(i)*int64(time.Minute))
		}
		s.sync()
		if r := s.sync(); !r.Complete() {
			t.Errorf("it is not complete: %+v", r)
		}
		var m []string
		for _, line := range s.missing() {
			if !strings.HasPrefix(line, "m v=") {
				m = append(m, line)
			}
		}
		if len(m) > 0 {
			t.Errorf("%d samples are missing beside those that are refused, first %q", len(m), m[0])
		}
	})
}
