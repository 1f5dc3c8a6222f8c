package engine

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// maxTries is how often one Transfer is tried in a Pass, each time with half the Chunk.
const maxTries = 5

const (
	lanes     = 3 // Chunks of history under way at once
	slowLanes = 4 // more of them on a slow link
	tailLanes = 4 // Chunks of the tail: small, so that the link's delay counts most
)

// Goal says how far a Pass goes.
type Goal struct {
	// Insist looks everywhere and reads again whatever was written to since it was proven: sync. Otherwise a Pass
	// trusts unchanged counters and spreads that work: run.
	Insist bool
	// Slice ends the Pass after this long, so that the tail is served again; 0 works to the end.
	Slice time.Duration
	dry   bool // only a plan
}

// Report is what a Pass came to.
type Report struct {
	Mirror      string
	Date        int64 // the source's clock
	Edge        int64 // everything before should be settled
	Planned     int
	Done        int
	Left        int    // transfers not done in this Pass
	LeftSamples uint64 // the source's count of them
	Samples     uint64 // read at the source
	Written     int64  // lines sent
	Live        int    // transfers that somebody was writing into
	Reasons     map[plan.Reason]int
	SettledTo   int64 // end of the newest unbroken stretch of settled Cells
	Source      mirror.Probe
	Target      mirror.Probe
	Errors      []string // of transfers that were given up until the next Pass
	Idle        bool     // the servers' counters said that there is nothing to do
	Totals      Totals
	Rereads     uint64 // Samples of the target that were read again for its restart, for another hand, or for their age
	Doubted     uint64 // Samples that a restarted target has to be asked for again
}

// Totals add up what the ledger holds.
type Totals struct {
	Cells    int
	Samples  uint64
	Excepted uint64
	Extra    uint64
	Oldest   int64 // AsOf of the oldest Proof of what both sides keep
	Checked  int64 // the target's clock when it was last read there, of the Proof of which that is longest ago
}

// Lag is what would be lost if the source died now, in time.
func (r Report) Lag() time.Duration { return time.Duration(r.Date - r.SettledTo) }

// Complete reports whether everything up to the goal is proven.
func (r Report) Complete() bool { return r.Left == 0 && r.Live == 0 && len(r.Errors) == 0 }

// Plan returns what a Pass would do now. It writes nothing to either server.
func (m *Mirror) Plan(ctx context.Context) ([]plan.Transfer, Report, error) {
	e, err := m.probe(ctx)
	if err != nil {
		return nil, Report{}, err
	}
	work, _, err := m.plan(ctx, e, Goal{Insist: true, dry: !m.Recover})
	r := m.report(e, work)
	if err == nil && !m.Recover {
		again, err := m.agenda(ctx, e)
		return append(work, again...), r, err
	}
	return work, r, err
}

func (m *Mirror) plan(ctx context.Context, e ends, g Goal) ([]plan.Transfer, scope, error) {
	clear(m.pending)
	clear(m.looked)
	m.aged = aged{}
	m.shrunk = shrink{}
	m.restarted(e)
	sc := m.scope(e, g.Insist)
	m.doubtTarget(e, sc.restart)
	if g.Insist && !g.dry { // what is wrong there is work of this Pass; otherwise new data goes first
		if err := m.recheck(ctx, e, time.Time{}); err != nil {
			return nil, sc, err
		}
		if err := m.meddled(ctx, e, time.Time{}, true); err != nil {
			return nil, sc, err
		}
	}
	if err := m.exchanged(ctx, e); err != nil {
		return nil, sc, err
	}
	sc.again = map[key]bool{}
	for _, t := range m.queue {
		if t.Reason == plan.Changed {
			sc.again[keyOf(t)] = true
		}
	}
	if !sc.whole && len(sc.windows) == 0 {
		return m.queue, sc, nil
	}
	began := time.Now()
	slots, err := m.look(ctx, e, sc)
	if sc.whole {
		m.seen.Took = int64(time.Since(began))
	}
	if err != nil {
		return nil, sc, err
	}
	work := plan.Make(e.policy, slots)
	again := map[key]bool{}
	for _, s := range slots {
		again[key{s.Group.Measurement, s.Group.Window.Start}] = true
	}
	for i := range work {
		if t := &work[i]; !t.Prove { // what was copied a moment ago is not sent twice; its Cell is proven when it closes
			t.Chunk.Window.Start = max(t.Chunk.Window.Start, m.copied[t.Chunk.Measurement])
		}
	}
	work = slices.DeleteFunc(work, func(t plan.Transfer) bool { return t.Chunk.Window.Empty() })
	for _, t := range m.queue {
		if !sc.whole && !again[keyOf(t)] { // what was looked at now is planned anew
			work = append(work, t)
		}
	}
	return work, sc, nil
}

func keyOf(t plan.Transfer) key { return key{t.Chunk.Measurement, t.Group.Start} }

// Pass does one round: probe, survey, plan, transfer, report. A bug that shows in it is a Blocked, behind which the Mirror is not to be used any more.
func (m *Mirror) Pass(ctx context.Context, g Goal) (r Report, _ error) {
	err := m.safely(func() (err error) { r, err = m.pass(ctx, g); return err })
	return r, err
}

func (m *Mirror) pass(ctx context.Context, g Goal) (Report, error) {
	var e ends
	err := m.again(ctx, time.Time{}, plan.Transfer{}, func() (err error) { e, err = m.probe(ctx); return err })
	if err != nil {
		return Report{}, err
	}
	m.reached = time.Now()
	m.observe(Event{Kind: "probe"})
	var work []plan.Transfer
	var sc scope
	if err := m.again(ctx, time.Time{}, plan.Transfer{}, func() (err error) { work, sc, err = m.plan(ctx, e, g); return err }); err != nil {
		return Report{}, err
	}
	r := m.report(e, work)
	if m.shrunk.groups > 0 {
		r.Errors = append(r.Errors, m.shrunk.say(e, m.seen.Restarted))
	}
	r.Idle = !sc.whole && len(sc.windows) == 0
	m.observe(Event{Kind: "plan", Left: len(work)})
	if sc.whole {
		// Kept now: whatever is found from here on was found after these counters were read.
		m.seen.Whole, m.seen.Digest = e.src.Date, m.Seen()
	}
	left, err := m.work(ctx, e, g, work, &r)
	if isBug(err) {
		return r, err
	}
	m.sort(left, &r, e.policy.Floor())
	m.compared = m.compared || err == nil
	if err == nil && !slices.ContainsFunc(left, func(t tried) bool { return t.Reason == plan.Changed }) {
		for _, w := range sc.reread {
			m.reread[w.Start] = e.src.Date
		}
		for _, id := range sc.still {
			delete(m.seen.Moved, id)
		}
	}
	if err == nil {
		err = m.merge(ctx, e)
	}
	if err == nil {
		err = m.rereads(ctx, e, &r)
	}
	if err == nil {
		err = m.scrub(ctx, e, g, &r)
	}
	m.tell(e)
	m.tellLost(e)
	r.Rereads = m.aged.Target
	for _, s := range m.suspected {
		r.Doubted += s.samples
	}
	if saved := m.remember(ctx, e, r); err == nil {
		err = saved
	}
	m.add(&r, e.policy.Floor())
	return r, err
}

// sort keeps what was not done for the next Pass: what was never tried, or is not found by counts, as it is, the rest to be looked at again. It also finds
// the end of the newest unbroken stretch of settled Cells.
func (m *Mirror) sort(left []tried, r *Report, floor int64) {
	m.queue = m.queue[:0:0]
	clear(m.backlog)
	for k, source := range m.looked {
		// What was counted and is not proven yet, open Cells above all, is looked at again though nothing is written any more.
		if k.start >= floor && m.summary(k).Source != source {
			m.backlog[k] = true
		}
	}
	slices.SortFunc(left, func(a, b tried) int { return cmp.Compare(b.Chunk.Window.Stop, a.Chunk.Window.Stop) })
	for _, t := range left {
		if t.Prove && t.Chunk.Window.Start < r.SettledTo && t.Chunk.Window.Stop >= r.SettledTo {
			r.SettledTo = t.Chunk.Window.Start
		}
		switch {
		case t.tried && t.Reason != plan.Changed:
			m.backlog[keyOf(t.Transfer)] = true
		case t.tried:
			t.Compare = true
			fallthrough
		default:
			m.queue = append(m.queue, t.Transfer)
		}
	}
}

// tried is a Transfer that was not finished in this Pass.
type tried struct {
	plan.Transfer
	tried bool
}

// work carries out Transfers: the tail one by one, then history in two lanes.
// It returns what was not finished, open Cells among it.
func (m *Mirror) work(ctx context.Context, e ends, g Goal, work []plan.Transfer, r *Report) (left []tried, failed error) {
	var mu sync.Mutex // guards r, next, failed, left
	next := 0
	defer func() {
		for _, t := range work[next:] {
			left = append(left, tried{t, false})
		}
	}()
	var until time.Time // of history: counted from when the tail is done, so that a slow survey leaves it some
	run := func(t plan.Transfer) error {
		end := until
		if t.Live() {
			end = time.Time{}
		}
		o, rest, err := m.persist(ctx, e, t, end)
		mu.Lock()
		defer mu.Unlock()
		r.Samples += o.Samples
		r.Written += o.Written
		if o.Written > 0 || err != nil { // of what failed a part may have been written
			m.wrote[t.Group] = append(m.wrote[t.Group], t.Chunk.Measurement)
		}
		for _, part := range rest {
			left = append(left, tried{part, err != nil})
		}
		switch {
		case err != nil && stops(err):
			return err
		case err != nil:
			r.Errors = append(r.Errors, err.Error())
			m.log.Warn("transfer given up until the next pass", "window", t.Chunk.Window, "measurement", t.Chunk.Measurement, "err", err)
		case len(rest) > 0:
		case o.Live:
			r.Live++
			left = append(left, tried{t, true})
		default:
			r.Done++
			r.Left--
			r.LeftSamples -= t.Samples
			m.explain(t)
			if !t.Prove { // it is proven when its Cell closes
				m.copied[t.Chunk.Measurement] = o.Date
				left = append(left, tried{t, true})
			}
		}
		m.observe(Event{Kind: "transfer", Transfer: t, Samples: o.Samples, Written: o.Written, Left: r.Left, Err: err})
		return nil
	}
	live := 0
	for live < len(work) && work[live].Live() {
		live++
	}
	lane := func(end, workers int, gate func() (func(), error)) {
		var wg sync.WaitGroup
		turn := make(chan struct{}, 1) // what is first in line goes through the gate first
		for range workers {
			wg.Go(func() {
				for {
					turn <- struct{}{}
					mu.Lock()
					if failed != nil || next >= end || ctx.Err() != nil || next >= live && over(until, 0) {
						mu.Unlock()
						<-turn
						return
					}
					t := work[next]
					next++
					mu.Unlock()
					leave, err := gate()
					<-turn
					if err == nil {
						err = mirror.Caught(func() error { return run(t) })
						leave()
					} else {
						mu.Lock()
						left = append(left, tried{t, false})
						mu.Unlock()
					}
					if err != nil {
						mu.Lock()
						failed = errors.Join(failed, err)
						mu.Unlock()
						return
					}
				}
			})
		}
		wg.Wait()
	}
	lane(live, tailLanes, func() (func(), error) { return func() {}, nil })
	if g.Slice > 0 {
		until = time.Now().Add(g.Slice)
	}
	lane(len(work), lanes+slowLanes, func() (func(), error) { return m.Gate.leave, m.Gate.enter(ctx, m.Rank) })
	if failed == nil {
		failed = ctx.Err()
	}
	return left, failed
}

// remember keeps what this Pass saw for the next one.
func (m *Mirror) remember(ctx context.Context, e ends, r Report) error {
	m.seen.Source = e.src.Counters
	m.seen.Backlog = len(m.backlog) > 0 || len(m.queue) > 0
	m.seen.Target, m.seen.TargetAt = m.ours(context.WithoutCancel(ctx), e.dst.Counters), e.dst.Date
	m.seenKnown = true
	kept := m.seen
	if m.seen.Backlog {
		kept.Whole = 0 // another process does not know where it was
	}
	return note(context.WithoutCancel(ctx), m.ledger, kept)
}

// ours returns the target's counters with what this Pass wrote itself: shards it wrote to as they are now, all others as they
// were when the Pass began, so that what somebody else wrote meanwhile still shows. Where that cannot be told, as when the target goes down in the
// Pass, it is all as it was then: the next Pass sees a restart, and takes what this one wrote for another hand's.
func (m *Mirror) ours(ctx context.Context, then mirror.Counters) mirror.Counters {
	if len(m.wrote) == 0 {
		return then
	}
	defer clear(m.wrote)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	l, ok := m.target.(Locator)
	if !ok {
		return then
	}
	p, err := m.target.Probe(ctx)
	if err != nil || p.Counters.Started != then.Started {
		return then
	}
	shards, err := l.Locate(ctx, m.wrote)
	if err != nil {
		return then
	}
	if m.seen.TargetShards == nil {
		m.seen.TargetShards = map[string]mirror.Window{}
	}
	out := mirror.Counters{Started: then.Started, Shards: maps.Clone(then.Shards)}
	for id, w := range shards {
		m.seen.TargetShards[id] = w
		if n, ok := p.Counters.Shards[id]; ok {
			out.Shards[id] = n
		}
	}
	return out
}

// report begins the report of a Pass.
func (m *Mirror) report(e ends, work []plan.Transfer) Report {
	r := Report{Mirror: m.Name, Date: e.src.Date, Edge: e.policy.Edge, Planned: len(work), Left: len(work), Source: e.src, Target: e.dst,
		Reasons: map[plan.Reason]int{}, SettledTo: min(e.policy.Edge, e.policy.Until)}
	for _, t := range work {
		r.LeftSamples += t.Samples
		r.Reasons[t.Reason]++
	}
	return r
}

// add adds up what the ledger holds. What lies before floor is not looked at any more, and its age says nothing.
func (m *Mirror) add(r *Report, floor int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sums {
		if s.Cells == 0 {
			continue
		}
		r.Totals.Cells += s.Cells
		r.Totals.Samples += s.Source - s.Excepted
		r.Totals.Excepted += s.Excepted
		r.Totals.Extra += s.Extra
		if s.Window.Stop <= floor {
			continue
		}
		if r.Totals.Checked == 0 || s.Checked < r.Totals.Checked {
			r.Totals.Checked = s.Checked
		}
		if r.Totals.Oldest == 0 || s.AsOf < r.Totals.Oldest {
			r.Totals.Oldest = s.AsOf
		}
	}
}
