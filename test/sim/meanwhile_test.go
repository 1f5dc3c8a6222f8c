package sim

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// TestVerifySeesBesideARefusal: a sample that went missing does not hide behind one that is refused, whatever the target's shards.
func TestVerifySeesBesideARefusal(t *testing.T) {
	for _, group := range []time.Duration{week, time.Hour} {
		t.Run(group.String(), func(t *testing.T) {
			direct(t, buckets{dstGroup: group}, func(s *scene) {
				start := weeks.Group(now() - 3*int64(week)).Start
				s.dst.Write(bucket, fmt.Sprintf("m v=\"text\" %d", start+1))
				for i := range 20 {
					s.put("m v=%di,w=%di %d", i, i, start+int64(i)*int64(7*time.Minute)+2)
				}
				s.sync()
				v, err := s.mirror.Verify(s.t.Context(), true)
				if err != nil {
					t.Fatal(err)
				}
				refused := v.Rows[engine.RefusedRow].Samples
				if refused == 0 || v.Rows[engine.Different].Samples > 0 || !v.AddsUp() {
					t.Fatalf("%+v", v.Rows)
				}
				s.dst.Delete(bucket, "m", start+int64(2*time.Hour), start+int64(3*time.Hour))
				gone := 0
				for i := range 20 {
					if i*7 >= 120 {
						gone++
					}
				}
				if v, err = s.mirror.Verify(s.t.Context(), true); err != nil {
					t.Fatal(err)
				}
				want := gone // w, and v where it was not refused
				if group == time.Hour {
					want = 2 * gone
				}
				if n := v.Rows[engine.Different].Samples; n != uint64(want) || !v.AddsUp() {
					t.Errorf("%d samples differ, want %d: %+v", n, want, v.Rows)
				}
			})
		})
	}
}

// TestWritesBetweenStatements: who writes while a Chunk is read makes it live; nothing is proven that was not so at the end of the Pass.
func TestWritesBetweenStatements(t *testing.T) {
	wrote := 0
	story := func(t *testing.T, side, held string, statement, read int) {
		var at int64
		var s *scene
		left := read
		hook := func(r *http.Request, n int) {
			if s == nil || left < 0 || n != statement || !reads(r, "m") {
				return
			}
			if left--; left >= 0 {
				return
			}
			wrote++
			end := s.src
			if side == "target" {
				end = s.dst
			}
			end.Write(bucket, fmt.Sprintf("m,h=new v=7i %d", at+5))
		}
		b := buckets{}
		if side == "source" {
			b.src.Between = hook
		} else {
			b.dst.Between = hook
		}
		direct(t, b, func(w *scene) {
			at = now() - int64(24*time.Hour)
			for i := range 4 {
				w.put("m,h=%d v=%di %d", i, i, at)
				switch held {
				case "the same", "more":
					w.dst.Write(bucket, fmt.Sprintf("m,h=%d v=%di %d", i, i, at))
				case "another value":
					w.dst.Write(bucket, fmt.Sprintf("m,h=%d v=%di %d", i, i+1, at))
				}
			}
			if held == "more" {
				w.dst.Write(bucket, fmt.Sprintf("m,h=more v=1i %d", at))
			}
			s = w
			s.sync()
			lies, err := s.lies(s.t.Context(), mirror.MinTime)
			if err != nil || len(lies) > 0 {
				s.t.Errorf("%v, %v", lies, err)
			}
			s.sync()
			s.proven()
		})
	}
	for _, side := range []string{"source", "target"} {
		for _, held := range []string{"nothing", "the same", "more", "another value"} {
			for statement := range 3 {
				for read := range 3 {
					t.Run(fmt.Sprintf("%s, target holds %s, after statement %d of read %d", side, held, statement, read), func(t *testing.T) { story(t, side, held, statement, read) })
				}
			}
		}
	}
	if wrote < 30 {
		t.Errorf("void: somebody wrote %d times", wrote)
	}
}

// TestAnotherHandBehindTheWrite: a value that is another one on the target right after it was acknowledged is found by the read-back.
func TestAnotherHandBehindTheWrite(t *testing.T) {
	for _, held := range []int{0, 3, 10} {
		t.Run(fmt.Sprint(held), func(t *testing.T) {
			direct(t, buckets{}, func(s *scene) {
				at := now() - int64(24*time.Hour)
				for i := range 10 {
					s.put("m,h=%d v=%di %d", i, i, at)
					if i < held {
						s.dst.Write(bucket, fmt.Sprintf("m,h=%d v=%di %d", i, i+7, at))
					}
				}
				f := s.dst.Fault(influxtest.Writes, influxtest.Rewrite(func(status int, _ http.Header, body []byte) (int, []byte) {
					s.dst.Write(bucket, fmt.Sprintf("m,h=1 v=99i %d", at))
					return status, body
				})).Times(1)
				for range 3 {
					s.sync()
					lies, err := s.lies(s.t.Context(), mirror.MinTime)
					if err != nil || len(lies) > 0 {
						t.Errorf("%v, %v", lies, err)
					}
				}
				if f.Fired() == 0 {
					t.Error("void")
				}
				s.proven()
			})
		})
	}
}

// TestLostParts: an answer that lacks a series, or its end, is no answer, wherever it is lost.
func TestLostParts(t *testing.T) {
	for name, lose := range map[string]func(*world, int, http.Header, []byte) (int, []byte){"a part": (*world).losePart, "the end": (*world).loseEnd} {
		for _, side := range []string{"source", "target", "both"} {
			for _, held := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s at the %s, target holds some %t", name, side, held), func(t *testing.T) {
					direct(t, buckets{}, func(s *scene) {
						at := now() - int64(24*time.Hour)
						for i := range 5 {
							for j := range 300 { // so many values a series are read series by series
								s.put("m,h=%d v=%di %d", i, j, at+int64(j)*int64(time.Second))
							}
						}
						if held {
							for _, x := range s.src.Dump(bucket)[:900] {
								m := sample(x)
								s.dst.Write(bucket, string(lineproto.AppendLine(nil, &m)))
							}
						}
						fault := influxtest.Rewrite(func(status int, h http.Header, body []byte) (int, []byte) { return lose(s.world, status, h, body) })
						fired := 0
						read := func(r *http.Request) bool { return reads(r, "m") && s.draw(2) == 0 }
						for i := range 12 {
							if i > 0 { // all of it is read again
								s.put("m,h=%d v=%di %d", i%5, -i, at)
							}
							var faults []*influxtest.Injected
							if side != "target" {
								faults = append(faults, s.src.Fault(read, fault).Times(1+s.rnd.IntN(8)))
							}
							if side != "source" {
								faults = append(faults, s.dst.Fault(read, fault).Times(1+s.rnd.IntN(8)))
							}
							began := now()
							_, _ = s.try(engine.Goal{Insist: true})
							for _, f := range faults {
								fired += f.Fired()
								f.Remove()
							}
							if s.pair == nil {
								continue
							}
							time.Sleep(2 * time.Second)
							lies, err := s.lies(s.t.Context(), began)
							if err != nil || len(lies) > 0 {
								t.Errorf("%v, %v", lies, err)
								return
							}
						}
						if fired < 12 {
							t.Errorf("void: %d faults fired", fired)
						}
						s.sync()
						s.proven()
					})
				})
			}
		}
	}
}

// TestOverwrittenDuringAPass: what is overwritten right behind the first read of it is found by the next Pass: the counters that count are
// those from before the read.
func TestOverwrittenDuringAPass(t *testing.T) {
	var s *scene
	var at int64
	wrote := false
	hook := func(r *http.Request, n int) {
		if s != nil && !wrote && n == 3 && reads(r, "m") {
			wrote = true
			s.put("m v=\"b\" %d", at)
		}
	}
	direct(t, buckets{src: influxtest.Options{Between: hook}}, func(w *scene) {
		at = now() - int64(60*24*time.Hour)
		w.put("m v=\"a\" %d", at)
		s = w
		s.run(1, time.Minute)
		if !wrote {
			t.Fatal("void: nobody wrote")
		}
		s.run(2, time.Minute)
		s.proven()
	})
}
