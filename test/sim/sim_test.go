package sim

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"influxmirror/internal/engine"
)

var (
	seeds = flag.Uint64("seeds", 20, "how many histories to live through")
	first = flag.Uint64("seed", 1, "the first seed")
	steps = flag.Int("steps", 60, "steps of a history")
)

// TestHistories: after every Pass each new Proof is true (L1), the source saw no write (L8), and once the faults are off
// everything arrives within two rounds. A failing seed is lived through again with -seed N -seeds 1 -v.
func TestHistories(t *testing.T) {
	fired := 0
	for seed := *first; seed < *first+*seeds; seed++ {
		dir, err := os.MkdirTemp(t.TempDir(), "state")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) { fired += history(t, seed, dir) })
		if t.Failed() {
			t.Fatalf("live through it again: go test ./test/sim -run Histories -seed %d -seeds 1 -v", seed)
		}
	}
	if fired < int(*seeds) {
		t.Errorf("void: only %d faults fired in %d histories", fired, *seeds)
	}
}

func history(t *testing.T, seed uint64, dir string) (fired int) {
	w, err := newWorld(seed, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d:\n%s", seed, strings.Join(w.log, "\n"))
		}
	}()
	pass := func(insist bool) engine.Report {
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+w.rnd.IntN(600))*time.Second)
		defer cancel()
		if insist {
			ctx = context.Background()
		}
		time.Sleep(2 * time.Second) // what was read before is told apart from what is read now by the second
		since := time.Now().UnixNano() / int64(time.Second) * int64(time.Second)
		r, err := w.mirror.Pass(ctx, engine.Goal{Insist: insist})
		w.note("pass insist=%t: %v done %d left %d live %d written %d errors %v: %v", insist, r.Reasons, r.Done, r.Left, r.Live, r.Written, r.Errors, err)
		if b := (*engine.Blocked)(nil); errors.As(err, &b) && strings.Contains(b.Reason, "holds nothing of what was proven") {
			// On 1.x that is all there is to tell another server by, and here every Cell that was looked at was overwritten while the
			// server was restarted. Its owner knows.
			w.note("accept: %v", w.mirror.Accept(ctx))
		}
		lies, err := w.lies(context.Background(), since)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lies {
			t.Errorf("a proof that is not true: %s", l)
		}
		return r
	}
	for range *steps {
		switch w.rnd.IntN(12) {
		case 0, 1, 2, 3:
			w.write()
		case 4, 5, 6:
			pass(false)
		case 7:
			pass(true)
		case 8:
			w.breakLink()
		case 9:
			d := time.Duration(w.rnd.Int64N(int64([]time.Duration{time.Minute, time.Hour, 48 * time.Hour}[w.rnd.IntN(3)])))
			time.Sleep(d)
			w.note("%s pass by", d)
		case 10:
			w.stop()
			if err := w.start(); err != nil {
				t.Fatal(err)
			}
			w.note("a new process")
		case 11:
			s, name := w.src, "source"
			if w.rnd.IntN(2) == 0 {
				s, name = w.dst, "target"
			}
			s.Restart()
			w.restarted = w.restarted || s == w.src
			w.note("%s restarted", name)
		}
		if t.Failed() {
			return fired
		}
	}
	fired = w.mend()
	time.Sleep(time.Hour) // the last Cells close
	r := pass(true)
	if !r.Complete() {
		r = pass(true)
	}
	if !r.Complete() {
		t.Errorf("not complete after the faults are off: %+v", r)
	}
	v, err := w.mirror.Verify(context.Background(), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, code := v.Result(); code == 4 && w.restarted {
		// Strings and booleans overwritten between the last look and a restart of the source leave no trace in counters or
		// sums; verify or the next scrub finds them.
		w.note("verify found %v", v.Differences)
		pass(true)
		if v, err = w.mirror.Verify(context.Background(), true); err != nil {
			t.Fatal(err)
		}
	}
	if word, code := v.Result(); code != 0 {
		t.Errorf("verify: %s %+v", word, v)
	}
	if m := w.missing(); len(m) > 0 {
		t.Errorf("%d samples are missing, first %q", len(m), m[0])
	}
	if again := pass(true); again.Written > 0 {
		t.Errorf("a pass with nothing to do wrote %d lines", again.Written)
	}
	idle := false
	for range 5 {
		time.Sleep(time.Minute)
		idle = idle || pass(false).Idle
	}
	if !idle {
		t.Errorf("nothing happens any more and no pass is idle")
	}
	for _, q := range w.src.Requests() {
		if q.Wrote {
			t.Errorf("the source was written: %+v", q)
		}
	}
	return fired
}
