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

// What histories found, told step by step.

// TestHiddenBeforeProven: what was copied and not read back yet is no extra of the target when the restarted source does not show it (S3, L4).
func TestHiddenBeforeProven(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		s.put("n v=1i %d", now()-int64(time.Hour))
		s.sync()
		for i := range 5 {
			s.put("m v=%di %d", i, now()-int64(i+2)*int64(week))
		}
		up := s.down(s.dst, func(r *http.Request) bool { return reads(r, "m") })
		_, _ = s.try(engine.Goal{Insist: true})
		up()
		if n := len(s.dst.Dump(bucket)); n < 2 {
			t.Fatalf("void: %d samples were copied", n)
		}
		s.src.Restart()
		load := s.src.UnloadBefore(bucket, now()-8*int64(day))
		for range 3 {
			time.Sleep(time.Minute)
			if r, err := s.try(engine.Goal{Insist: true}); err != nil || r.Totals.Extra > 0 || r.Complete() {
				t.Errorf("hidden shards are taken for a fact: %d extra, complete %t: %v", r.Totals.Extra, r.Complete(), err)
			}
		}
		load()
		s.sync()
		s.proven()
	})
}

// TestHiddenBehindAnOlderLedger: an older ledger does not know which start of the source it has seen: it may have been restarted (S3, B5).
func TestHiddenBehindAnOlderLedger(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		for i := range 5 {
			s.put("m v=%di %d", i, now()-int64(i)*int64(2*week)-int64(time.Hour))
		}
		s.sync()
		if err := s.pair.SetState(s.t.Context(), "seen", nil); err != nil { // what the command does where an older ledger was put back
			t.Fatal(err)
		}
		s.stop()
		s.src.Restart()
		load := s.src.UnloadBefore(bucket, now()-8*int64(day))
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		if r, err := s.try(engine.Goal{Insist: true}); err != nil || r.Totals.Extra > 0 || r.Complete() {
			t.Errorf("hidden shards are taken for a fact: %d extra, complete %t: %v", r.Totals.Extra, r.Complete(), err)
		}
		load()
		s.sync()
		s.proven()
	})
}

// TestVerifyWhileLoading: what a loading source does not show is not checked, and no Proof of it is dropped.
func TestVerifyWhileLoading(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		for i := range 5 {
			s.put("m v=%di %d", i, now()-int64(i)*int64(2*week)-int64(time.Hour))
		}
		s.sync()
		time.Sleep(time.Minute)
		s.src.Restart()
		load := s.src.UnloadBefore(bucket, now()-8*int64(day))
		v, err := s.mirror.Verify(s.t.Context(), true)
		if err != nil || !v.AddsUp() || v.Rows[engine.NotChecked].Samples != 4 {
			t.Errorf("%v, %v", v.Rows, err)
		}
		if word, code := v.Result(); code != 3 {
			t.Errorf("verify: %s", word)
		}
		load()
		if r := s.sync(); r.Samples > 0 || r.Totals.Samples != 5 {
			t.Errorf("proofs were dropped: %+v", r)
		}
		s.proven()
	})
}

// TestAnInstantInSeveralShards: a server that says of every window that it lies in two shards ends verify with an error (L16).
func TestAnInstantInSeveralShards(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		s.put("m v=1i %d", now()-int64(time.Hour))
		s.sync()
		s.src.Fault(influxtest.Queries, influxtest.Rewrite(func(status int, _ http.Header, body []byte) (int, []byte) {
			return status, bytes.ReplaceAll(body, []byte("NUMBER OF SHARDS: 1"), []byte("NUMBER OF SHARDS: 2"))
		}))
		if _, err := s.mirror.Verify(s.t.Context(), true); mirror.KindOf(err) != mirror.MultiShard {
			t.Errorf("verify: %v", err)
		}
		s.put("m v=2i %d", now()-int64(time.Hour))
		if r, err := s.try(engine.Goal{Insist: true}); err == nil && r.Complete() {
			t.Errorf("the pass is complete: %+v", r)
		}
	})
}

// TestSamplesShownTwice: where a server shows samples twice, as it may where shard groups overlap, nothing is proven, and everything else goes on.
func TestSamplesShownTwice(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		at := now() - int64(time.Hour)
		s.put("m v=1i %d\nn v=1i %d", at, at-int64(2*week))
		twice := func(status int, h http.Header, body []byte) (int, []byte) {
			all := documents(h, body)
			if len(all) != 5 {
				return status, body
			}
			// The rows and both counts come twice, as those of another series would.
			var b []byte
			for i, d := range all {
				b = append(b, d...)
				if i > 0 && i < 4 {
					b = append(b, d...)
				}
			}
			return status, b
		}
		f := s.src.Fault(func(r *http.Request) bool {
			return reads(r, "m") && strings.HasPrefix(r.Form.Get("q"), "EXPLAIN SELECT")
		}, influxtest.Rewrite(twice))
		r, err := s.try(engine.Goal{Insist: true})
		if err != nil || r.Complete() || f.Fired() == 0 {
			t.Errorf("%+v, %v; fired %d", r, err, f.Fired())
		}
		if n := len(s.dst.Dump(bucket)); n != 2 {
			t.Errorf("the target holds %d samples", n)
		}
		f.Remove()
		s.sync()
		s.proven()
	})
}

// TestTooLargeForAWhile: a proxy that takes no body at all for a while refuses nothing for good (T4).
func TestTooLargeForAWhile(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		s.put("m v=1i %d", now()-int64(time.Hour))
		f := s.dst.Fault(influxtest.Writes, influxtest.Status(413, 0, ""))
		_, _ = s.try(engine.Goal{Insist: true})
		f.Remove()
		if f.Fired() == 0 {
			t.Error("void: the fault never fired")
		}
		if r := s.sync(); !r.Complete() || r.Totals.Excepted > 0 {
			t.Errorf("%+v", r)
		}
		s.proven()
	})
}

// TestMinutesOfOneCell: Proofs of minutes that are old enough to be joined are all still there when several of them were recorded in one Pass.
func TestMinutesOfOneCell(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		at := now()
		for i := range 30 {
			s.put("m v=%di %d", i, now()-int64(2*time.Second))
			s.run(1, time.Minute)
			_ = i
		}
		s.run(1, time.Minute)
		time.Sleep(3 * time.Hour)
		for i := range 30 { // some of them are other ones now, and some are new
			if i%4 == 0 {
				s.put("m v=%di %d", 100+i, at+int64(i)*int64(time.Minute)-int64(2*time.Second))
			}
			if i%4 == 2 {
				s.put("m v=%di %d", 200+i, at+int64(i)*int64(time.Minute)-int64(time.Second))
			}
		}
		r := s.sync()
		if !r.Complete() {
			t.Errorf("%+v", r)
		}
		s.proven()
	})
}
