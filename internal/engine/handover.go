package engine

import (
	"context"

	"influxmirror/internal/mirror"
)

// beganNote keeps the receiver's counters as they were when a recovery began.
const beganNote = "began"

// begin notes what the receiver counted before this recovery wrote to it; what it wrote before it was interrupted is its own.
func (m *Mirror) begin(ctx context.Context, e ends) error {
	if !m.Recover || m.began != nil {
		return nil
	}
	var was mirror.Counters
	if found, err := m.ledger.State(ctx, beganNote, &was); err != nil {
		return err
	} else if !found || was.Started != e.dst.Counters.Started {
		was = e.dst.Counters
		if err := m.ledger.SetState(ctx, beganNote, was); err != nil {
			return err
		}
	}
	m.began = &was
	return nil
}

// HandOver lets the Mirror of the other direction, whose notes are given, go on after this recovery without reading again what it wrote: to that
// Mirror its writes look like any others at the source. Shards that somebody else wrote to between the last Pass of that Mirror and this recovery stay to be read again.
// What somebody writes over during the recovery, in a shard that it writes to, shows in no counter then: verify --full finds it.
func (m *Mirror) HandOver(ctx context.Context, other Notes) error {
	var was seen
	if _, err := other.State(ctx, seenNote, &was); err != nil {
		return err
	}
	now := seen{Source: m.seen.Target, Target: m.seen.Source, Moved: was.Moved, SourceShards: m.seen.TargetShards, TargetShards: m.seen.SourceShards, Took: was.Took}
	_, comparable := was.Source.Moved(*m.began)
	if now.Source.Started != m.began.Started {
		now.Source = mirror.Counters{} // restarted meanwhile
	}
	shards := map[string]uint64{}
	for id, n := range now.Source.Shards {
		before, written := m.began.Shards[id]
		old, known := was.Source.Shards[id]
		switch {
		case comparable && known == written && old == before, !comparable && before == 0:
			shards[id] = n
		case comparable && known:
			shards[id] = old
		}
	}
	if now.Source.Known() {
		now.Source.Shards = shards
	}
	if err := other.SetState(ctx, seenNote, now); err != nil {
		return err
	}
	return m.ledger.SetState(ctx, beganNote, nil)
}

// LookAgain makes the next Pass of the Mirror with these notes look everywhere. Shards whose counters moved are read again as ever.
func LookAgain(ctx context.Context, n Notes) error {
	var was seen
	if found, err := n.State(ctx, seenNote, &was); err != nil || !found {
		return err
	}
	was.Whole = 0
	return n.SetState(ctx, seenNote, was)
}
