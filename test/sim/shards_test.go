package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

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
