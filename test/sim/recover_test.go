package sim

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// recovering is a story that begins with a mirrored source.
func recovering(t *testing.T, b buckets, story func(*turning, *scene)) {
	direct(t, b, func(s *scene) {
		w := &turning{world: s.world, prefer: mirror.TargetSide}
		if err := w.turn(false); err != nil {
			s.t.Fatal(err)
		}
		story(w, s)
	})
}

// recover does a recovery to its end and turns the direction again.
func (w *turning) recover(s *scene) (written int64) {
	s.t.Helper()
	if err := w.turn(true); err != nil {
		s.t.Fatal(err)
	}
	var r engine.Report
	for range 5 {
		r = s.sync()
		written += r.Written
		if r.Complete() {
			break
		}
		time.Sleep(time.Minute)
	}
	if !r.Complete() {
		s.t.Errorf("not complete: %+v", r)
	}
	lies, err := w.untrue(context.Background(), mirror.MinTime)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lies {
		s.t.Errorf("not true: %s", l)
	}
	if v, err := w.mirror.Verify(context.Background(), true); err != nil {
		s.t.Fatal(err)
	} else if word, code := v.Result(); code != 0 {
		s.t.Errorf("%s: %v", word, v.Rows)
	}
	if err := w.handOver(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	if err := w.turn(false); err != nil {
		s.t.Fatal(err)
	}
	return written
}

// TestReceiverKeepsItsOwn: where both have a value of one series, field and time the receiver's stays, of another type too and whatever came in between;
// both are listed. With the giver preferred its value is written over the receiver's.
func TestReceiverKeepsItsOwn(t *testing.T) {
	for _, prefer := range []mirror.Side{mirror.TargetSide, ""} {
		t.Run("prefer "+string(prefer), func(t *testing.T) {
			recovering(t, buckets{}, func(w *turning, s *scene) {
				w.prefer = prefer
				day, begun := int64(24*time.Hour), now() // what is written later falls on what was written first
				for i := range int64(40) {
					s.put("m v=%di,s=\"x\" %d\nother v=1.5 %d", i, begun-i*day, begun-i*day/2)
				}
				s.put("tail v=1i %d\ntail v=5i %d", begun, begun+int64(time.Second)) // of a Cell that is still open
				s.sync()
				w.src.DeleteBucket(bucket)
				w.src.CreateBucket(bucket, 0, week)
				w.src.Restart()
				s.put("tail v=2i %d", begun)
				at := begun - 20*day
				s.put("m v=777i %d\nm v=778i %d\nm s=\"mine\" %d\nmore v=1 %d", at, at-day, at, at)
				s.put("other v=\"text\" %d", begun-30*day/2) // another type: the shard takes no float any more
				had := w.src.Dump(bucket)
				if err := w.turn(true); err != nil {
					t.Fatal(err)
				}
				once := false
				w.mirror.Observe = func(e engine.Event) {
					if e.Kind == "plan" && !once { // written after it was counted, where the receiver held nothing
						once = true
						s.put("m v=999i %d", begun-35*day)
					}
				}
				s.sync()
				if prefer == mirror.TargetSide {
					if l := lost(had, w.src.Dump(bucket)); len(l) > 0 {
						t.Errorf("lost: %v", l)
					}
					if !holds(w.src, "v=999i") {
						t.Error("what was written after the plan was made is lost")
					}
				}
				w.recover(s)
				var kept, refused uint64
				ids := strings.Split(w.pairKey(t), "|")
				for i := range ids {
					p, err := w.ledger.PairFrom(context.Background(), w.pairKey(t), ids[i], ids[1-i])
					if err != nil {
						t.Fatal(err)
					}
					for x, err := range p.Exceptions(context.Background()) {
						if err != nil {
							t.Fatal(err)
						}
						switch x.Class {
						case mirror.Kept:
							kept += x.Samples.Count
						case mirror.Refused:
							refused += x.Samples.Count
						}
					}
				}
				if prefer == mirror.TargetSide && kept != 5 {
					t.Errorf("%d values are listed as kept, %d as refused", kept, refused)
				}
				if prefer == "" && holds(w.src, "v=777i") {
					t.Error("the giver's value was to be written over the receiver's")
				}
				// In the mirror's own direction the source's value wins, and everything new at the source comes home.
				s.sync()
				time.Sleep(time.Hour)
				s.sync()
				a, b := w.src.Dump(bucket), w.dst.Dump(bucket)
				if l := lost(a, b); len(l) > 3 { // texts and numbers of one field in one shard go into no other
					t.Errorf("home lacks %v", l)
				}
			})
		})
	}
}

// holds reports whether a line of a server holds a text.
func holds(s *influxtest.Server, text string) bool {
	for _, x := range s.Dump(bucket) {
		if strings.Contains(line(x), text) {
			return true
		}
	}
	return false
}

func (w *turning) pairKey(t *testing.T) string {
	t.Helper()
	all, err := w.ledger.Pairs(context.Background())
	if err != nil || len(all) == 0 {
		t.Fatal(err)
	}
	return all[len(all)-1].Key
}

// TestHandOver: after a recovery the mirror goes on without reading again what was given back, and still finds what was written over at the source,
// before the recovery and after it.
func TestHandOver(t *testing.T) {
	recovering(t, buckets{}, func(w *turning, s *scene) {
		day := int64(24 * time.Hour)
		for i := range int64(300) {
			s.put("m v=\"x%d\" %d", i, now()-i*day)
		}
		s.sync()
		s.run(6, time.Minute)
		w.src.Delete(bucket, "m", now()-200*day, now()-100*day) // a part is lost
		s.put("m v=\"over\" %d", now()-50*day)                  // and nobody looked since this was written over
		n := w.recover(s)
		if n < 95 || n > 105 {
			t.Errorf("%d lines were written to give back 100", n)
		}
		var read, written uint64
		for range 6 {
			r := s.run(1, time.Minute)
			read += r.Samples
			written += uint64(r.Written)
		}
		s.equal()
		if written != 1 || read > 40 {
			t.Errorf("the mirror read %d samples and wrote %d lines for one that was written over", read, written)
		}
		s.put("m v=\"again\" %d", now()-150*day)
		s.run(6, time.Minute)
		s.equal()
	})
}

// TestInterruptedRecovery: what was proven before a process ended is not sent again.
func TestInterruptedRecovery(t *testing.T) {
	recovering(t, buckets{}, func(w *turning, s *scene) {
		for i := range int64(400) {
			s.put("m v=%di %d", i, now()-i*int64(24*time.Hour))
		}
		s.sync()
		w.src.DeleteBucket(bucket)
		w.src.CreateBucket(bucket, 0, 24*time.Hour) // cut otherwise
		w.src.Restart()
		if err := w.turn(true); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := 0
		w.mirror.Observe = func(e engine.Event) {
			if e.Kind == "transfer" {
				if done++; done == 10 {
					cancel()
				}
			}
		}
		if _, err := w.mirror.Pass(ctx, engine.Goal{Insist: true}); err == nil {
			t.Fatal("void: it was not interrupted")
		}
		first := len(w.src.Dump(bucket))
		if first == 0 || first == 400 {
			t.Fatalf("void: %d samples were given back", first)
		}
		if n := w.recover(s); n > 400-int64(first)+60 {
			t.Errorf("%d lines were sent after %d of 400", n, first)
		}
		if r := s.sync(); r.Written > 0 {
			t.Errorf("%d lines were copied again", r.Written)
		}
		s.equal()
	})
}

// TestWrittenBehindTheWrite: who writes another value behind what was given back, before that was read again, keeps it, in a Cell that is filled and in one that
// is compared.
func TestWrittenBehindTheWrite(t *testing.T) {
	for _, held := range []int{0, 2} {
		t.Run(fmt.Sprint(held, " held"), func(t *testing.T) {
			recovering(t, buckets{}, func(w *turning, s *scene) {
				at := now() - 10*int64(24*time.Hour)
				for i := range int64(3) {
					s.put("m v=%di %d", i, at+i)
				}
				s.sync()
				w.src.DeleteBucket(bucket)
				w.src.CreateBucket(bucket, 0, week)
				w.src.Restart()
				for i := range held {
					s.put("m v=%di %d", i, at+int64(i))
				}
				f := w.src.Fault(influxtest.Writes, influxtest.Rewrite(func(status int, _ http.Header, body []byte) (int, []byte) {
					w.src.Write(bucket, fmt.Sprintf("m v=555i %d", at+2))
					return status, body
				})).Times(1)
				w.recover(s)
				if f.Fired() != 1 || !holds(w.src, "v=555i") {
					t.Errorf("fired %d; the receiver holds %v", f.Fired(), w.src.Dump(bucket))
				}
				s.sync()
				s.equal()
			})
		})
	}
}
