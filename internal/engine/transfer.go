package engine

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// outcome is what one Transfer did.
type outcome struct {
	Samples uint64 // found at the source
	Written int64  // lines sent to the target
	Repair  uint64 // Samples that were missing or different although the target had the Cell
	Live    bool   // somebody writes there now; not proven
	Date    int64  // the source's clock when the read began
}

func (o *outcome) add(p outcome) {
	o.Samples += p.Samples
	o.Written += p.Written
	o.Repair += p.Repair
	o.Date = max(o.Date, p.Date)
	o.Live = o.Live || p.Live
}

// transfer carries out one step of the plan. A window that turns out to lie in several shards is halved until it does not.
func (m *Mirror) transfer(ctx context.Context, e ends, t plan.Transfer) (outcome, error) {
	var o outcome
	var err error
	switch {
	case !t.Prove:
		o, err = m.copyOpen(ctx, t.Chunk)
	case t.Compare:
		o, err = m.compare(ctx, e, t)
	case m.Prefer == mirror.TargetSide:
		o, err = m.fill(ctx, e, t)
	default:
		o, err = m.copy(ctx, e, t)
	}
	if mirror.KindOf(err) != mirror.MultiShard {
		return o, err
	}
	w := t.Chunk.Window
	if w.Width() < 2 {
		return o, err
	}
	at := w.Middle()
	if n := t.Chunk.Cells(); n > 1 {
		at = t.Chunk.Cell(n / 2).Start // between two Cells while there are several
	}
	for _, part := range cutAt(t, at) {
		p, err := m.transfer(ctx, e, part)
		o.add(p)
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

// copyOpen copies what is newer than the last closed Cell. It proves nothing, so it reads nothing back.
func (m *Mirror) copyOpen(ctx context.Context, c mirror.Chunk) (outcome, error) {
	if m.Prefer == mirror.TargetSide {
		s, err := m.settle(ctx, c, mirror.Refusals{})
		return outcome{Samples: s.source.Count, Written: s.written, Repair: s.differing, Live: s.live, Date: s.asOf}, err
	}
	r, _, err := m.pump(ctx, c)
	return outcome{Samples: r.Total().Count, Written: r.Points, Date: r.Date}, err
}

// pump reads a Chunk at the source and writes it to the target, and returns when the last line was acknowledged or refused.
func (m *Mirror) pump(ctx context.Context, c mirror.Chunk) (mirror.Reading, mirror.Refusals, error) {
	w, err := m.target.Open(ctx, c)
	if err != nil {
		return mirror.Reading{}, mirror.Refusals{}, err
	}
	r, err := m.source.Read(ctx, c, w.Write)
	if err != nil {
		w.Abort()
		return mirror.Reading{}, mirror.Refusals{}, err
	}
	refused, err := w.Close()
	return r, refused, err
}

// copy writes a Chunk that the target hardly has, reads it back and records what is equal.
func (m *Mirror) copy(ctx context.Context, e ends, t plan.Transfer) (outcome, error) {
	r, refused, err := m.pump(ctx, t.Chunk)
	o := outcome{Samples: r.Total().Count, Written: r.Points, Live: r.Live, Date: r.Date}
	if err != nil || r.Live {
		return o, err
	}
	back, err := m.target.Read(ctx, t.Chunk, nil)
	if err != nil {
		return o, err
	}
	p, err := m.conclude(ctx, e, t, r, back, refused)
	o.add(p)
	return o, err
}

// fill copies a Chunk into a target that hardly has it, and keeps what it has: that is asked just before, for it may have been written since it was
// counted, and Cells that hold anything are compared sample by sample. A Sample that somebody else writes to the target while the rest of the Chunk is
// on its way, at the same place with another value, may be written over: a server has no write that spares what is there.
func (m *Mirror) fill(ctx context.Context, e ends, t plan.Transfer) (outcome, error) {
	have, err := m.target.Read(ctx, t.Chunk, nil)
	if err != nil {
		return outcome{}, err
	}
	if have.Live {
		return outcome{Live: true}, nil
	}
	var o outcome
	for i, n := 0, t.Chunk.Cells(); i < n; {
		j := i + 1
		for j < n && have.Cells[j].IsZero() == have.Cells[i].IsZero() {
			j++
		}
		part := t
		part.Chunk.Window = t.Chunk.Cell(i).Span(t.Chunk.Cell(j - 1))
		put := m.copy
		if !have.Cells[i].IsZero() {
			put = m.repair
		}
		p, err := put(ctx, e, part)
		o.add(p)
		if err != nil {
			return o, err
		}
		i = j
	}
	return o, nil
}

// compare reads both sides, records the Cells that are equal and copies the others.
func (m *Mirror) compare(ctx context.Context, e ends, t plan.Transfer) (outcome, error) {
	var src, dst mirror.Reading
	both, sub := errgroup.WithContext(ctx)
	both.Go(func() error {
		return mirror.Caught(func() (err error) { src, err = m.source.Read(sub, t.Chunk, nil); return err })
	})
	both.Go(func() error {
		return mirror.Caught(func() (err error) { dst, err = m.target.Read(sub, t.Chunk, nil); return err })
	})
	if err := both.Wait(); err != nil {
		return outcome{}, err
	}
	o := outcome{Samples: src.Total().Count, Live: src.Live, Date: src.Date}
	if src.Live || dst.Live {
		o.Live = true
		return o, nil
	}
	if t.Reason == plan.Scrub && src.Total().IsZero() && t.Samples > 0 { // whether all of it was emptied is asked first
		m.seen.Whole, o.Live = 0, true
		return o, nil
	}
	var equal, unequal []int
	for i := range src.Cells {
		switch {
		case src.Cells[i] == dst.Cells[i]:
			equal = append(equal, i)
		default:
			unequal = append(unequal, i)
		}
	}
	var known []int
	known, unequal, err := m.known(ctx, t, unequal, src, dst)
	if err != nil {
		return o, err
	}
	if err := m.prove(ctx, e, t, append(equal, known...), src, dst); err != nil {
		return o, err
	}
	if unequal, err = m.keepExtra(ctx, e, t, unequal, src, dst); err != nil {
		return o, err
	}
	p, err := m.settleCells(ctx, e, t, unequal, mirror.Refusals{})
	o.Written, o.Repair, o.Live = o.Written+p.Written, o.Repair+p.Repair, o.Live || p.Live
	return o, err
}

// keepExtra records the Cells of which the source holds nothing: everything the target has there is extra, whatever it is. It
// returns the others.
func (m *Mirror) keepExtra(ctx context.Context, e ends, t plan.Transfer, cells []int, src, dst mirror.Reading) ([]int, error) {
	var rest []int
	var proofs []mirror.Proof
	var exceptions []mirror.Exception
	for _, i := range cells {
		if !src.Cells[i].IsZero() {
			rest = append(rest, i)
			continue
		}
		w := t.Chunk.Cell(i)
		proofs = append(proofs, mirror.Proof{Window: w, Target: dst.Cells[i], Extra: dst.Cells[i], AsOf: src.Date, CheckedAt: dst.Date})
		exceptions = append(exceptions, mirror.Exception{Class: mirror.Extra, Window: w, Field: mirror.AllFields, Reason: "only on the target", Samples: dst.Cells[i]})
	}
	if len(proofs) == 0 {
		return rest, nil
	}
	return rest, m.store(ctx, e, t, proofs, exceptions)
}

// known finds the Cells whose difference is just what was excepted and extra before, and keeps their Proofs.
func (m *Mirror) known(ctx context.Context, t plan.Transfer, cells []int, src, dst mirror.Reading) (known, rest []int, err error) {
	if len(cells) == 0 {
		return nil, nil, nil
	}
	g, err := m.group(ctx, t)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range cells {
		w := t.Chunk.Cell(i)
		same := false
		for _, p := range g.Proofs {
			same = same || p.Window == w && p.Source == src.Cells[i] && p.Target == dst.Cells[i]
		}
		if same {
			known = append(known, i)
		} else {
			rest = append(rest, i)
		}
	}
	return known, rest, nil
}

// group returns what is remembered of the shard group of a Transfer.
func (m *Mirror) group(ctx context.Context, t plan.Transfer) (mirror.Group, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ledger.Group(ctx, t.Chunk.Measurement, t.Group)
}

// repair brings all Cells of t in line, which the target holds in part or differently.
func (m *Mirror) repair(ctx context.Context, e ends, t plan.Transfer) (outcome, error) {
	cells := make([]int, t.Chunk.Cells())
	for i := range cells {
		cells[i] = i
	}
	return m.settleCells(ctx, e, t, cells, mirror.Refusals{})
}

// settleCells settles some Cells of t, a few at once: each takes several answers of both ends, one after the other, which is long on a long link.
// How many are in memory at once is bounded for the whole process.
func (m *Mirror) settleCells(ctx context.Context, e ends, t plan.Transfer, cells []int, refused mirror.Refusals) (o outcome, _ error) {
	var mu sync.Mutex // guards o
	g, sub := errgroup.WithContext(ctx)
	g.SetLimit(diffs)
	for _, i := range cells {
		settled, err := m.Gate.diff(sub, t.Live()) // in the order of time
		if err != nil {
			break // of ctx, or of a Cell that is told below
		}
		one := func() error {
			part := t
			part.Chunk = mirror.Chunk{Measurement: t.Chunk.Measurement, Window: t.Chunk.Cell(i), Width: t.Chunk.Width}
			s, err := m.settle(sub, part.Chunk, refused)
			mu.Lock()
			o.Written += s.written
			o.Repair += s.differing
			o.Live = o.Live || s.live
			mu.Unlock()
			if err != nil || s.live {
				return err
			}
			return m.store(ctx, e, part, []mirror.Proof{s.proof(part.Chunk.Window)}, s.exceptions)
		}
		g.Go(func() error {
			defer settled()
			return mirror.Caught(one)
		})
	}
	if err := g.Wait(); err != nil {
		return o, err
	}
	return o, ctx.Err()
}

// conclude compares what was read at the source with what was read back, and settles what differs.
func (m *Mirror) conclude(ctx context.Context, e ends, t plan.Transfer, src, back mirror.Reading, refused mirror.Refusals) (outcome, error) {
	var equal, unequal []int
	for i := range src.Cells {
		if src.Cells[i] == back.Cells[i] {
			equal = append(equal, i)
		} else {
			unequal = append(unequal, i)
		}
	}
	if back.Live {
		return outcome{Live: true}, nil
	}
	if err := m.prove(ctx, e, t, equal, src, back); err != nil {
		return outcome{}, err
	}
	return m.settleCells(ctx, e, t, unequal, refused)
}

// prove records Cells whose two readings are equal, or differ by what was enumerated before.
func (m *Mirror) prove(ctx context.Context, e ends, t plan.Transfer, cells []int, src, dst mirror.Reading) error {
	var proofs []mirror.Proof
	var exceptions []mirror.Exception
	var old mirror.Group
	for _, i := range cells {
		p := mirror.Proof{Window: t.Chunk.Cell(i), Source: src.Cells[i], Target: dst.Cells[i], AsOf: src.Date, CheckedAt: dst.Date}
		if p.Source != p.Target {
			if old.Measurement == "" {
				var err error
				if old, err = m.group(ctx, t); err != nil {
					return err
				}
				old.Measurement = t.Chunk.Measurement
			}
			for _, q := range old.Proofs {
				if q.Window == p.Window {
					p.Excepted, p.Extra = q.Excepted, q.Extra
				}
			}
			for _, x := range old.Exceptions {
				if p.Window.Covers(x.Window) {
					exceptions = append(exceptions, x)
				}
			}
		}
		proofs = append(proofs, p)
	}
	return m.store(ctx, e, t, proofs, exceptions)
}

// store records Proofs of t's Chunk. Where nothing is left in a Cell on either side, what was known of it is forgotten.
func (m *Mirror) store(ctx context.Context, e ends, t plan.Transfer, proofs []mirror.Proof, exceptions []mirror.Exception) error {
	for _, p := range proofs {
		if !p.Holds() {
			// Where a server shows a sample twice the list of what differs is not what the sums differ by. Others need not wait for that.
			return &mirror.Error{Kind: mirror.Broken, Side: mirror.SourceSide, Op: "compare", Err: fmt.Errorf("a proof of %s %s that does not hold: %v − %v ≠ %v − %v",
				t.Chunk.Measurement, p.Window, p.Source, p.Excepted, p.Target, p.Extra)}
		}
	}
	kept := proofs[:0]
	var empty []mirror.Window
	for _, p := range proofs {
		if p.Source.IsZero() && p.Target.IsZero() {
			empty = append(empty, p.Window)
			continue
		}
		kept = append(kept, p)
	}
	if len(empty) > 0 && m.summary(key{t.Chunk.Measurement, t.Group.Start}).Cells > 0 {
		if err := m.forget(ctx, t.Chunk.Measurement, t.Group, empty...); err != nil {
			return err
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return m.record(ctx, t.Chunk.Measurement, t.Group, kept, exceptions)
}
