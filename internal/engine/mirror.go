package engine

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// Settings say what is mirrored and how.
type Settings struct {
	Name    string
	Word    string        // the name as a command line takes it, for commands that people are told; "" where that is Name
	Since   int64         // nothing before; mirror.MinTime mirrors everything
	Until   int64         // nothing at or after; 0 mirrors everything
	Wait    time.Duration // pause after a Pass; Cells close max(10 s, Wait) behind the source's clock
	Include []string      // globs of measurements; none: all
	Exclude []string
	Wants   func(measurement string) bool // replaces Include and Exclude; nil: they hold
	Scrub   Scrub                         // how old Proofs may become on each side; the zero value is never read again
	Gate    *Gate                         // shared by all Mirrors of a process; nil: one of its own
	Digest  string                        // of what is mirrored (filters): a change of it asks for a look at everything
	Forth   string                        // of a recovery: what Seen returns for the Mirror of the other direction
	Rank    int                           // among the Mirrors of the Gate: smaller goes first
	Recover bool                          // the direction is turned round to give an emptied server back what it had
	// Prefer says whose value stays where both have a different one of the same series, field and time; the zero value is the source. Where the
	// target is preferred nothing is written over that was there when the target was last read, which is at most one Chunk ago.
	Prefer mirror.Side
}

// Mirror keeps one target bucket equal to one source bucket. One goroutine at a time may call its methods.
type Mirror struct {
	Settings
	source Source
	target Target
	open   func(ctx context.Context, key, source, target string) (Ledger, error)
	log    *slog.Logger
	// Other is what the Mirror of the other direction noted; a recovery reads it. nil: nothing.
	Other Notes
	// Beside says that another process keeps the target equal to the source: Verify gives it the time to bring what the source was given lately.
	Beside bool
	// Observe, if set, is told what happens; it must not block.
	Observe func(Event)

	mu         sync.Mutex // guards the ledger's load-change-record and sums
	ledger     Ledger
	bound      [2]string      // identities of source and target that ledger belongs to
	recognised [2]recognition // of source and target, where an identity is weak
	sums       map[key]mirror.Summary

	trusting  bool // the owner is about to decide: weak identities are taken as they are
	wake      chan struct{}
	seen      seen
	seenKnown bool
	fewer     map[key]uint64   // slots that hold fewer samples than were proven, which was said: the count and one
	began     *mirror.Counters // of the target when a recovery began
	uncounted bool             // by a recovery: the counters of the receiver do not reach back to when it was proven
	compared  bool             // everything was, by a recovery that writes over what differs
	shrunk    shrink           // what the last look found so and waits for
	gone      shrink           // what it found gone for good, and was not said yet
	goneFirst key
	suspected []suspect       // what is left of seen.Doubt; nil: not listed yet
	rechecked map[int64]int64 // start of a shard group → target clock when all of it was last read again for what another hand wrote
	scrubs    []*scrubber
	aged      aged                       // in this Pass
	backlog   map[key]bool               // slots to look at again in the next Pass
	doubted   map[key]bool               // slots of which a Proof was found to be wrong
	looked    map[key]uint64             // slots this Pass looked at, with the source's count
	explained map[cell][2]sums           // sums that differ between the sides although every Sample was compared
	lost      [2]map[string]bool         // shards of source and target that could not be located
	pending   map[cell][2]sums           // sums that differ and are not explained yet
	touched   map[key]bool               // groups recorded since their Cells were last merged
	copied    map[string]int64           // up to where the open Cells of a measurement were copied, by this process
	reread    map[int64]int64            // start of a shard group → source clock when it was last read again for its counter
	limit     atomic.Int64               // samples in a Chunk that the link moves in chunkTime
	queue     []plan.Transfer            // history planned and not begun
	reached   time.Time                  // when both ends were found to be there last
	wrote     map[mirror.Window][]string // shard groups of the target this Pass wrote to, with measurements
}

type key struct {
	measurement string
	start       int64 // of the shard group
}

// compare orders keys, so that a Pass goes the same way each time.
func (k key) compare(o key) int {
	return cmp.Or(cmp.Compare(k.start, o.start), cmp.Compare(k.measurement, o.measurement))
}

type cell struct {
	measurement string
	start       int64
}

type sums struct{ digest, samples uint64 }

// word is the Mirror's name in a command that people are told.
func (m *Mirror) word() string {
	if m.Word != "" {
		return m.Word
	}
	return m.Name
}

// New returns a Mirror. open returns the Ledger of the pair of identities; it is called once both ends are known.
func New(s Settings, source Source, target Target, open func(ctx context.Context, key, source, target string) (Ledger, error), log *slog.Logger) *Mirror {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if s.Wait <= 0 {
		s.Wait = 30 * time.Second
	}
	if s.Since == 0 {
		s.Since = mirror.MinTime
	}
	if s.Until == 0 {
		s.Until = math.MaxInt64
	}
	if s.Gate == nil {
		s.Gate = NewGate(lanes)
	}
	m := &Mirror{Settings: s, fewer: map[key]uint64{}, wake: make(chan struct{}, 1), source: source, target: target, open: open, log: log.With("mirror", s.Name),
		backlog: map[key]bool{}, doubted: map[key]bool{}, looked: map[key]uint64{}, explained: map[cell][2]sums{}, pending: map[cell][2]sums{}, touched: map[key]bool{}, copied: map[string]int64{}, reread: map[int64]int64{}, rechecked: map[int64]int64{}, wrote: map[mirror.Window][]string{}}
	m.limit.Store(maxChunk / 2)
	return m
}

// Margin is how far behind the source's clock Cells close.
func (m *Mirror) Margin() time.Duration { return max(10*time.Second, m.Wait) }

// Event is something worth showing.
type Event struct {
	Kind     string // "probe", "plan", "transfer", "retry", "count", "verify", "alarm", "pass"
	Transfer plan.Transfer
	Samples  uint64 // moved or compared by it
	Written  int64  // lines
	Left     int    // transfers still to do in this Pass
	Err      error
	Report   *Report       // of a Pass that ended
	Pause    time.Duration // until the next Pass of Run
}

func (m *Mirror) observe(e Event) {
	if m.Observe != nil {
		m.Observe(e)
	}
}

// Blocked is a state that needs a decision of the owner. Its text is one sentence that ends with the command that resolves it.
type Blocked struct {
	Reason string
	Cause  error // nil: what both ends say
}

func (b *Blocked) Error() string { return b.Reason }
func (b *Blocked) Unwrap() error { return b.Cause }

func blocked(format string, args ...any) error { return &Blocked{Reason: fmt.Sprintf(format, args...)} }

// wanted applies the include and exclude globs.
func (m *Mirror) wanted(measurement string) bool {
	if m.Wants != nil {
		return m.Wants(measurement)
	}
	match := func(globs []string) bool {
		return slices.ContainsFunc(globs, func(g string) bool { ok, _ := path.Match(g, measurement); return ok })
	}
	return (len(m.Include) == 0 || match(m.Include)) && !match(m.Exclude)
}

// ends is what a Pass knows of both ends from its probe on.
type ends struct {
	src, dst mirror.Probe
	policy   plan.Policy
	at       time.Time // when they were probed, on our own clock: only to tell how much time has passed
}

// probe asks both ends, binds the Mirror to their identities and loads what is remembered of them.
func (m *Mirror) probe(ctx context.Context) (ends, error) {
	e := ends{at: time.Now()}
	var err error
	if e.src, err = m.source.Probe(ctx); err != nil {
		return e, err
	}
	if e.dst, err = m.target.Probe(ctx); err != nil {
		return e, err
	}
	if mirror.Whole(e.src.Identity) == mirror.Whole(e.dst.Identity) {
		return e, blocked("source and target are the same bucket (%s); give the target another bucket in the config", e.src.Identity)
	}
	if twice(e.src, e.dst) {
		return e, blocked("source and target are the same bucket %s of one server, which has two addresses; nothing is written; give the target another bucket, and: influxmirror sync %s", e.src.Bucket, m.word())
	}
	if m.ledger == nil || m.bound != [2]string{e.src.Identity, e.dst.Identity} {
		if err := m.bind(ctx, e); err != nil {
			return e, err
		}
	}
	grid := mirror.NewGrid(e.src.ShardGroup)
	if err := m.regrid(ctx, grid); err != nil {
		return e, err
	}
	e.policy = plan.NewPolicy(grid, e.src.Date, int64(m.Margin()))
	e.policy.Since, e.policy.Until = m.Since, m.Until
	e.policy.SourceFloor = plan.Retained(e.src.Date, e.src.Retention)
	e.policy.TargetFloor = plan.Retained(e.dst.Date, e.dst.Retention)
	if err := m.begin(ctx, e); err != nil {
		return e, err
	}
	return e, m.recognise(ctx, e)
}

// bind opens the Ledger of the pair. The pair is unordered: Proofs of A and B serve both directions.
func (m *Mirror) bind(ctx context.Context, e ends) error {
	pair := []string{e.src.Identity, e.dst.Identity}
	slices.Sort(pair)
	l, err := m.open(ctx, pair[0]+"|"+pair[1], e.src.Identity, e.dst.Identity)
	if err != nil {
		return err
	}
	all, err := l.Summaries(ctx)
	if err != nil {
		return err
	}
	m.sums = make(map[key]mirror.Summary, len(all))
	for _, s := range all {
		if m.wanted(s.Measurement) { // the rest is another Mirror's, or was this one's under other Settings
			m.sums[key{s.Measurement, s.Window.Start}] = s
		}
	}
	if m.seen, m.seenKnown, err = recall(ctx, l, m.Seen()); err != nil {
		return err
	}
	if now := [2]string{e.src.Identity, e.dst.Identity}; m.bound != now {
		m.recognised = [2]recognition{}
		m.bound, m.queue = now, nil // what was found out about other buckets does not hold
		clear(m.backlog)
		clear(m.explained)
		clear(m.copied)
		clear(m.reread)
		clear(m.rechecked)
		clear(m.wrote)
	}
	m.suspected, m.scrubs = nil, nil
	m.ledger = l
	return nil
}

// Rebind makes the next Pass find its Ledger anew, after an accepted change.
func (m *Mirror) Rebind() { m.ledger = nil }

// regrid moves Proofs into the shard groups of a changed duration.
func (m *Mirror) regrid(ctx context.Context, grid mirror.Grid) error {
	var old []mirror.Summary
	for _, s := range m.ordered() {
		if grid.Group(s.Window.Start) != s.Window {
			old = append(old, s)
		}
	}
	// All of them go first: a group of the old cut may begin where one of the new does.
	var groups []mirror.Group
	for _, s := range old {
		g, err := m.ledger.Group(ctx, s.Measurement, s.Window)
		if err != nil {
			return err
		}
		groups = append(groups, g)
		if err := m.ledger.Record(ctx, mirror.Group{Measurement: s.Measurement, Window: s.Window}); err != nil {
			return err
		}
		delete(m.sums, key{s.Measurement, s.Window.Start})
	}
	if len(old) > 0 {
		m.queue = nil // planned for the old groups
		m.seen.Whole = 0
	}
	for _, g := range groups {
		for _, p := range g.Proofs {
			w := grid.Group(p.Window.Start)
			if !w.Covers(p.Window) {
				continue // not observed in the new cut: not proven
			}
			var exceptions []mirror.Exception
			for _, x := range g.Exceptions {
				if p.Window.Covers(x.Window) {
					exceptions = append(exceptions, x)
				}
			}
			if err := m.record(ctx, g.Measurement, w, []mirror.Proof{p}, exceptions); err != nil {
				return err
			}
		}
	}
	return nil
}

// record puts Proofs into their shard group, in one durable transaction.
func (m *Mirror) record(ctx context.Context, measurement string, group mirror.Window, proofs []mirror.Proof, exceptions []mirror.Exception) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, err := m.ledger.Group(ctx, measurement, group)
	if err != nil {
		return err
	}
	g.Put(proofs, exceptions)
	m.touched[key{measurement, group.Start}] = true
	return m.keep(ctx, g)
}

// mergeAge is how long the Cells of the tail stay fine, in nanoseconds.
const mergeAge = 60 * mirror.TailWidth

// worthMerging is how many Proofs of a group have to become fewer before it is stored once more for that.
const worthMerging = 8

// merge joins Proofs that are no longer of the tail, in groups that were recorded since. It waits for the end of a Pass: a Proof that was
// joined with its neighbours takes them along when one of them is recorded anew.
func (m *Mirror) merge(ctx context.Context, e ends) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range slices.SortedFunc(maps.Keys(m.touched), key.compare) {
		g, err := m.ledger.Group(ctx, k.measurement, e.policy.Grid.Group(k.start))
		if err != nil {
			return err
		}
		n := len(g.Proofs)
		if g.Merge(e.policy.Grid, e.policy.Edge-mergeAge); n-len(g.Proofs) >= worthMerging {
			if err := m.keep(ctx, g); err != nil {
				return err
			}
		}
		delete(m.touched, k)
	}
	return nil
}

// forget drops the Proofs that overlap any of the windows.
func (m *Mirror) forget(ctx context.Context, measurement string, group mirror.Window, windows ...mirror.Window) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, err := m.ledger.Group(ctx, measurement, group)
	if err != nil {
		return err
	}
	dropped := false
	for _, w := range windows {
		dropped = g.Drop(w) || dropped
	}
	if !dropped {
		return nil
	}
	return m.keep(ctx, g)
}

func (m *Mirror) keep(ctx context.Context, g mirror.Group) error {
	if err := m.ledger.Record(ctx, g); err != nil {
		return err
	}
	k := key{g.Measurement, g.Window.Start}
	if len(g.Proofs) == 0 {
		delete(m.sums, k)
	} else {
		m.sums[k] = g.Summary()
	}
	return nil
}

func (m *Mirror) summary(k key) mirror.Summary {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sums[k]
}
