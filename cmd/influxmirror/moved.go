package main

import (
	"context"
	"fmt"

	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// moved recognises servers without ids at other addresses: the buckets have the same names, and hold what was proven of those at the old
// addresses. Its proofs are carried over to the new identities, and the old ones forgotten. It returns nil where that is not so. Without the lock it only
// returns the pair of the old addresses.
func (w *wired) moved(ctx context.Context, key, source, target string) (*ledger.Pair, error) {
	old, was, err := w.known(ctx)
	if err != nil || old == nil || w.back {
		return nil, err
	}
	for _, end := range []struct {
		side     mirror.Side
		was, now string
		at       reader
	}{{mirror.SourceSide, was.Source, source, w.source.reader}, {mirror.TargetSide, was.Target, target, w.target.writer}} {
		switch {
		case end.was == end.now:
			continue
		case !mirror.IsWeak(end.was) || !mirror.IsWeak(end.now) || bucketOf(end.was) != bucketOf(end.now):
			return nil, nil
		}
		same, other, err := engine.Resembles(ctx, old, end.side, end.at, mirror.MinTime)
		if err != nil {
			return nil, err
		}
		if same == 0 {
			proven := false
			err := w.wanted(ctx, old, func(mirror.Group) error { proven = true; return nil })
			if err != nil || proven {
				return nil, err
			}
			continue // nothing was proven, so that nothing can be mistaken for it
		}
		w.target.log.Info(fmt.Sprintf("%s %s: the bucket that was mirrored at another address, recognised by %d of %d windows of it; nothing has to be copied again",
			end.side, end.at.URL(), same, same+other))
	}
	if w.site.lock == nil {
		return old, nil
	}
	return old, w.carry(ctx, old, key, source, target)
}

// carry records the proofs of a pair again under new identities.
func (w *wired) carry(ctx context.Context, old *ledger.Pair, key, source, target string) error {
	now, err := w.site.ledger.PairFrom(ctx, key, source, target)
	if err != nil {
		return err
	}
	// Only what this mirror mirrors: others may share the pair, and carry their own. Whatever an earlier move left there was never forgotten.
	drop := func(p *ledger.Pair) error {
		return w.wanted(ctx, p, func(g mirror.Group) error {
			return p.Record(ctx, mirror.Group{Measurement: g.Measurement, Window: g.Window})
		})
	}
	if err := drop(now); err != nil {
		return err
	}
	if err := w.wanted(ctx, old, func(g mirror.Group) error { return now.Record(ctx, g) }); err != nil {
		return err
	}
	if err := engine.Follow(ctx, old, now, knownNote, reportsNote(w.cfg.Name)); err != nil {
		return err
	}
	w.memory.pair = now
	if err := w.name(ctx); err != nil {
		return err
	}
	return drop(old)
}

// wanted calls fn for what is remembered of each shard group that this mirror mirrors.
func (w *wired) wanted(ctx context.Context, p *ledger.Pair, fn func(mirror.Group) error) error {
	all, err := p.Summaries(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if !w.cfg.Includes(s.Measurement) {
			continue
		}
		g, err := p.Group(ctx, s.Measurement, s.Window)
		if err != nil {
			return err
		}
		if err := fn(g); err != nil {
			return err
		}
	}
	return nil
}
