package engine

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"influxmirror/internal/mirror"
)

const (
	// restartReach is how far back a restarted target is read again: it may have lost what it had acknowledged.
	restartReach = 48 * 3600 * second
	scrubNote    = "scrub"
	// scrubSlice is how long one Pass may scrub.
	scrubSlice = 5 * time.Second
)

// scrubbing is where the current round of reading the target again stands.
type scrubbing struct {
	Started     int64 // target clock when the round began
	Done        bool
	Measurement string // the last one done
	Start       int64
}

// scrub reads the target again, a little in each Pass that has nothing else to do, and compares it with what was proven. A round
// begins when the last one is older than the scrub period. It reads nothing at the source.
func (m *Mirror) scrub(ctx context.Context, e ends) error {
	if m.Scrub <= 0 {
		return nil
	}
	var at scrubbing
	found, err := m.ledger.State(ctx, scrubNote, &at)
	if err != nil {
		return err
	}
	now := e.dst.Date
	if !found || at.Done && now-at.Started >= int64(m.Scrub) {
		if at = (scrubbing{Started: now, Done: !found}); at.Done {
			return m.ledger.SetState(ctx, scrubNote, at) // the first round is due a period after the first proof
		}
	}
	if at.Done {
		return nil
	}
	began := time.Now()
	for _, s := range m.ordered() {
		if cmp.Or(cmp.Compare(s.Measurement, at.Measurement), cmp.Compare(s.Window.Start, at.Start)) <= 0 && at.Measurement != "" {
			continue
		}
		if time.Since(began) > scrubSlice || ctx.Err() != nil {
			return m.ledger.SetState(context.WithoutCancel(ctx), scrubNote, at)
		}
		if err := m.checkTarget(ctx, e, s, mirror.Axis, math.MaxInt64); err != nil {
			return err
		}
		at.Measurement, at.Start = s.Measurement, s.Window.Start
	}
	return m.ledger.SetState(ctx, scrubNote, scrubbing{Started: at.Started, Done: true})
}

// recheck reads the newest of a restarted target again and drops the Proofs it no longer bears out. What was read since the restart was
// noticed is not read once more when the link breaks before the end.
func (m *Mirror) recheck(ctx context.Context, e ends) error {
	if now := e.dst.Counters.Started; m.restart.started != now {
		m.restart.started, m.restart.noticed = now, e.dst.Date
	}
	w := mirror.Window{Start: e.src.Date - restartReach, Stop: e.policy.Horizon}
	for _, s := range m.ordered() {
		if s.Window.Overlaps(w) {
			if err := m.checkTarget(ctx, e, s, w, m.restart.noticed); err != nil {
				return err
			}
		}
	}
	return nil
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
			if err := m.checkTarget(ctx, e, s, mirror.Axis, math.MaxInt64); err != nil {
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

// checkTarget reads the target where Proofs of one shard group overlap w and were checked before a time of the target's clock. A Proof that it bears out is dated anew on the target's side, any other is
// dropped and its slot looked at in the next Pass.
func (m *Mirror) checkTarget(ctx context.Context, e ends, s mirror.Summary, w mirror.Window, before int64) error {
	if s.Window.Stop <= e.policy.Floor() {
		return nil
	}
	g, err := m.ledger.Group(ctx, s.Measurement, s.Window)
	if err != nil {
		return err
	}
	var due []mirror.Proof
	for _, p := range g.Proofs {
		if p.Window.Overlaps(w) && p.Window.Start >= e.policy.Floor() && p.CheckedAt < before {
			due = append(due, p)
		}
	}
	var fresh []mirror.Proof
	var exceptions []mirror.Exception
	for len(due) > 0 {
		c, n := chunkOf(s.Measurement, due)
		r, err := readWindows(ctx, m.target, c)
		if err != nil {
			return err
		}
		run := due[:n]
		due = due[n:]
		if r.Live {
			continue // written to now: verify reads it
		}
		for _, p := range run {
			if r.Cells[c.Index(p.Window.Start)] == p.Target {
				p.CheckedAt = r.Date
				fresh = append(fresh, p)
				for _, x := range g.Exceptions {
					if p.Window.Covers(x.Window) {
						exceptions = append(exceptions, x)
					}
				}
				continue
			}
			m.log.Warn("the target differs from what was proven", "measurement", s.Measurement, "window", p.Window)
			if err := m.forget(ctx, s.Measurement, s.Window, p.Window); err != nil {
				return err
			}
			k := key{s.Measurement, s.Window.Start}
			m.backlog[k], m.doubted[k] = true, true
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return m.record(ctx, s.Measurement, s.Window, fresh, exceptions)
}

// chunkOf returns a Chunk whose Cells are the first n of the proofs, with empty ones between them.
func chunkOf(measurement string, proofs []mirror.Proof) (c mirror.Chunk, n int) {
	first := proofs[0].Window
	c = mirror.Chunk{Measurement: measurement, Window: first, Width: int64(first.Width())}
	for n = 1; n < len(proofs); n++ {
		w := proofs[n].Window
		if w.Width() != first.Width() || uint64(w.Start-first.Start)%first.Width() != 0 {
			break
		}
		c.Window.Stop = w.Stop
	}
	return c, n
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
