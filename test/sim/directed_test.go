package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// TestLastMinute: a Cell that was open when the last point came is proven when it closes, though nothing is written any more; also
// where a sample was overwritten after it had been copied.
func TestLastMinute(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		s.put("m v=\"a\" %d", now()-int64(time.Hour))
		s.sync()
		s.run(6, 10*time.Second)
		at := now()
		s.put("m v=\"b\" %d", at)
		s.run(1, time.Second)
		s.put("m v=\"c\" %d", at)
		s.run(18, 10*time.Second)
		s.proven()
	})
}

// TestLastMinuteOfAProcess: the same where the process ends in between.
func TestLastMinuteOfAProcess(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		s.put("m v=\"a\" %d", now()-int64(time.Hour))
		s.sync()
		s.run(6, 10*time.Second)
		s.put("m v=\"b\" %d", now())
		s.run(5, 10*time.Second)
		s.stop()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.run(18, 10*time.Second)
		s.proven()
	})
}

// TestOverwrittenBehindABrokenLink: a text that was overwritten shows in the counter once; Passes that fail meanwhile do not forget it.
func TestOverwrittenBehindABrokenLink(t *testing.T) {
	for _, side := range []string{"source", "target"} {
		t.Run(side, func(t *testing.T) {
			direct(t, buckets{}, func(s *scene) {
				old := now() - int64(60*24*time.Hour)
				s.put("m v=\"a\" %d", old)
				s.sync()
				s.run(6, 10*time.Second)
				s.put("m v=\"b\" %d", old)
				var up func()
				if side == "source" { // surveys still answer, reads do not
					up = s.down(s.src, func(r *http.Request) bool { return reads(r, "m") })
				} else {
					up = s.down(s.dst, influxtest.Writes)
				}
				for range 4 {
					time.Sleep(40 * time.Second)
					_, _ = s.try(engine.Goal{})
				}
				up()
				s.run(10, 40*time.Second)
				s.proven()
			})
		})
	}
}

// TestOverwrittenTwice: texts overwritten in the group that is written to are found within two hours, though that group is read again at most once an hour.
func TestOverwrittenTwice(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		at := now() - int64(time.Hour)
		s.put("m v=\"a\" %d", at)
		s.sync()
		s.run(6, 10*time.Second)
		for _, v := range []string{"b", "c"} {
			s.put("m v=%q %d", v, at)
			s.run(6, 10*time.Second)
		}
		s.run(130, time.Minute)
		s.proven()
	})
}

// TestLiveGroupIsNotReadAgain: while an instrument writes, a Pass reads what is new, and not the whole group each time.
func TestLiveGroupIsNotReadAgain(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		var b strings.Builder
		for i := range 5000 {
			fmt.Fprintf(&b, "m v=%di %d\n", i, now()-int64(i+60)*int64(10*time.Second))
		}
		s.put("%s", b.String())
		s.sync()
		var read uint64
		for i := range 60 {
			s.put("m v=%di %d", i, now())
			read += s.run(1, 10*time.Second).Samples
		}
		if read > 2*5000 { // once for the counter, and each new sample a few times
			t.Errorf("%d samples were read for 60 new ones", read)
		}
	})
}

// TestTargetLosesAnOverwrite: what a restarted target lost is found though its counts are right (L10).
func TestTargetLosesAnOverwrite(t *testing.T) {
	for _, group := range []time.Duration{week, time.Hour} {
		t.Run(group.String(), func(t *testing.T) {
			direct(t, buckets{dstGroup: group}, func(s *scene) {
				for i := range 50 {
					s.put("m v=\"a%d\" %d", i, now()-int64(time.Duration(i)*7*time.Minute)-int64(3*time.Hour))
				}
				s.sync()
				s.run(6, time.Minute)
				s.dst.Write(bucket, fmt.Sprintf("m v=\"lost\" %d", now()-int64(3*time.Hour)-int64(6*time.Minute)))
				s.dst.Restart()
				s.run(6, time.Minute)
				s.proven()
			})
		})
	}
}

// TestSlowLink: history goes on although one survey takes longer than a Pass may.
func TestSlowLink(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		for i := range 20 {
			s.put("m v=%di %d", i, now()-int64(i+2)*int64(week))
		}
		for _, end := range []*influxtest.Server{s.src, s.dst} {
			end.Fault(nil, influxtest.Delay(9*time.Second))
		}
		for i := range 40 {
			s.put("m v=%di %d", i, now()) // the tail is never at rest
			if _, err := s.try(engine.Goal{Slice: margin}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Minute)
		for range 3 {
			if _, err := s.try(engine.Goal{Slice: margin}); err != nil {
				t.Fatal(err)
			}
		}
		s.proven()
	})
}

// TestSourceClockSteps: a clock that was a year ahead for a while stops nothing for a year.
func TestSourceClockSteps(t *testing.T) {
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	direct(t, buckets{src: influxtest.Options{Now: clock}}, func(s *scene) {
		s.put("m v=0i %d", now()-int64(time.Hour))
		s.sync()
		s.run(3, 10*time.Second)
		ahead.Store(int64(365 * 24 * time.Hour))
		s.put("m v=1i %d", now())
		s.run(6, 10*time.Second)
		ahead.Store(0)
		for i := range 30 {
			s.put("m v=%di %d", i, now())
			s.run(1, 10*time.Second)
		}
		s.equal() // at once, not when a Cell closes
		s.run(4, time.Minute)
		s.proven()
		// Counters say nothing of a restored backup of the target: the daily look at everything does.
		s.dst.Delete(bucket, "m", mirror.MinTime, now())
		s.run(30, time.Hour)
		s.proven()
	})
}

// TestGivenUp: errors of one transfer end neither the Pass nor the service, and the service pauses between tries.
func TestGivenUp(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		at := now() - int64(60*24*time.Hour)
		s.put("m v=\"a\" %d\nn v=\"a\" %d", at, at)
		s.sync()
		s.run(6, 10*time.Second)
		s.put("m v=\"b\" %d\nn v=\"b\" %d", at, at)
		s.src.Fault(func(r *http.Request) bool { return reads(r, "m") }, influxtest.Status(400, 0, `{"error":"max-select-series limit exceeded"}`))
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Hour)
		defer cancel()
		passes := 0
		s.mirror.Observe = func(e engine.Event) {
			if e.Kind == "pass" {
				passes++
			}
		}
		if err := s.mirror.Run(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if passes > 400 {
			t.Errorf("%d passes in an hour", passes)
		}
		if m := s.missing(); len(m) != 1 || !strings.HasPrefix(m[0], "m") {
			t.Errorf("missing: %q", m)
		}
	})
}

// TestRestartBehindABadLink: a target that was restarted is read again bit by bit where the link allows no more, and new data goes on meanwhile.
func TestRestartBehindABadLink(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		for i := range 30 {
			s.put("m%d v=%di %d", i, i, now()-int64(3*time.Hour))
		}
		s.sync()
		s.run(1, time.Minute)
		s.dst.Write(bucket, fmt.Sprintf("m7 v=99i %d", now()-int64(3*time.Hour)-int64(time.Minute))) // as if an overwrite was lost
		s.dst.Restart()
		n := 0
		f := s.dst.Fault(func(*http.Request) bool { n++; return n%9 == 0 || s.draw(9) == 0 }, influxtest.Refuse())
		for i := range 12 {
			s.put("m0 v=%di %d", i, now())
			time.Sleep(time.Minute)
			_, _ = s.try(engine.Goal{Slice: margin})
		}
		f.Remove()
		if m := s.missing(); len(m) > 3 { // the newest may still be under way
			s.t.Errorf("%d samples are missing: new data waited for the check", len(m))
		}
		s.run(3, time.Minute)
		s.proven()
	})
}

// TestEmptiedSource: an empty source where much is proven is an alarm until the owner decides, also for a new process; the target keeps what it has.
func TestEmptiedSource(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		for i := range 5 {
			s.put("m v=%di %d", i, now()-int64(i)*int64(week)-int64(time.Hour))
		}
		s.sync()
		load := s.src.Unload(bucket)
		for i := range 3 {
			var b *engine.Blocked
			if _, err := s.try(engine.Goal{Insist: i%2 == 0}); i != 1 && !errors.As(err, &b) {
				t.Errorf("pass %d: %v", i, err)
			}
			s.stop()
			if err := s.start(); err != nil {
				t.Fatal(err)
			}
		}
		load()
		s.sync()
		s.proven()
		s.src.Delete(bucket, "m", mirror.MinTime, mirror.MaxTime)
		if err := s.mirror.Accept(s.t.Context()); err != nil {
			t.Fatal(err)
		}
		s.sync()
		if n := len(s.dst.Dump(bucket)); n != 5 {
			t.Errorf("the target holds %d samples", n)
		}
	})
}
