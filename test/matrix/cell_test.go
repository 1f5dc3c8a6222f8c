package matrix

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
	"influxmirror/test/oracle"
)

// A cell is one scenario in one direction. Samples come from the origin; where the source of the direction is a directory, the origin is
// a 2.7.12 bucket that is mirrored into it first, so that there are two hops.
type cell struct {
	*testing.T
	rnd    *rand.Rand
	now    int64
	origin *end
	target *end
	hops   []*hop
	// refused says what an end cannot hold, besides what its kind cannot.
	refused func(e *end, p oracle.Place, value string) bool
	signed  bool // see types
	// extra counts the samples that the target had before and keeps.
	extra int
}

// sides are the names of the servers and the options of the buckets at both ends.
type sides struct {
	servers        string // "": those that are never restarted
	source, target bucket
}

func newCell(t *testing.T, from, to kind, s sides) *cell {
	t.Helper()
	h := fnv.New64a()
	fmt.Fprint(h, t.Name())
	c := &cell{T: t, rnd: rand.New(rand.NewPCG(*seed, h.Sum64())), now: time.Now().UnixNano()}
	c.target = newEnd(t, to, s.servers+"target", s.target)
	if !from.dir {
		c.origin = newEnd(t, from, s.servers+"source", s.source)
		c.hops = []*hop{newHop(t, c.origin, c.target)}
		return c
	}
	c.origin = newEnd(t, v2, s.servers+"source", s.source)
	middle := newEnd(t, dir, "", bucket{group: s.source.group})
	c.hops = []*hop{newHop(t, c.origin, middle), newHop(t, middle, c.target)}
	return c
}

// cannot says whether an end is not able to hold a sample.
func (c *cell) cannot(e *end, p oracle.Place, value string) bool {
	return value[0] == 'u' && !e.unsigned() || c.refused != nil && c.refused(e, p, value)
}

// settle mirrors until everything is proven, hop by hop.
func (c *cell) settle() {
	c.Helper()
	for _, h := range c.hops {
		h.settle()
	}
}

// reopen is what a new process is: nothing but what is on disk is remembered.
func (c *cell) reopen() {
	c.Helper()
	for _, h := range c.hops {
		h.start()
	}
}

// check compares every end with the origin, has the program verify, and looks whether another Pass finds nothing to do. It returns the
// number of samples at the origin.
func (c *cell) check() int {
	c.Helper()
	truth := c.origin.holds(c.T, oracle.Always)
	if len(truth) < 20 {
		c.Fatalf("void: only %d samples", len(truth))
	}
	for i, h := range c.hops {
		want, refused, extra := oracle.Contents{}, 0, 0
		for p, v := range truth {
			if c.cannot(h.target, p, v) {
				refused++
			} else {
				want[p] = v
			}
		}
		got := h.target.holds(c.T, oracle.Always)
		d := oracle.Compare(want, got)
		if i == len(c.hops)-1 {
			extra = c.extra
		}
		if len(d.Extra) == extra {
			d.Extra = nil
		}
		d.Report(c.T, want, got)
		h.verify(refused, extra)
		h.quiet()
		h.proofs(truth, got)
	}
	return len(truth)
}

// A hop is a Mirror between two ends.
type hop struct {
	*testing.T
	source, target *end
	state          string
	ledger         *ledger.Ledger
	mirror         *engine.Mirror
	open           []func() error // closes what is open
}

func newHop(t *testing.T, source, target *end) *hop {
	t.Helper()
	h := &hop{T: t, source: source, target: target, state: t.TempDir()}
	t.Cleanup(h.stop)
	return h
}

// start begins as a new process does.
func (h *hop) start() {
	h.Helper()
	h.stop()
	l, err := ledger.Open(h.state)
	if err != nil {
		h.Fatal(err)
	}
	h.ledger = l
	open := func(ctx context.Context, key, source, target string) (engine.Ledger, error) {
		return l.PairFrom(ctx, key, source, target)
	}
	source, doneSource, err := h.source.source()
	if err != nil {
		h.Fatal(err)
	}
	target, doneTarget, err := h.target.target()
	if err != nil {
		h.Fatal(err)
	}
	h.open = []func() error{doneSource, doneTarget, l.Close}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(h.Output(), nil))
	}
	h.mirror = engine.New(engine.Settings{Name: "m", Wait: 10 * time.Second}, source, target, open, log)
	h.mirror.Observe = func(e engine.Event) {
		if e.Kind == "retry" || e.Kind == "transfer" && (e.Written > 0 || e.Err != nil) {
			h.Logf("  %s %s %q %v compare %v prove %v: samples %d, written %d, %v", e.Kind, e.Transfer.Reason, e.Transfer.Chunk.Measurement, e.Transfer.Chunk.Window,
				e.Transfer.Compare, e.Transfer.Prove, e.Samples, e.Written, e.Err)
		}
	}
}

func (h *hop) stop() {
	for _, done := range h.open {
		if err := done(); err != nil {
			h.Errorf("%v → %v: close: %v", h.source, h.target, err)
		}
	}
	h.open, h.ledger = nil, nil
}

// pass is one Pass; what time can mend is no failure.
func (h *hop) pass(ctx context.Context) (engine.Report, error) {
	h.Helper()
	if h.ledger == nil {
		h.start()
	}
	r, err := h.mirror.Pass(ctx, engine.Goal{Insist: true})
	if b := (*engine.Blocked)(nil); errors.As(err, &b) || err != nil && !engine.Waits(err) {
		h.Fatalf("%v → %v: %v", h.source, h.target, err)
	}
	h.Logf("%v → %v: %v planned, done %d, left %d, live %d, written %d, samples %d, %v %v", h.source, h.target, r.Reasons, r.Done, r.Left, r.Live, r.Written, r.Samples, r.Errors, err)
	return r, err
}

// settle is Pass after Pass until everything is proven.
func (h *hop) settle() {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
	defer cancel()
	for passes := 1; ; passes++ {
		r, err := h.pass(ctx)
		if err == nil && r.Complete() {
			return
		}
		if ctx.Err() != nil {
			h.Fatalf("%v → %v: not settled after %d passes: %+v", h.source, h.target, passes, r)
		}
		<-time.After(100 * time.Millisecond) // the service waits for a second and more
	}
}

// verify has the program compare everything anew; it has to find what the oracle found.
func (h *hop) verify(refused, extra int) {
	h.Helper()
	v, err := h.mirror.Verify(h.Context(), true)
	if err != nil {
		h.Fatalf("verify: %v", err)
	}
	want := "IDENTICAL"
	if extra > 0 {
		want = fmt.Sprintf("COMPLETE, the target keeps %d more", extra)
	}
	if word, _ := v.Result(); word != want {
		h.Errorf("verify says %q, want %q: %v %v", word, want, v.Rows, v.Differences[:min(5, len(v.Differences))])
	}
	if n := v.Rows[engine.RefusedRow].Samples; n != uint64(refused) {
		h.Errorf("verify counts %d refused samples, there are %d: %v", n, refused, v.Rows)
	}
	for _, row := range []engine.Row{engine.Unwritable, engine.ExpiredRow, engine.GoneRow, engine.NotChecked, engine.BeforeRow, engine.Filtered} {
		if n := v.Rows[row].Samples; n != 0 {
			h.Errorf("verify counts %d samples %s", n, row)
		}
	}
}

// proofs fails for every Proof in the ledger that is not true of what both ends were found to hold.
func (h *hop) proofs(source, target oracle.Contents) {
	h.Helper()
	src, dst := oracle.SumsOf(source), oracle.SumsOf(target)
	n := 0
	for _, p := range h.pairs() {
		all, err := p.Summaries(h.Context())
		if err != nil {
			h.Fatal(err)
		}
		for _, s := range all {
			g, err := p.Group(h.Context(), s.Measurement, s.Window)
			if err != nil {
				h.Fatal(err)
			}
			for _, q := range g.Proofs {
				n++
				f := mirror.Fingerprint(src.In(s.Measurement, q.Window.Start, q.Window.Stop))
				g := mirror.Fingerprint(dst.In(s.Measurement, q.Window.Start, q.Window.Stop))
				if f != q.Source || g != q.Target || !q.Holds() {
					h.Errorf("%v → %v: proof of %q %v says %v and %v (excepted %v, extra %v); it is %v and %v", h.source, h.target, s.Measurement, q.Window, q.Source, q.Target, q.Excepted, q.Extra, f, g)
				}
			}
		}
	}
	if n == 0 {
		h.Error("void: no proofs")
	}
}

// pairs are what the ledger knows of this pair of ends, each seen in the direction of the hop.
func (h *hop) pairs() (out []*ledger.Pair) {
	h.Helper()
	infos, err := h.ledger.Pairs(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	for _, info := range infos {
		p, err := h.ledger.Pair(h.Context(), info.Key)
		if err != nil {
			h.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// quiet is a Pass that finds nothing to write.
func (h *hop) quiet() {
	h.Helper()
	before := h.target.traces(h.T)
	r, err := h.pass(h.Context())
	if err != nil || !r.Complete() {
		h.Errorf("%v → %v: a pass with nothing new: %v, %+v", h.source, h.target, err, r)
	}
	if r.Written != 0 {
		h.Errorf("%v → %v: a pass with nothing new wrote %d lines: %v", h.source, h.target, r.Written, r.Reasons)
	}
	if after := h.target.traces(h.T); after != before {
		h.Errorf("%v → %v: a pass with nothing new left traces: %s, before %s", h.source, h.target, after, before)
	}
}
