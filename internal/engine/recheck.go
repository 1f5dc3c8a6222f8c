package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"influxmirror/internal/mirror"
)

const (
	// restartReach is how far back a restarted target is read again, from when it was last seen before: it may have lost what it had acknowledged.
	restartReach = 48 * 3600 * second
	// rereadSlice is how long one Pass of run may read the target again because something happened to it. New data waits no longer than that.
	rereadSlice = 5 * time.Second
)

// doubt says which Proofs a restarted target may not bear out any more. Those that it does are dated anew, so that what is left of it is known
// whatever becomes of this process. The zero value doubts nothing.
type doubt struct {
	Started string // which start of the target's server
	Noticed int64  // target clock, when it was found restarted: Proofs checked since are believed
	From    int64  // target clock: Proofs checked since then are doubted, and so is
	Data    int64  // source clock: all data since then
	Done    bool
}

func (d doubt) of(p mirror.Proof) bool {
	return d.Noticed != 0 && !d.Done && p.CheckedAt < d.Noticed && (p.CheckedAt >= d.From || p.Window.Stop > d.Data)
}

// or returns what either doubts.
func (d doubt) or(o doubt) doubt {
	if o.Noticed > d.Noticed {
		d, o = o, d
	}
	if o.Noticed != 0 {
		d.From, d.Data, d.Done = min(d.From, o.From), min(d.Data, o.Data), d.Done && o.Done
	}
	return d
}

// suspect is a shard group of a measurement with Proofs in doubt.
type suspect struct {
	mirror.Summary
	newest  int64  // CheckedAt
	samples uint64 // of the target, in these Proofs
}

// doubtTarget notes that the target was restarted, or may have been. What it acknowledged within restartReach before it was last seen is doubted,
// however old the data is.
func (m *Mirror) doubtTarget(e ends, restart bool) {
	unknown := !m.seenKnown && len(m.sums) > 0 && !m.Recover // an older ledger was put back: nobody remembers which start of it was seen last
	started := e.dst.Counters.Started
	if !restart && !unknown || m.seen.Doubt.Noticed != 0 && m.seen.Doubt.Started == started {
		return
	}
	was, last := m.seen.Doubt, m.seen.TargetAt
	if last == 0 || last > e.dst.Date {
		last = e.dst.Date
		if unknown {
			last = min(last, m.newest(last))
		}
	}
	d := doubt{Started: started, Noticed: e.dst.Date + second, From: last - restartReach, Data: e.src.Date - (e.dst.Date - last) - restartReach}
	if was.Noticed != 0 && !was.Done {
		d.From, d.Data = min(d.From, was.From), min(d.Data, was.Data)
	}
	m.seen.Doubt, m.suspected = d, nil
	if restart {
		m.log.Info("the target was restarted: what it acknowledged lately is read back")
	}
}

// newest returns about when the target was last read back at all: the newest of the oldest of each shard group.
func (m *Mirror) newest(otherwise int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := int64(math.MinInt64)
	for _, s := range m.sums {
		if s.Cells > 0 {
			at = max(at, s.Checked)
		}
	}
	if at <= 0 {
		return otherwise
	}
	return at
}

// suspects lists where Proofs are in doubt, what the target acknowledged last first.
func (m *Mirror) suspects(ctx context.Context, e ends) ([]suspect, error) {
	out := []suspect{}
	d := m.seen.Doubt
	if d.Noticed == 0 || d.Done {
		return out, nil
	}
	for _, s := range m.ordered() {
		if s.Checked >= d.Noticed || s.Window.Stop <= e.policy.Floor() {
			continue
		}
		g, err := m.ledger.Group(ctx, s.Measurement, s.Window)
		if err != nil {
			return nil, err
		}
		x := suspect{Summary: s, newest: math.MinInt64}
		for _, p := range g.Proofs {
			if d.of(p) && p.Window.Start >= e.policy.Floor() {
				x.newest = max(x.newest, p.CheckedAt)
				x.samples += p.Target.Count
			}
		}
		if x.newest != math.MinInt64 {
			out = append(out, x)
		}
	}
	slices.SortStableFunc(out, func(a, b suspect) int {
		return cmp.Or(cmp.Compare(b.newest, a.newest), cmp.Compare(b.Window.Start, a.Window.Start))
	})
	return out, nil
}

// doubtful makes Verify read all of the shard groups with Proofs in doubt.
func (m *Mirror) doubtful(ctx context.Context, e ends) error {
	was, now := m.seen.Target.Started, e.dst.Counters.Started
	m.doubtTarget(e, m.seenKnown && was != "" && now != "" && was != now)
	list, err := m.suspects(ctx, e)
	for _, s := range list {
		m.doubted[key{s.Measurement, s.Window.Start}] = true
	}
	return err
}

// recheck reads the target again where Proofs are in doubt, and drops those that it no longer bears out.
func (m *Mirror) recheck(ctx context.Context, e ends, until time.Time) (err error) {
	d := &m.seen.Doubt
	if d.Noticed == 0 || d.Done {
		return nil
	}
	if m.suspected == nil {
		if m.suspected, err = m.suspects(ctx, e); err != nil {
			return err
		}
	}
	rest := []suspect{}
	var failed error
	for i, s := range m.suspected {
		if over(until, 0) || ctx.Err() != nil {
			rest = append(rest, m.suspected[i:]...)
			break
		}
		left, err := m.checkTarget(ctx, e, s.Summary, until, d.of)
		if err != nil && (stops(err) || ctx.Err() != nil) {
			m.suspected = append(rest, m.suspected[i:]...)
			return err
		}
		if failed = cmp.Or(failed, err); left || err != nil {
			rest = append(rest, s)
		}
	}
	m.suspected = rest
	d.Done = len(rest) == 0
	return failed
}

// foreign notes which shards of the target another hand than this Mirror's wrote to. What it wrote over there leaves counts as they were.
func (m *Mirror) foreign(e ends, moved []string, restart bool) {
	if m.Recover || strings.HasPrefix(e.dst.Identity, "archive:") {
		return
	}
	if restart { // the counters began anew, and so far nobody of us wrote
		for id, n := range e.dst.Counters.Shards {
			if n > 0 {
				moved = append(moved, id)
			}
		}
	}
	for _, id := range moved {
		m.seen.TargetMoved = with(m.seen.TargetMoved, id, e.dst.Date)
	}
	maps.DeleteFunc(m.seen.TargetMoved, func(id string, _ int64) bool { _, alive := e.dst.Counters.Shards[id]; return !alive })
}

// meddled reads the target again where another hand wrote to it: an old shard group when that is over, and at most every rereadOld while it goes on,
// the one that is being written at most every rereadEvery. insist does so at once.
func (m *Mirror) meddled(ctx context.Context, e ends, until time.Time, insist bool) error {
	live, now := e.policy.Grid.Group(e.src.Date), e.dst.Date
	var failed error
	var all []mirror.Summary // newest first
	for _, id := range slices.Sorted(maps.Keys(m.seen.TargetMoved)) {
		at := m.seen.TargetMoved[id]
		w, known := m.seen.TargetShards[id]
		if !known {
			continue // the look at the whole axis that it asks for locates it
		}
		still, pause := now-at > stillFor, rereadOld
		due := still
		if w.Overlaps(live) {
			due, pause = false, rereadEvery
		}
		if !due && !insist && now-m.rechecked[w.Start] <= pause {
			continue
		}
		if over(until, 0) {
			break
		}
		if all == nil {
			all = m.ordered()
			slices.SortStableFunc(all, func(a, b mirror.Summary) int { return cmp.Compare(b.Window.Start, a.Window.Start) })
		}
		rest := false
		for _, s := range all {
			if !s.Window.Overlaps(w) || s.Checked >= at+stillFor {
				continue
			}
			left, err := m.checkTarget(ctx, e, s, until, func(p mirror.Proof) bool { return p.Window.Overlaps(w) && p.CheckedAt < at+stillFor })
			if err != nil && (stops(err) || ctx.Err() != nil) {
				return err
			}
			failed = cmp.Or(failed, err)
			rest = rest || left || err != nil
		}
		if rest {
			continue
		}
		m.rechecked[w.Start] = now
		if still {
			delete(m.seen.TargetMoved, id)
		}
	}
	return failed
}

// exchanged reads an archive again where another hand than this Mirror's changed its files since the last Pass, and drops the Proofs that it no longer
// bears out: what is put back from a backup has the identity of what was there, and as many samples. Its counters tell files apart, and it is near.
func (m *Mirror) exchanged(ctx context.Context, e ends) error {
	if !m.seenKnown || !strings.HasPrefix(e.dst.Identity, "archive:") {
		return nil
	}
	was := m.seen.Target
	was.Started = e.dst.Counters.Started // its numbers are of what the files are, whoever adds them up
	moved, known := was.Moved(e.dst.Counters)
	all := !known
	var where []mirror.Window
	for _, id := range moved {
		w, known := m.seen.TargetShards[id]
		where, all = append(where, w), all || !known
	}
	for _, s := range m.ordered() {
		if all || slices.ContainsFunc(where, s.Window.Overlaps) {
			if _, err := m.checkTarget(ctx, e, s, time.Time{}, func(mirror.Proof) bool { return true }); err != nil {
				return err
			}
		}
	}
	return nil
}

// ordered lists the Summaries by measurement and time.
func (m *Mirror) ordered() []mirror.Summary {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]mirror.Summary, 0, len(m.sums))
	for _, s := range m.sums {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b mirror.Summary) int {
		return cmp.Or(cmp.Compare(a.Measurement, b.Measurement), cmp.Compare(a.Window.Start, b.Window.Start))
	})
	return out
}

// checkTarget reads the target where Proofs of one shard group are due, until the time is over. A Proof that it bears out is dated anew on the target's
// side, any other is dropped and its slot looked at in the next Pass. rest says that some are still due.
func (m *Mirror) checkTarget(ctx context.Context, e ends, s mirror.Summary, until time.Time, due func(mirror.Proof) bool) (rest bool, err error) {
	if s.Window.Stop <= e.policy.Floor() {
		return false, nil
	}
	g, err := m.ledger.Group(ctx, s.Measurement, s.Window)
	if err != nil {
		return false, err
	}
	var list []mirror.Proof
	for _, p := range g.Proofs {
		if p.Window.Start >= e.policy.Floor() && due(p) {
			list = append(list, p)
		}
	}
	size := uint64(max(minChunk, m.limit.Load()))
	for len(list) > 0 {
		if over(until, 0) || ctx.Err() != nil {
			return true, ctx.Err()
		}
		c, n, samples := chunkOf(s.Measurement, list, size)
		r, err := readWindows(ctx, m.target, c)
		switch k := mirror.KindOf(err); {
		case err == nil:
		case n > 1 && (k == mirror.Broken || k == mirror.TooLarge || k == mirror.Rejected):
			size = samples / 2
			continue
		default:
			return true, err
		}
		m.aged.Target += samples
		run := list[:n]
		list = list[n:]
		if r.Live {
			rest = true
			continue // written to now: it is read once more
		}
		if err := m.redate(ctx, g, c, r, run); err != nil {
			return true, err
		}
	}
	return rest, nil
}

// redate records which of the Proofs the target bears out as of a reading of their Chunk, and drops the others.
func (m *Mirror) redate(ctx context.Context, g mirror.Group, c mirror.Chunk, r mirror.Reading, proofs []mirror.Proof) error {
	var fresh []mirror.Proof
	var exceptions []mirror.Exception
	var wrong []mirror.Window
	for _, p := range proofs {
		if r.Cells[c.Index(p.Window.Start)] != p.Target {
			wrong = append(wrong, p.Window)
			continue
		}
		p.CheckedAt = r.Date
		fresh = append(fresh, p)
		for _, x := range g.Exceptions {
			if p.Window.Covers(x.Window) {
				exceptions = append(exceptions, x)
			}
		}
	}
	if len(wrong) > 0 {
		m.log.Warn("the target differs from what was proven", "measurement", g.Measurement, "window", wrong[0], "windows", len(wrong))
		if err := m.forget(ctx, g.Measurement, g.Window, wrong...); err != nil {
			return err
		}
		k := key{g.Measurement, g.Window.Start}
		m.doubted[k], m.backlog[k] = true, true
		m.aged.Wrong += len(wrong)
	}
	if len(fresh) == 0 {
		return nil
	}
	return m.record(ctx, g.Measurement, g.Window, fresh, exceptions)
}

// tellLost says in a sentence which Proofs turned out not to be true any more.
func (m *Mirror) tellLost(e ends) {
	if n := m.aged.Differ; n > 0 {
		m.observe(Event{Kind: "alarm", Err: fmt.Errorf("the scrub of source bucket %s found %d samples that were changed since they were proven, without a trace in any count; the target has them now", e.src.Bucket, n)})
	}
	if n := m.aged.Wrong; n > 0 {
		m.observe(Event{Kind: "alarm", Err: fmt.Errorf("target bucket %s does not hold any more what was proven in %d windows: lost in a crash, or changed by another hand; they are compared and repaired next", e.dst.Bucket, n)})
	}
}

// rereads reads the target again for what happened to it, as long as a Pass may. Errors of the target leave the rest to the next Pass and are told.
func (m *Mirror) rereads(ctx context.Context, e ends, r *Report) error {
	until := time.Now().Add(rereadSlice)
	err := m.recheck(ctx, e, until)
	if err == nil || !stops(err) {
		err = cmp.Or(err, m.meddled(ctx, e, until, false))
	}
	if err != nil && mirror.KindOf(err) != "" && ctx.Err() == nil {
		r.Errors = append(r.Errors, err.Error())
		return nil
	}
	return errors.Join(err, ctx.Err())
}

// chunkOf returns a Chunk whose Cells are the first n of the proofs, with empty ones between them, and how many Samples of the target they hold: about size
// at most, but one Proof at least.
func chunkOf(measurement string, proofs []mirror.Proof, size uint64) (c mirror.Chunk, n int, samples uint64) {
	first := proofs[0].Window
	c, samples = mirror.Chunk{Measurement: measurement, Window: first, Width: int64(first.Width())}, proofs[0].Target.Count
	for n = 1; n < len(proofs); n++ {
		w := proofs[n].Window
		if w.Width() != first.Width() || uint64(w.Start-first.Start)%first.Width() != 0 || samples+proofs[n].Target.Count > size {
			break
		}
		c.Window.Stop = w.Stop
		samples += proofs[n].Target.Count
	}
	return c, n, samples
}

// readWindows reads the Cells of a Chunk that may lie in several shards.
func readWindows(ctx context.Context, s Source, c mirror.Chunk) (mirror.Reading, error) {
	r, err := s.Read(ctx, c, nil)
	if mirror.KindOf(err) != mirror.MultiShard || c.Window.Width() < 2 {
		return r, err
	}
	at, n := c.Window.Middle(), c.Cells()
	if n > 1 {
		at = c.Cell(n / 2).Start
	}
	var out mirror.Reading
	for i, w := range []mirror.Window{{Start: c.Window.Start, Stop: at}, {Start: at, Stop: c.Window.Stop}} {
		r, err := readWindows(ctx, s, mirror.Chunk{Measurement: c.Measurement, Window: w, Width: int64(min(uint64(c.Width), w.Width()))})
		if err != nil {
			return r, err
		}
		switch {
		case i == 0:
			out = r
			continue
		case n > 1:
			out.Cells = append(out.Cells, r.Cells...)
		default:
			out.Cells = []mirror.Fingerprint{out.Total().Add(r.Total())}
		}
		out.Live, out.Date = out.Live || r.Live, min(out.Date, r.Date)
	}
	return out, nil
}
