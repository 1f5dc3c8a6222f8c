package sim

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
)

// only makes the next process a Mirror of some measurements.
func (s *scene) only(measurements ...string) {
	s.t.Helper()
	s.settings.Digest = fmt.Sprint(measurements)
	s.settings.Wants = func(m string) bool {
		for _, want := range measurements {
			if m == want {
				return true
			}
		}
		return false
	}
	s.stop()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// TestSharedPair: two Mirrors share one pair of buckets. What one of them has seen hides nothing from the other, nor from the same one under Settings
// that it had before (D3).
func TestSharedPair(t *testing.T) {
	for name, again := range map[string][]string{"another mirror": {"door"}, "the same mirror, wide again": {"cpu", "door"}} {
		t.Run(name, func(t *testing.T) {
			direct(t, buckets{}, func(s *scene) {
				at := now() - 3*int64(week)
				s.put("cpu v=1 %d", at)
				s.put(`door v=1,s="a" %d`, at)
				s.only("cpu")
				s.sync()
				s.only(again...)
				s.sync()
				time.Sleep(time.Hour)
				s.put(`door v=2,s="b" %d`, at)
				s.only("cpu")
				for range 3 { // until the counter is at rest
					s.sync()
					time.Sleep(time.Minute)
				}
				s.only(again...)
				s.sync()
				s.proven()
				time.Sleep(time.Minute)
				s.sync()
				s.only(again...)
				if r, err := s.try(engine.Goal{}); err != nil || r.Samples > 0 {
					t.Errorf("%d samples are read again: %v", r.Samples, err)
				}
			})
		})
	}
}

// TestVerifyWhileWritten: somebody writes to old data while verify reads it. What differs there besides is found all the same.
func TestVerifyWhileWritten(t *testing.T) {
	writing, n := false, 0
	var src *influxtest.Server
	var late int64
	b := buckets{src: influxtest.Options{Between: func(r *http.Request, _ int) {
		if n++; writing && reads(r, "m") {
			src.Write(bucket, fmt.Sprintf("m v=1i %d\n", late+int64(n)))
		}
	}}}
	direct(t, b, func(s *scene) {
		src = s.src
		late = now() - int64(2*day)
		for i := range 20 {
			s.put("m v=%di %d", i, now()-int64(i)*int64(time.Hour)-int64(day))
		}
		s.sync()
		s.dst.Write(bucket, fmt.Sprintf("m v=99i %d\n", now()-int64(day)))
		writing = true
		v, err := s.mirror.Verify(s.t.Context(), true)
		writing = false
		if err != nil {
			t.Fatal(err)
		}
		word, code := v.Result()
		t.Log(word, code, v.Rows)
		if code == 0 {
			t.Errorf("%s, and a sample differs: %v", word, v.Rows)
		}
	})
}

// TestLostLists: where a part of a list of measurements or fields is lost, fewer samples are counted than there are. That is no answer (N6).
func TestLostLists(t *testing.T) {
	for _, list := range []string{"SHOW MEASUREMENTS", "SHOW FIELD KEYS"} {
		for side := range 2 {
			t.Run(fmt.Sprintf("%s of server %d", list, side), func(t *testing.T) {
				direct(t, buckets{}, func(s *scene) {
					at := now() - 10*int64(week)
					for _, m := range []string{"a", "m", "z"} {
						s.put("%s v=1i %d", m, at)
						s.put("%s v=true %d", m, at+3*int64(week))
					}
					server, _ := s.side(side)
					lost := 0
					f := server.Fault(func(r *http.Request) bool { return strings.Contains(r.Form.Get("q"), list) }, influxtest.Rewrite(func(status int, h http.Header, body []byte) (int, []byte) {
						all := documents(h, body)
						for i := range all {
							if bytes.Contains(all[i], []byte("boolean")) || len(all) == 2 && i == 0 {
								lost++
								return status, bytes.Join(slices.Delete(all, i, i+1), nil)
							}
						}
						return status, body
					})).Times(2)
					for range 3 {
						if r, err := s.try(engine.Goal{Insist: true}); err == nil && r.Complete() && len(s.missing()) > 0 {
							t.Errorf("the pass says that it is complete, and is not: %v", s.missing())
						}
					}
					if f.Fired() == 0 || list == "SHOW FIELD KEYS" && side == 0 && lost == 0 {
						t.Errorf("void: fired %d, lost %d", f.Fired(), lost)
					}
					f.Remove()
					s.sync()
					s.proven()
				})
			})
		}
	}
}
