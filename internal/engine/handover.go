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
	if m.Other != nil {
		// Restarted since the Mirror of the other direction looked: what was written there before shows in no counter.
		var before seen
		if _, err := m.Other.State(ctx, SeenNote, &before); err != nil {
			return err
		}
		_, comparable := before.Source.Moved(was)
		m.uncounted = !comparable && len(m.sums) > 0
	}
	return nil
}

// overtaken returns where somebody wrote to the receiver between the last Pass of the other direction and this recovery, or between the processes of
// this recovery: the counts of what was lost and of what came instead may be the same.
func (m *Mirror) overtaken(ctx context.Context, e ends) ([]mirror.Window, error) {
	if m.compared {
		return nil, nil
	}
	if m.Prefer != mirror.TargetSide || !m.began.Known() {
		return []mirror.Window{mirror.Axis}, nil
	}
	var was seen
	if m.Other != nil {
		var err error
		if was, _, err = recall(ctx, m.Other, m.Forth); err != nil {
			return nil, err
		}
	}
	var out []mirror.Window
	for id := range m.began.Shards {
		if w, ok := m.seen.TargetShards[id]; ok && !was.untouched(*m.began, id) {
			out = append(out, w)
		}
	}
	if moved, comparable := m.seen.Target.Moved(e.dst.Counters); comparable {
		for _, id := range moved {
			if w, ok := m.seen.TargetShards[id]; ok {
				out = append(out, w)
			}
		}
	}
	return out, nil
}

// untouched reports whether nobody wrote to a shard of the source between this and a later look at its counters.
func (s seen) untouched(later mirror.Counters, id string) bool {
	n := later.Shards[id]
	if _, comparable := s.Source.Moved(later); !comparable {
		return n == 0 // since its server was started
	}
	old, known := s.Source.Shards[id]
	_, there := later.Shards[id]
	return known == there && old == n
}

// HandOver lets Mirrors of the other direction, whose notes are given, go on after this recovery without reading again what it wrote: to such a
// Mirror its writes look like any others at the source. Shards that somebody else wrote to between the last Pass of that Mirror and this recovery stay to be read again.
// What somebody writes over during the recovery, in a shard that it writes to, shows in no counter then: verify --full finds it.
func (m *Mirror) HandOver(ctx context.Context, other Notes) error {
	var doc seen
	if _, err := other.State(ctx, SeenNote, &doc); err != nil {
		return err
	}
	now := m.handed(doc)
	for digest, was := range doc.Others {
		now.Others = with(now.Others, digest, m.handed(was))
	}
	if err := other.SetState(ctx, SeenNote, now); err != nil {
		return err
	}
	return m.ledger.SetState(ctx, beganNote, nil)
}

// handed is what a Mirror of the other direction that has seen this goes on from.
func (m *Mirror) handed(was seen) seen {
	now := seen{Source: m.seen.Target, Target: m.seen.Source, Moved: was.Moved, SourceShards: m.seen.TargetShards, TargetShards: m.seen.SourceShards, Took: was.Took,
		Digest: was.Digest}
	if now.Source.Started != m.began.Started {
		now.Source = mirror.Counters{} // restarted meanwhile
	}
	shards := map[string]uint64{}
	for id, n := range now.Source.Shards {
		if was.untouched(*m.began, id) {
			shards[id] = n
		} else if old, known := was.Source.Shards[id]; known && was.Source.Started == now.Source.Started {
			shards[id] = old
		}
	}
	if now.Source.Known() {
		now.Source.Shards = shards
	}
	return now
}
