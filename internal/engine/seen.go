package engine

import (
	"context"
	"encoding/json"
	"maps"

	"influxmirror/internal/mirror"
)

// several stands for the start of a server where notes disagree: no start is called so, so that it counts as restarted.
const several = "several"

// recall returns what was seen under the same Settings. Several Mirrors may share a pair, and the Settings of one may change and change back: what the
// counters were when others looked says nothing of the measurements that these left out. Where nothing was seen under these Settings it returns what
// holds for all others together.
func recall(ctx context.Context, n Notes, digest string) (s seen, found bool, err error) {
	var doc seen
	if found, err = n.State(ctx, SeenNote, &doc); err != nil || !found {
		return seen{Digest: digest}, false, err
	}
	s, known := doc, doc.Digest == digest
	if other, ok := doc.Others[digest]; ok && !known {
		s, known = other, true
	}
	if s.Others = nil; known {
		return s, true, nil
	}
	s = doc.common()
	s.Digest = digest
	return s, true, nil
}

// note keeps what was seen under its Settings beside what was seen under others. Where two Mirrors do so at once the older of what one of them saw may
// stay, which asks for more work and never for less.
func note(ctx context.Context, n Notes, s seen) error {
	var doc seen
	if _, err := n.State(ctx, SeenNote, &doc); err != nil {
		return err
	}
	s.Others = maps.Clone(doc.Others)
	if s.Others == nil {
		s.Others = map[string]seen{}
	}
	doc.Others = nil
	if doc.Digest != "" || doc.Source.Known() {
		s.Others[doc.Digest] = doc
	}
	delete(s.Others, s.Digest)
	return n.SetState(ctx, SeenNote, s)
}

// all returns what was seen under each Settings.
func (s seen) all() []seen {
	own := s
	own.Others = nil
	out := []seen{own}
	for _, other := range s.Others {
		out = append(out, other)
	}
	return out
}

// common returns what holds whichever of the Settings it was seen under: a counter that they do not agree on is unknown, so that its shard counts as
// written to.
func (s seen) common() seen {
	list := s.all()
	out := list[0]
	out.Moved, out.SourceShards, out.TargetShards = maps.Clone(out.Moved), maps.Clone(out.SourceShards), maps.Clone(out.TargetShards)
	out.TargetMoved = maps.Clone(out.TargetMoved)
	for _, other := range list[1:] {
		out.Source, out.Target = agreed(out.Source, other.Source), agreed(out.Target, other.Target)
		for id, at := range other.Moved {
			out.Moved = with(out.Moved, id, max(at, out.Moved[id]))
		}
		for id, w := range other.SourceShards {
			out.SourceShards = with(out.SourceShards, id, w)
		}
		for id, w := range other.TargetShards {
			out.TargetShards = with(out.TargetShards, id, w)
		}
		for id, at := range other.TargetMoved {
			out.TargetMoved = with(out.TargetMoved, id, max(at, out.TargetMoved[id]))
		}
		out.TargetAt, out.Doubt = min(out.TargetAt, other.TargetAt), out.Doubt.or(other.Doubt)
		out.Took, out.Restarted = max(out.Took, other.Took), max(out.Restarted, other.Restarted)
		out.Backlog = out.Backlog || other.Backlog
	}
	out.Digest, out.Whole, out.Doubt.Done = "", 0, false // there may be Proofs that none of them asked for
	return out
}

func with[V any](m map[string]V, k string, v V) map[string]V {
	if m == nil {
		m = map[string]V{}
	}
	m[k] = v
	return m
}

// agreed returns the counters that are the same in both.
func agreed(a, b mirror.Counters) mirror.Counters {
	if a.Started != b.Started {
		return mirror.Counters{Started: several, Shards: map[string]uint64{}}
	}
	out := mirror.Counters{Started: a.Started}
	for id, n := range a.Shards {
		if m, ok := b.Shards[id]; ok && m == n {
			out.Shards = with(out.Shards, id, n)
		}
	}
	if out.Shards == nil && a.Shards != nil && b.Shards != nil {
		out.Shards = map[string]uint64{}
	}
	return out
}

// LookAgain makes the next Pass of every Mirror with these notes look everywhere. Shards whose counters moved are read again as ever.
func LookAgain(ctx context.Context, n Notes) error {
	var was seen
	if found, err := n.State(ctx, SeenNote, &was); err != nil || !found {
		return err
	}
	was.Whole = 0
	for digest, other := range was.Others {
		other.Whole = 0
		was.Others[digest] = other
	}
	return n.SetState(ctx, SeenNote, was)
}

// Follow gives the notes of a pair to another one, which is of the same buckets at other addresses: what was written while nobody looked shows in
// the counters there, and what the owner decided holds. also names notes of others that go along as they are.
func Follow(ctx context.Context, from, to Notes, also ...string) error {
	for _, name := range append([]string{acceptedNote, scrubNote, scrubNote + " source"}, also...) {
		var body json.RawMessage
		found, err := from.State(ctx, name, &body)
		if err == nil && found {
			err = to.SetState(ctx, name, body)
		}
		if err != nil {
			return err
		}
	}
	var was seen
	if _, err := from.State(ctx, SeenNote, &was); err != nil {
		return err
	}
	for _, s := range was.all() {
		if !s.Source.Known() {
			return to.SetState(ctx, SeenNote, nil) // all that was proven is compared by its sums
		}
	}
	if err := to.SetState(ctx, SeenNote, was); err != nil {
		return err
	}
	return LookAgain(ctx, to)
}
