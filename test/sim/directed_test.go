package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// scene is a world for one story, told step by step.
type scene struct {
	*world
	t *testing.T
}

// buckets says what the two buckets are like; the zero value keeps data for ever in groups of a week.
type buckets struct {
	srcGroup, dstGroup         time.Duration
	srcRetention, dstRetention time.Duration
	settings                   engine.Settings
	src, dst                   influxtest.Options
	dir                        string // of the state; "": one of its own
}

// direct runs a story in virtual time, which begins on Saturday, 2000-01-01.
func direct(t *testing.T, b buckets, story func(*scene)) {
	t.Helper()
	dir := b.dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp(t.TempDir(), "state"); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{rnd: rand.New(rand.NewPCG(1, 1)), dir: dir, srcPipe: newPipe(), dstPipe: newPipe(), settings: b.settings}
		w.settings.Name = "m"
		if w.settings.Wait == 0 {
			w.settings.Wait = margin
		}
		b.src.Listener, b.src.Seed, b.dst.Listener, b.dst.Seed = w.srcPipe, 1, w.dstPipe, 2
		w.src, w.dst = influxtest.NewServer(b.src), influxtest.NewServer(b.dst)
		if b.srcGroup == 0 {
			b.srcGroup = week
		}
		if b.dstGroup == 0 {
			b.dstGroup = b.srcGroup
		}
		w.src.CreateBucket(bucket, b.srcRetention, b.srcGroup)
		w.dst.CreateBucket(bucket, b.dstRetention, b.dstGroup)
		if err := w.start(); err != nil {
			t.Fatal(err)
		}
		defer w.close()
		story(&scene{w, t})
	})
}

// try does one Pass.
func (s *scene) try(g engine.Goal) (engine.Report, error) {
	s.t.Helper()
	r, err := s.mirror.Pass(s.t.Context(), g)
	s.t.Logf("%s pass insist=%t: %v done %d left %d live %d read %d written %d errors %v idle %t: %v",
		time.Now().UTC().Format("01-02 15:04:05"), g.Insist, r.Reasons, r.Done, r.Left, r.Live, r.Samples, r.Written, r.Errors, r.Idle, err)
	return r, err
}

// run does Passes as the service does, pause apart.
func (s *scene) run(n int, pause time.Duration) (last engine.Report) {
	s.t.Helper()
	for range n {
		time.Sleep(pause)
		r, err := s.try(engine.Goal{})
		if err != nil {
			s.t.Fatal(err)
		}
		last = r
	}
	return last
}

// sync does one Pass that looks everywhere.
func (s *scene) sync() engine.Report {
	s.t.Helper()
	r, err := s.try(engine.Goal{Insist: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *scene) put(format string, args ...any) { s.src.Write(bucket, fmt.Sprintf(format, args...)) }

// equal checks that the target holds everything the source holds.
func (s *scene) equal() {
	s.t.Helper()
	if m := s.missing(); len(m) > 0 {
		s.t.Errorf("%d samples are missing, first %q", len(m), m[0])
	}
}

// proven checks that everything at the source is proven, and every Proof true.
func (s *scene) proven() {
	s.t.Helper()
	s.equal()
	lies, err := s.lies(s.t.Context(), mirror.MinTime)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lies {
		s.t.Errorf("a proof that is not true: %s", l)
	}
	sums, err := s.pair.Summaries(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var n uint64
	for _, m := range sums {
		n += m.Source
	}
	if want := len(s.src.Dump(bucket)); n != uint64(want) {
		s.t.Errorf("%d samples are proven, the source holds %d", n, want)
	}
}

// down makes requests to a server fail until the function returned is called.
func (s *scene) down(end *influxtest.Server, match func(*http.Request) bool) (up func()) {
	f := end.Fault(match, influxtest.Refuse())
	return func() {
		s.t.Helper()
		f.Remove()
		if f.Fired() == 0 {
			s.t.Error("void: the fault never fired")
		}
	}
}

// reads matches reads of a measurement's samples; surveys are let through.
func reads(r *http.Request, measurement string) bool {
	q := r.Form.Get("q")
	return strings.Contains(q, fmt.Sprintf("FROM %q", measurement)) && (strings.Contains(q, "GROUP BY *") || strings.Contains(q, "*::tag"))
}

func now() int64 { return time.Now().UnixNano() }

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

// TestGroupDurationChanged: Proofs move into the groups of a changed duration, and transfers planned for the old ones do no harm.
func TestGroupDurationChanged(t *testing.T) {
	for _, c := range []struct{ from, to time.Duration }{{24 * time.Hour, week}, {week, 24 * time.Hour}, {time.Hour, 90 * time.Minute}} {
		t.Run(c.from.String()+" "+c.to.String(), func(t *testing.T) {
			direct(t, buckets{srcGroup: c.from}, func(s *scene) {
				for i := range 60 {
					s.put("m v=%di %d\nn v=%di %d", i, now()-int64(time.Duration(i)*13*time.Hour), i, now()-int64(time.Duration(i)*7*time.Minute))
				}
				s.sync()
				s.run(2, time.Minute)
				s.src.UpdateBucket(bucket, 0, c.to)
				s.src.Restart() // the answer about the bucket is not believed on a new connection
				for i := range 20 {
					s.put("m v=%di %d", i, now()-int64(time.Duration(i)*11*time.Hour))
				}
				s.run(4, time.Minute)
				s.proven()
			})
		})
	}
}

// TestGroupDurationChangedWithAQueue: the same while transfers are queued.
func TestGroupDurationChangedWithAQueue(t *testing.T) {
	direct(t, buckets{srcGroup: week}, func(s *scene) {
		for i := range 60 {
			s.put("m v=%di %d", i, now()-int64(time.Duration(i)*13*time.Hour)-int64(week))
		}
		if _, err := s.try(engine.Goal{Slice: 1}); err != nil { // no time for history
			t.Fatal(err)
		}
		s.src.UpdateBucket(bucket, 0, 24*time.Hour)
		s.src.Restart()
		s.run(4, time.Minute)
		s.proven()
	})
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

// TestShardExpires: a shard that retention drops is no reason to read all others again.
func TestShardExpires(t *testing.T) {
	direct(t, buckets{srcGroup: 24 * time.Hour, srcRetention: 10 * 24 * time.Hour}, func(s *scene) {
		for i := range 200 {
			s.put("m v=%di %d", i, now()-int64(i)*int64(time.Hour))
		}
		s.sync()
		for i := range 5 * 24 {
			s.put("m v=%di %d", i, now())
			if read := s.run(1, time.Hour).Samples; read > 30 { // the group that is written to, each hour
				t.Errorf("%d samples were read for one", read)
			}
			s.src.EnforceRetention()
		}
		s.equal()
	})
}

// TestManyAtOneInstant: a difference among more samples of one instant than a diff holds in memory.
func TestManyAtOneInstant(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		at := now() - int64(24*time.Hour)
		var b strings.Builder
		text := strings.Repeat("x", 64<<10)
		for i := range 280 {
			fmt.Fprintf(&b, "m,s=%d v=\"%d%s\" %d\n", i, i, text, at)
		}
		s.put("%s", b.String())
		s.sync()
		s.proven()
		s.dst.Write(bucket, fmt.Sprintf("m,s=77 v=\"1\" %d\nm,s=new v=\"2\" %d", at, at))
		v, err := s.mirror.Verify(s.t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		if v.Rows[engine.Different].Samples != 1 || v.Rows[engine.Kept].Samples != 1 || !v.AddsUp() {
			t.Errorf("verify: %+v", v.Rows)
		}
		s.sync()
		s.proven()
	})
}

// TestDeletedOnBothSides: what is gone on both sides is forgotten, and not looked at for ever.
func TestDeletedOnBothSides(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		at := now() - int64(60*24*time.Hour)
		for i := range 10 {
			s.put("m v=%di %d", i, at+int64(i)*int64(5*time.Hour))
		}
		s.sync()
		for _, end := range []*influxtest.Server{s.src, s.dst} {
			end.Delete(bucket, "m", at, at+int64(12*time.Hour))
		}
		s.sync()
		s.proven()
		if r := s.sync(); r.Planned > 0 {
			t.Errorf("%d transfers for what is gone: %v", r.Planned, r.Reasons)
		}
		for _, end := range []*influxtest.Server{s.src, s.dst} {
			end.Delete(bucket, "m", mirror.MinTime, mirror.MaxTime)
		}
		s.put("n v=1 %d", at)
		s.sync()
		s.proven()
	})
}

// TestNamesNoStatementCanHold: a measurement whose name InfluxQL cannot carry stops no other one, and is shown.
func TestNamesNoStatementCanHold(t *testing.T) {
	for _, name := range []string{"a\rb", "a\x00b", "a\xffb"} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			direct(t, buckets{}, func(s *scene) {
				at := now() - int64(24*time.Hour)
				s.put("ok v=1 %d", at)
				s.put("%s v=1 %d", name, at)
				if n := len(s.src.Dump(bucket)); n != 2 {
					t.Fatalf("void: the server holds %d samples", n)
				}
				s.sync()
				if n := len(s.dst.Dump(bucket)); n == 0 {
					t.Error("nothing arrived")
				}
				v, err := s.mirror.Verify(s.t.Context(), true)
				if err != nil {
					t.Fatal(err)
				}
				if word, code := v.Result(); code == 0 {
					t.Errorf("verify says %s: %v %v", word, v.Rows, v.Unreadable)
				}
			})
		})
	}
}

// TestEndsOfTheAxis: samples at both ends, with groups that are one Cell or odd.
func TestEndsOfTheAxis(t *testing.T) {
	for _, group := range []time.Duration{time.Minute, time.Hour, 90 * time.Minute, 24 * time.Hour, week, 180 * 24 * time.Hour, 365 * 24 * time.Hour} {
		t.Run(group.String(), func(t *testing.T) {
			direct(t, buckets{srcGroup: group}, func(s *scene) {
				for i, at := range []int64{mirror.MinTime, mirror.MinTime + 1, mirror.MinTime + int64(group) - 1, mirror.MinTime + int64(group) + 1, mirror.MinTime + int64(2*group) + 5,
					mirror.MaxTime, mirror.MaxTime - 1, mirror.MaxTime - int64(group), mirror.MaxTime - int64(2*group), 0, -1, now() - int64(time.Hour)} {
					s.put("m v=%di %d\nn v=\"%d\" %d", i, at, i, at)
				}
				s.sync()
				s.sync()
				s.proven()
				s.put("m v=77i %d\nm w=78i %d\nn v=\"79\" %d", mirror.MinTime, mirror.MaxTime, mirror.MaxTime)
				s.run(3, time.Minute)
				s.proven()
				if r := s.sync(); r.Planned > 0 {
					t.Errorf("%d transfers with nothing to do: %v", r.Planned, r.Reasons)
				}
			})
		})
	}
}

// TestConflictInOneShardOfTheTarget: a field that one of the target's smaller shards refuses arrives in the others.
func TestConflictInOneShardOfTheTarget(t *testing.T) {
	direct(t, buckets{srcGroup: week, dstGroup: 24 * time.Hour}, func(s *scene) {
		start := weeks.Group(now() - 3*int64(week)).Start
		s.dst.Write(bucket, fmt.Sprintf("m v=\"text\" %d", start+1))
		text := strings.Repeat("x", 1000)
		for day := range 7 {
			var b strings.Builder
			n := 200
			if day == 0 { // several bodies of a write
				n = 4000
			}
			for i := range n {
				fmt.Fprintf(&b, "m,pad=%s v=%di %d\n", text, i, start+int64(day)*int64(24*time.Hour)+int64(i)*int64(20*time.Second)+2)
			}
			s.put("%s", b.String())
		}
		s.sync()
		s.sync()
		if got, want := len(s.dst.Dump(bucket)), 6*200+1; got != want {
			t.Errorf("the target holds %d samples, want %d", got, want)
		}
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

// TestRetentionMovesOn: what expires while a long Pass works is left out, and not sent to be refused line by line.
func TestRetentionMovesOn(t *testing.T) {
	for _, slice := range []time.Duration{0, margin} {
		t.Run(slice.String(), func(t *testing.T) {
			direct(t, buckets{srcGroup: 24 * time.Hour, dstRetention: 10 * 24 * time.Hour}, func(s *scene) {
				for day := range 12 {
					var b strings.Builder
					for i := range 24 * 12 {
						fmt.Fprintf(&b, "m v=%di %d\n", i, now()-int64(day)*int64(24*time.Hour)-int64(i)*int64(5*time.Minute))
					}
					s.put("%s", b.String())
				}
				for _, end := range []*influxtest.Server{s.src, s.dst} {
					end.Fault(influxtest.Queries, influxtest.Delay(25*time.Second))
				}
				end := time.Now().Add(12 * time.Hour)
				for time.Now().Before(end) {
					r, err := s.try(engine.Goal{Insist: slice == 0, Slice: slice})
					if err != nil {
						t.Fatal(err)
					}
					if r.Complete() {
						break
					}
				}
				refused := 0
				for _, q := range s.dst.Requests() {
					if q.Wrote && q.Status/100 == 4 {
						refused++
					}
				}
				if refused > 0 {
					t.Errorf("%d writes were refused", refused)
				}
			})
		})
	}
}

// TestSinceMovedBack: a process with an earlier since, or another choice of measurements, looks at what that adds.
func TestSinceMovedBack(t *testing.T) {
	direct(t, buckets{settings: engine.Settings{Since: time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC).UnixNano(), Exclude: []string{"n"}}}, func(s *scene) {
		s.put("m v=1i %d\nm v=2i %d\nn v=3i %d", now()-int64(400*24*time.Hour), now()-int64(2*24*time.Hour), now()-int64(3*24*time.Hour))
		s.run(6, time.Minute)
		if n := len(s.dst.Dump(bucket)); n != 1 {
			t.Errorf("the target holds %d samples, want 1", n)
		}
		s.stop()
		s.settings.Since, s.settings.Exclude = 0, nil
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		s.run(2, time.Minute)
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

// TestBucketMadeAnew: proofs belong to the buckets they were made of, not to names: what is proven of one is not believed of the next.
func TestBucketMadeAnew(t *testing.T) {
	for _, side := range []string{"source", "target"} {
		t.Run(side, func(t *testing.T) {
			direct(t, buckets{}, func(s *scene) {
				at := now() - int64(week) - int64(time.Hour)
				for i := range 5 {
					s.put("m v=%di %d", i, at+int64(i))
				}
				s.sync()
				end := s.src
				if side == "target" {
					end = s.dst
				}
				end.DeleteBucket(bucket)
				end.CreateBucket(bucket, 0, week)
				for i := range 5 {
					s.put("m v=%di %d", i+10, at+int64(i))
				}
				time.Sleep(6 * time.Minute) // as long as a probe is believed
				s.sync()
				s.proven()
			})
		})
	}
}
