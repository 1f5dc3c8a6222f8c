package sim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// slot is one measurement in one shard group.
type slot struct {
	measurement string
	start       int64
}

// book is a Ledger that remembers what it was given, so that every new Proof can be checked. Without another Ledger behind it, it is one
// by itself: in memory, and as durable as the one of SQLite.
type book struct {
	behind engine.Ledger // nil for none
	trace  *trace        // nil for none

	mu      sync.Mutex // guards what is below
	groups  map[slot]mirror.Group
	notes   map[string][]byte
	changed map[slot]bool           // since the last check
	sent    map[slot][]mirror.Group // to the Ledger behind, which has not acknowledged it
	claims  []mirror.Group          // such since the last check
	calls   int
	// fail, if set, is asked before and after each call, with its number, and may make it fail.
	fail func(n int, done bool) error
}

var errKilled = errors.New("the process was killed")

func newBook() *book {
	return &book{groups: map[slot]mirror.Group{}, notes: map[string][]byte{}, changed: map[slot]bool{}, sent: map[slot][]mirror.Group{}}
}

// load takes what the Ledger behind holds for what was recorded.
func (b *book) load(ctx context.Context) error {
	groups := map[slot]mirror.Group{}
	all, err := b.behind.Summaries(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		g, err := b.behind.Group(ctx, s.Measurement, s.Window)
		if err != nil {
			return err
		}
		groups[slot{s.Measurement, s.Window.Start}] = g
	}
	b.groups = groups
	return nil
}

// copied is a backup: what a book without another Ledger can be put back to.
func (b *book) copied() *book {
	c := newBook()
	c.groups, c.notes = maps.Clone(b.groups), maps.Clone(b.notes)
	return c
}

func clone(g mirror.Group) mirror.Group {
	g.Proofs, g.Exceptions = slices.Clone(g.Proofs), slices.Clone(g.Exceptions)
	return g
}

// do makes a call, or lets it fail before or after it was done.
func (b *book) do(fn func() error) error {
	b.mu.Lock()
	b.calls++
	n, fail := b.calls, b.fail
	b.mu.Unlock()
	if fail != nil {
		if err := fail(n, false); err != nil {
			return err
		}
	}
	err := fn()
	if err == nil && fail != nil {
		err = fail(n, true)
	}
	return err
}

func (b *book) Summaries(ctx context.Context) (out []mirror.Summary, err error) {
	err = b.do(func() (err error) {
		if b.behind != nil {
			out, err = b.behind.Summaries(ctx)
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, g := range b.groups {
			out = append(out, g.Summary())
		}
		slices.SortFunc(out, func(a, b mirror.Summary) int {
			return cmp.Or(cmp.Compare(a.Measurement, b.Measurement), cmp.Compare(a.Window.Start, b.Window.Start))
		})
		return nil
	})
	return out, err
}

func (b *book) Group(ctx context.Context, measurement string, w mirror.Window) (g mirror.Group, err error) {
	err = b.do(func() (err error) {
		if b.behind != nil {
			g, err = b.behind.Group(ctx, measurement, w)
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		var known bool
		if g, known = b.groups[slot{measurement, w.Start}]; !known {
			g = mirror.Group{Measurement: measurement, Window: w}
		}
		g = clone(g)
		return nil
	})
	return g, err
}

func (b *book) Record(ctx context.Context, g mirror.Group) error {
	g = clone(g)
	return b.do(func() error {
		k := slot{g.Measurement, g.Window.Start}
		if b.behind != nil {
			b.mu.Lock()
			b.sent[k] = append(b.sent[k], g)
			b.mu.Unlock()
			if err := b.behind.Record(ctx, g); err != nil {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.claims = append(b.claims, g)
				return err
			}
		}
		if b.trace != nil {
			b.trace.add(fmt.Sprintf("recorded: %q %s %v %v", g.Measurement, g.Window, g.Proofs, g.Exceptions))
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.sent, k)
		b.changed[k] = true
		if b.groups[k] = g; len(g.Proofs)+len(g.Exceptions) == 0 {
			delete(b.groups, k)
		}
		return nil
	})
}

func (b *book) State(ctx context.Context, name string, into any) (found bool, err error) {
	err = b.do(func() (err error) {
		if b.behind != nil {
			found, err = b.behind.State(ctx, name, into)
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		body, ok := b.notes[name]
		if found = ok; !ok {
			return nil
		}
		return json.Unmarshal(body, into)
	})
	return found, err
}

func (b *book) SetState(ctx context.Context, name string, v any) error {
	return b.do(func() error {
		if b.behind != nil {
			return b.behind.SetState(ctx, name, v)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if v == nil {
			delete(b.notes, name)
			return nil
		}
		body, err := json.Marshal(v)
		b.notes[name] = body
		return err
	})
}
