package sim

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// oldest returns how long ago the source and the target were last read, of the Proofs of which that is longest ago.
func (s *scene) oldest() (source, target time.Duration) {
	s.t.Helper()
	sums, err := s.pair.Summaries(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	asOf, checked := int64(math.MaxInt64), int64(math.MaxInt64)
	for _, x := range sums {
		asOf, checked = min(asOf, x.AsOf), min(checked, x.Checked)
	}
	return time.Duration(now() - asOf), time.Duration(now() - checked)
}

// readRequests counts requests that read samples since they were last forgotten, and forgets them.
func readRequests(s *influxtest.Server) (n int) {
	for _, q := range s.Requests() {
		if strings.Contains(q.Form.Get("q"), "EXPLAIN SELECT") {
			n++
		}
	}
	s.ForgetRequests()
	return n
}

// fill fills the source: a shard group a week.
func (s *scene) fill(groups, samples int) {
	var b strings.Builder
	for i := range groups {
		for j := range samples {
			fmt.Fprintf(&b, "m%d v=%di,s=\"a\" %d\n", i%3, j, now()-int64(i)*int64(week)-int64(j+60)*int64(time.Minute))
		}
	}
	s.put("%s", b.String())
}

// TestScrubOfTheTarget: every Proof is read again at the target within the period, spread evenly over it, whatever becomes of the process or the link,
// and nothing is read at the source (L10).
func TestScrubOfTheTarget(t *testing.T) {
	const period, wait, groups, samples = 10 * day, 2 * time.Hour, 40, 20
	set := engine.Settings{Scrub: engine.Scrub{Target: period}}
	direct(t, buckets{settings: set}, func(s *scene) {
		s.fill(groups, samples)
		s.sync()
		s.run(3, time.Minute)
		s.proven()
		readRequests(s.src)
		whole := uint64(groups * samples * 2)
		var most, all uint64
		for pass := range 2 * 10 * 12 {
			if pass%50 == 49 { // a process that ends, an hour that fails
				s.stop()
				if err := s.start(); err != nil {
					t.Fatal(err)
				}
				f := s.dst.Fault(nil, influxtest.Refuse())
				time.Sleep(wait)
				_, _ = s.mirror.Pass(s.t.Context(), engine.Goal{})
				f.Remove()
			}
			time.Sleep(wait)
			r, err := s.mirror.Pass(s.t.Context(), engine.Goal{})
			if err != nil {
				t.Fatal(err)
			}
			most, all = max(most, r.Rereads), all+r.Rereads
			if _, age := s.oldest(); age > period || r.Totals.Checked != now()/1e9*1e9-int64(age/time.Second*time.Second) && age > time.Minute {
				t.Fatalf("pass %d: a proof was not read back for %s; the report says %s", pass, age, time.Duration(now()-r.Totals.Checked))
			}
		}
		if n := readRequests(s.src); n > 0 {
			t.Errorf("the source was asked for samples %d times", n)
		}
		// Two periods of the test are about two and a half rounds; nothing is read much more often.
		if rounds := float64(all) / float64(whole); rounds < 2 || rounds > 3.2 {
			t.Errorf("%.1f rounds in 2 periods", rounds)
		}
		if most > whole/10 {
			t.Errorf("%d of %d samples were read in one pass", most, whole)
		}
		s.proven()
	})
}

// TestScrubOfTheSource: with a period for the source too every Proof is compared on both sides within it, at an even pace, and what was overwritten there
// without a trace is repaired; a plan shows it first.
func TestScrubOfTheSource(t *testing.T) {
	const period, groups, samples = 10 * day, 20, 20
	set := engine.Settings{Scrub: engine.Scrub{Source: period}}
	direct(t, buckets{settings: set, src: influxtest.Options{Version: influxtest.V1}}, func(s *scene) {
		tellsNothing(s.src)
		s.fill(groups, samples)
		s.sync()
		s.run(3, time.Minute)
		s.proven()
		s.put("m1 s=\"b\" %d", now()/1e9*1e9)
		s.run(3, time.Minute)
		for _, x := range s.src.Dump(bucket) {
			if x.Measurement == "m1" && x.Field == "s" && x.Time < now()-8*int64(week) {
				s.put("m1 s=\"c\" %d", x.Time)
				break
			}
		}
		if len(s.missing()) != 1 {
			t.Fatal("void")
		}
		planned := 0
		var said []string
		s.alarms(&said)
		var most, all uint64
		found := time.Duration(0)
		began := time.Now()
		for pass := range 2 * 10 * 12 {
			time.Sleep(2 * time.Hour)
			if pass == 5*12 {
				time.Sleep(12 * time.Hour)
				work, _, err := s.mirror.Plan(s.t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, step := range work {
					if step.Reason == plan.Scrub && step.Compare && !step.Back {
						planned++
					}
				}
			}
			r, err := s.mirror.Pass(s.t.Context(), engine.Goal{})
			if err != nil {
				t.Fatal(err)
			}
			most, all = max(most, r.Samples), all+r.Samples
			if found == 0 && len(s.missing()) == 0 {
				found = time.Since(began)
			}
			if age, _ := s.oldest(); age > period {
				t.Fatalf("pass %d: a proof is %s old", pass, age)
			}
		}
		if planned == 0 {
			t.Error("no plan shows it")
		}
		if len(said) != 1 || !strings.Contains(said[0], "found 1 samples") {
			t.Errorf("said: %q", said)
		}
		if found == 0 || found > period {
			t.Errorf("found after %s", found)
		}
		whole := uint64(groups * samples * 2)
		if rounds := float64(all) / float64(whole); rounds < 2 || rounds > 3.2 || most > whole/5 {
			t.Errorf("%.1f rounds in 2 periods, %d of %d samples in one pass", rounds, most, whole)
		}
		s.proven()
	})
}

// TestScrubTakesItsShare: where the period cannot be kept the scrub takes 2 % of the time and not more, its age says so, and new data does not wait.
func TestScrubTakesItsShare(t *testing.T) {
	const takes = 3 * time.Second
	set := engine.Settings{Wait: 30 * time.Second, Scrub: engine.Scrub{Target: time.Hour}}
	direct(t, buckets{settings: set}, func(s *scene) {
		s.fill(60, 20)
		s.sync()
		s.run(3, time.Minute)
		s.dst.Fault(func(r *http.Request) bool { return strings.Contains(r.Form.Get("q"), "EXPLAIN SELECT") }, influxtest.Delay(takes))
		readRequests(s.dst)
		began := time.Now()
		ctx, cancel := context.WithTimeout(s.t.Context(), 6*time.Hour)
		defer cancel()
		var longest time.Duration
		last := time.Now()
		s.mirror.Observe = func(e engine.Event) {
			if e.Kind == "pass" {
				longest = max(longest, time.Since(last))
				last = time.Now().Add(e.Pause)
			}
		}
		if err := s.mirror.Run(ctx); err != nil {
			t.Fatal(err)
		}
		n := readRequests(s.dst)
		share := float64(n) * float64(takes) / float64(time.Since(began))
		if share < 0.01 || share > 0.021 {
			t.Errorf("%d reads: %.1f %% of the time", n, 100*share)
		}
		if longest > 9*time.Second {
			t.Errorf("a pass with nothing else to do took %s", longest)
		}
		if _, age := s.oldest(); age < 2*time.Hour {
			t.Errorf("void: the oldest proof is %s old", age)
		}
	})
}

// TestScrubOfAnEmptiedSource: what a scrub finds gone at the source is not taken for a fact before the whole of it was asked for (L4, D18).
func TestScrubOfAnEmptiedSource(t *testing.T) {
	set := engine.Settings{Scrub: engine.Scrub{Source: 10 * day}}
	direct(t, buckets{settings: set}, func(s *scene) {
		s.fill(10, 20)
		s.sync()
		s.run(3, time.Minute)
		time.Sleep(day)
		for range 20 {
			time.Sleep(time.Hour)
			if _, err := s.mirror.Pass(s.t.Context(), engine.Goal{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, m := range []string{"m0", "m1", "m2"} {
			s.src.Delete(bucket, m, mirror.MinTime, mirror.MaxTime)
		}
		began := time.Now()
		for {
			time.Sleep(time.Hour)
			r, err := s.mirror.Pass(s.t.Context(), engine.Goal{})
			if r.Totals.Extra > 0 {
				t.Fatalf("an empty source is believed: %d extra, %v", r.Totals.Extra, err)
			}
			if b := (*engine.Blocked)(nil); errors.As(err, &b) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 20*time.Hour {
			t.Errorf("void: it took %s, and the look of the day found it", took)
		}
	})
}

// lossy is a target that loses what it was given last: put writes over old strings, and lose takes that back at the target alone, as a crash does with
// what was acknowledged and not synced. Counts are the same before and after.
func (s *scene) overwriteOld() (lose func()) {
	s.t.Helper()
	at := now() - int64(9*week)
	var old *influxtest.Sample
	for _, x := range s.dst.Dump(bucket) {
		if x.Field == "s" && x.Time < at {
			old = &x
			break
		}
	}
	s.put("%s s=\"new\" %d", old.Measurement, old.Time)
	s.run(3, 40*time.Second)
	s.proven()
	return func() {
		s.dst.Write(bucket, lineOf(*old))
		s.dst.Restart()
		if len(s.missing()) != 1 {
			s.t.Fatal("void: nothing is lost")
		}
	}
}

// TestTargetLosesWhatIsOld: what a target acknowledged shortly before it crashed is read again whatever its time, also where it was down for days, where the process that
// notices is another, and where that one ends before it is done (L10, S2).
func TestTargetLosesWhatIsOld(t *testing.T) {
	for _, c := range []struct {
		name string
		down time.Duration
		next func(s *scene)
	}{
		{"at once", 0, func(*scene) {}},
		{"down for five days", 5 * day, func(*scene) {}},
		{"another process", time.Hour, func(s *scene) { s.again() }},
		{"a process that ends", time.Hour, func(s *scene) {
			ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
			defer cancel()
			f := s.dst.Fault(func(r *http.Request) bool { return strings.Contains(r.Form.Get("q"), "EXPLAIN SELECT") }, influxtest.Stall(time.Minute))
			_, _ = s.mirror.Pass(ctx, engine.Goal{})
			f.Remove()
			if f.Fired() == 0 {
				s.t.Fatal("void: it was done before")
			}
			s.again()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			direct(t, buckets{}, func(s *scene) {
				s.fill(30, 20)
				s.sync()
				time.Sleep(3 * day) // the first copy is believed
				s.run(3, time.Minute)
				lose := s.overwriteOld()
				f := s.dst.Fault(nil, influxtest.Refuse())
				if time.Sleep(c.down); c.down > 0 {
					_, _ = s.try(engine.Goal{})
				}
				f.Remove()
				lose()
				readRequests(s.dst)
				readRequests(s.src)
				c.next(s)
				s.run(4, time.Minute)
				s.proven()
				if n, of := readRequests(s.dst), 30; n > of {
					t.Errorf("the target was asked %d times for %d groups: what was proven long before is believed", n, of)
				}
				if n := readRequests(s.src); n > 4 {
					t.Errorf("the source was asked %d times for one sample", n)
				}
				s.run(2, time.Minute)
				if n := readRequests(s.dst); n > 0 {
					t.Errorf("and once more: %d", n)
				}
			})
		})
	}
}

// again is another process.
func (s *scene) again() {
	s.t.Helper()
	s.stop()
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// TestTargetCrashesInAPass: a target that goes down in the Pass that wrote to it was restarted, though that Pass could not ask for its counters any more.
func TestTargetCrashesInAPass(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		s.fill(12, 20)
		s.sync()
		time.Sleep(3 * day)
		s.run(3, time.Minute)
		old := s.dst.Dump(bucket)[0]
		for _, x := range s.dst.Dump(bucket) {
			if x.Field == "s" && x.Time < old.Time || old.Field != "s" {
				old = x
			}
		}
		s.put("%s s=\"new\" %d", old.Measurement, old.Time)
		time.Sleep(time.Minute)
		wrote := false
		s.mirror.Observe = func(e engine.Event) {
			if e.Kind == "transfer" && e.Written > 0 && !wrote { // recorded, and gone
				wrote = true
				s.dst.Write(bucket, lineOf(old))
				s.dst.Restart()
				s.dst.Fault(influxtest.Path("/metrics"), influxtest.Refuse()).Times(3)
			}
		}
		_, _ = s.try(engine.Goal{})
		if s.mirror.Observe = nil; !wrote || len(s.missing()) != 1 {
			t.Fatalf("void: %v", s.missing())
		}
		for range 6 {
			time.Sleep(time.Minute)
			_, _ = s.try(engine.Goal{})
		}
		s.proven()
	})
}

// TestNewDataGoesBeforeDoubt: a restarted target that takes long to be read again gets new data meanwhile, and all of it is read in the end.
func TestNewDataGoesBeforeDoubt(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		s.fill(40, 20)
		s.sync()
		s.run(2, time.Minute)
		at := s.dst.Dump(bucket)[0]
		for _, x := range s.dst.Dump(bucket) {
			if x.Field == "s" && x.Time < at.Time || at.Field != "s" {
				at = x
			}
		}
		at.Value = "lost"
		s.dst.Write(bucket, lineOf(at))
		s.dst.Restart()
		s.dst.Fault(func(r *http.Request) bool { return strings.Contains(r.Form.Get("q"), "EXPLAIN SELECT") }, influxtest.Delay(time.Second))
		doubted, passes := uint64(math.MaxUint64), 0
		for began := time.Now(); ; passes++ {
			s.put("live v=%d %d", passes, now())
			time.Sleep(20 * time.Second)
			start := time.Now()
			r, err := s.try(engine.Goal{Slice: 30 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("a pass took %s", took)
			}
			if m := s.missing(); len(m) > 1 {
				t.Errorf("new data waits: %q", m)
			}
			if r.Doubted >= doubted && doubted > 0 {
				t.Errorf("%d samples are in doubt, and were before", r.Doubted)
			}
			if doubted = r.Doubted; doubted == 0 && len(s.missing()) == 0 {
				break
			}
			if time.Since(began) > 15*time.Minute {
				t.Fatalf("%d samples in doubt after 15 minutes, missing %q", doubted, s.missing())
			}
		}
		if passes < 3 {
			t.Errorf("void: %d passes", passes)
		}
	})
}

// TestAnotherHandAllTheTime: somebody who writes to the target without end, as another mirror into the same bucket does, has all of the group that is being
// written read again about once an hour and an old one every ten minutes, and not in each Pass.
func TestAnotherHandAllTheTime(t *testing.T) {
	direct(t, buckets{}, func(s *scene) {
		s.fill(8, 20)
		s.sync()
		s.run(3, time.Minute)
		old := now() - 5*int64(week)
		var read uint64
		const hours = 3
		for i := range hours * 60 {
			s.dst.Write(bucket, fmt.Sprintf("other v=%di %d\nother v=%di %d", i, now(), i, old))
			s.put("live v=%d %d", i, now())
			time.Sleep(time.Minute)
			r, err := s.mirror.Pass(s.t.Context(), engine.Goal{})
			if err != nil {
				t.Fatal(err)
			}
			read += r.Rereads
		}
		if most := uint64(hours*6+2)*40 + (hours+1)*(40+hours*60); read > most || read == 0 {
			t.Errorf("%d samples of the target were read again, at most %d for the groups that somebody wrote to", read, most)
		}
	})
}
