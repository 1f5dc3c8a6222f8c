package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"influxmirror/internal/engine"
)

// shelfErrand is one story for failing steps on the disk of an archive, which one process writes and another reads: something is there and proven,
// something was overwritten and something is new. which says whose steps are told to fail.
func shelfErrand(t *testing.T, size, which int, fail func(n int, op, name string) ill) {
	dir, err := stateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		c, err := newChain(1, dir, t.Errorf)
		if err != nil {
			t.Fatal(err)
		}
		defer c.end()
		ctx := context.Background()
		pass := func(l *leg, quiet bool) (engine.Report, error) { return l.pass(ctx, true, quiet, nil) }
		put := func(format string, args ...any) { c.src.Write(bucket, fmt.Sprintf(format, args...)) }
		at := now() - int64(60*day)
		for i := range 4 + size {
			put("m,h=%d v=%di,t=\"a%d\" %d\no v=%di %d", i, i, i, at+int64(i)*int64(time.Hour), i, at-int64(i)*int64(week))
		}
		for _, l := range c.legs {
			if r, err := pass(l, true); err != nil || !r.Complete() {
				t.Fatalf("leg %d: %+v, %v", l.n, r, err)
			}
		}
		put("m,h=1 t=\"b\" %d\nn v=1i,w=2i %d\nm,h=9 v=9i %d", at+int64(time.Hour), at+1, now()-int64(time.Second))
		if which == 1 {
			_, _ = pass(c.legs[0], true)
		}
		d, l := []*shelfDisk{c.disk, c.sight}[which], c.legs[which]
		l.restart()
		d.lets(fail)
		for range 2 {
			if r, err := pass(l, which == 1); err == nil && r.Complete() {
				if m := l.lacking(l.now(), r.Edge); len(m) > 0 {
					t.Errorf("the pass says that it is complete, and %q is missing", m)
				}
			}
		}
		d.lets(nil)
		time.Sleep(time.Minute)
		for _, l := range c.legs {
			l.restart()
			r, err := pass(l, true)
			if b := (*engine.Blocked)(nil); errors.As(err, &b) {
				t.Errorf("leg %d: %v", l.n, err)
			}
			if err == nil && !r.Complete() {
				r, err = pass(l, true)
			}
			if m := l.lacking(l.now(), r.Edge); err != nil || !r.Complete() || len(m) > 0 {
				t.Errorf("leg %d, with no step failing any more: complete %t, missing %q, %v: %v", l.n, r.Complete(), m, r.Errors, err)
			}
		}
		if c.holds(1); c.shelf.hurt > 0 {
			t.Errorf("%d files of the archive are damaged", c.shelf.hurt)
		}
	})
}

// shelfAttempts lists all ways for all steps of such an errand.
func shelfAttempts(t *testing.T, size int) (all []attempt) {
	for leg := range 2 {
		var ops []string
		shelfErrand(t, size, leg, func(n int, op, _ string) ill {
			if n > len(ops) {
				ops = append(ops, op)
			}
			return ""
		})
		for i, op := range ops {
			for _, kind := range diskIlls {
				changes := op != "open" && op != "read" && op != "list"
				if kind == failed || changes && kind == lostAnswer || op == "write" && kind == short || changes && op != "sync" && op != "remove" && kind == noRoom {
					all = append(all, attempt{4 + leg, kind, i + 1, false}, attempt{4 + leg, kind, i + 1, true})
				}
			}
		}
		t.Logf("%d steps on the disk of an archive, leg %d", len(ops), leg)
		if len(ops) < 5 {
			t.Fatal("void: too few steps")
		}
	}
	return all
}
