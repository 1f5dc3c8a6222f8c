package sim

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// TestBodiesOfNothing: write counters have no last line that shows their end, so the transport has to: an answer that is cut, or packed and
// empty, is no answer, and nobody takes it for the news that nothing was written (L3, N7).
func TestBodiesOfNothing(t *testing.T) {
	for name, fault := range map[string]influxtest.Fault{
		"cut": influxtest.CutAfter(1), "half of it": influxtest.CutAfter(400), "no end marked": influxtest.EndByClose(-1),
		"packed, and empty": influxtest.Rewrite(func(status int, h http.Header, _ []byte) (int, []byte) {
			h.Set("Content-Encoding", "gzip")
			return status, nil
		}),
	} {
		for _, side := range []string{"source", "target"} {
			t.Run(name+", "+side, func(t *testing.T) {
				direct(t, buckets{}, func(s *scene) {
					s.put("m v=1i %d", now()-int64(time.Hour))
					s.sync()
					s.run(6, time.Minute)
					s.put("m v=2i %d", now()-int64(40*time.Minute))
					end := s.src
					if side == "target" {
						end = s.dst
					}
					f := end.Fault(influxtest.Path("/metrics"), fault)
					_, err := s.try(engine.Goal{})
					if k := mirror.KindOf(err); k == "" {
						t.Errorf("it was taken: %v", err)
					}
					f.Remove()
					if f.Fired() == 0 {
						t.Error("void: the fault never fired")
					}
					s.run(2, time.Minute)
					s.proven()
				})
			})
		}
	}
}

// TestRowLimit: a server of 1.x with a limit of rows cuts answers that are not asked for in parts; nothing is lost for that (S6).
func TestRowLimit(t *testing.T) {
	direct(t, buckets{src: influxtest.Options{Version: influxtest.V1, MaxRows: 20}, dst: influxtest.Options{Version: influxtest.V1, MaxRows: 20}}, func(s *scene) {
		for i := range 100 {
			s.put("m,h=%d v=%di %d\nm%d v=1i %d", i%3, i, now()-int64(i+1)*int64(5*time.Hour), i, now()-int64(time.Hour))
		}
		if r := s.sync(); !r.Complete() {
			t.Errorf("it is not complete: %v", r.Errors)
		}
		s.proven()
	})
}

// TestLostSurvey: a survey that a proxy put together again without some of its counts is asked for again, and in the end an error: what it does not
// show is not taken for gone (L3, L4).
func TestLostSurvey(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		for i := range 5 {
			s.put("m v=%di %d", i, now()-int64(i)*int64(2*week)-int64(time.Hour))
		}
		s.sync()
		time.Sleep(25 * time.Hour)
		s.put("m v=9i %d", now()-int64(12*week))
		// The statement of the steps loses all its rows.
		f := s.src.Fault(func(r *http.Request) bool {
			return strings.Contains(r.Form.Get("q"), "GROUP BY time(") && strings.HasPrefix(r.Form.Get("q"), "SELECT")
		},
			influxtest.Rewrite(func(status int, h http.Header, body []byte) (int, []byte) {
				var out []byte
				for _, d := range documents(h, body) {
					if !manyRows(d) {
						out = append(out, d...)
					}
				}
				return status, out
			}))
		r, err := s.try(engine.Goal{Insist: true})
		if f.Fired() == 0 {
			t.Fatal("void: the fault never fired")
		}
		if err == nil && (r.Complete() || r.Totals.Extra > 0) {
			t.Errorf("the survey was taken: complete %t, %d extra", r.Complete(), r.Totals.Extra)
		}
		f.Remove()
		s.sync()
		s.proven()
	})
}

// manyRows reports whether a document of an answer has several rows.
func manyRows(d []byte) bool {
	_, rows, ok := bytes.Cut(d, []byte("values"))
	return ok && len(rows) > 1 && rows[0] > 0x91
}
