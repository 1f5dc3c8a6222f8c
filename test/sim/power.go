package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"influxmirror/internal/mirror"
)

// outage is the end of a process, or of the power of its machine, in the middle of what its ledger does.
type outage struct {
	power      bool // and not only the process
	files      map[string][]byte
	generation []byte
	rnd        *rand.Rand
}

// outageIn lets the nth file call of the ledger from now on be the last one, then calls done.
func (w *world) outageIn(n int, power bool, done func()) *outage {
	o := &outage{power: power, rnd: rand.New(rand.NewPCG(w.rnd.Uint64(), 3))}
	w.disk.calls = 0
	w.disk.lets(func(i int, _, _ string) ill {
		if i < n {
			return ""
		}
		o.happen(w.disk)
		done()
		return failed
	})
	return o
}

// happen takes down what is left. The caller holds the lock of the disk.
func (o *outage) happen(d *disk) {
	if d.dead = true; o.power {
		o.files = d.cut(o.rnd)
	} else {
		o.files = d.killed()
	}
	o.generation, _ = os.ReadFile(filepath.Join(d.dir, "generation"))
}

// over is the next process, which finds what is left; if nothing happened yet, it happens now.
func (w *world) over(o *outage) error {
	w.disk.mu.Lock()
	if o.files == nil {
		o.happen(w.disk)
	}
	w.disk.mu.Unlock()
	w.stop()
	if err := w.disk.put(o.files); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(w.dir, "generation"), o.generation, 0o600); err != nil {
		return err
	}
	w.expected = true
	if err := w.start(); err != nil {
		return err
	}
	if w.ledger.Rebuilt != "" || w.ledger.Stale {
		w.wrong = append(w.wrong, fmt.Sprintf("after an outage the ledger is rebuilt %q, stale %t", w.ledger.Rebuilt, w.ledger.Stale))
	}
	return nil
}

// recollect compares what a ledger holds after an outage with what it acknowledged: all of that has to be there, and nothing else but what it was given
// and did not come to acknowledge.
func (w *world) recollect(ctx context.Context) error {
	was, sent := w.book.groups, w.book.sent
	if err := w.book.load(ctx); err != nil {
		return err // the next outage came first: what is expected stays so
	}
	w.expected, w.book.sent = false, map[slot][]mirror.Group{}
	same := func(a, b mirror.Group) bool {
		return slices.Equal(a.Proofs, b.Proofs) && (len(a.Exceptions)+len(b.Exceptions) == 0 || reflect.DeepEqual(a.Exceptions, b.Exceptions))
	}
	all := map[slot]bool{}
	for _, groups := range []map[slot]mirror.Group{was, w.book.groups} {
		for k := range groups {
			all[k] = true
		}
	}
	for k := range all {
		g := w.book.groups[k]
		if !same(g, was[k]) && !slices.ContainsFunc(sent[k], func(s mirror.Group) bool { return same(g, s) }) {
			w.wrong = append(w.wrong, fmt.Sprintf("after an outage the ledger holds of %v %v, and acknowledged %v", k, only(g, was[k]), only(was[k], g)))
		}
	}
	clear(w.checked)
	for k, g := range w.book.groups {
		w.checked[k] = slices.Clone(g.Proofs)
	}
	return nil
}

// only returns what Proofs and exceptions one group has and another has not.
func only(a, b mirror.Group) string {
	var out []string
	for _, p := range a.Proofs {
		if !slices.Contains(b.Proofs, p) {
			out = append(out, fmt.Sprint(p))
		}
	}
	if len(a.Exceptions)+len(b.Exceptions) > 0 && !reflect.DeepEqual(a.Exceptions, b.Exceptions) {
		out = append(out, fmt.Sprint(a.Exceptions))
	}
	return fmt.Sprintf("%d proofs, of which only here %s", len(a.Proofs), out)
}
