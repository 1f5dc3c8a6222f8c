package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// memory is what the ledger knows of a wired mirror, once both ends were probed.
type memory struct {
	pair *ledger.Pair // nil: nothing is remembered
	// change is why the identities are not those that the mirror's name was bound to, "" normally.
	change string
	source string // identities
	target string
}

// endsNote is kept beside the proofs, one for each mirror: which end was the source.
func endsNote(name string) string { return "ends " + name }

// ontoName is the name of the pair with the server that a mirror was recovered onto, when the config does not name that server yet.
func ontoName(name string) string { return name + " (recovered)" }

type endsDoc struct{ Source, Target string } // identities

// bind finds the proofs of two identities. A mirror that used to be another pair is blocked until its owner accepts it, for a
// bucket that was made anew or another server behind the same address must not be taken for the one that was proven.
func (w *wired) bind(ctx context.Context, key, source, target string, how mode) (engine.Ledger, error) {
	l := w.site.ledger
	w.memory = memory{source: source, target: target}
	if l == nil {
		return &readOnly{}, nil
	}
	change, bound, err := w.changed(ctx, key, source, target)
	if err != nil {
		return nil, err
	}
	if change != "" && !how.force {
		old, err := w.moved(ctx, key, source, target)
		if err != nil {
			return nil, err
		}
		if old != nil {
			if change = ""; w.site.lock == nil {
				return &readOnly{pair: old}, nil
			}
		}
	}
	if w.memory.change = change; change != "" && !how.force {
		return nil, &engine.Blocked{Reason: change}
	}
	if !how.force {
		w.site.binding.Lock() // two that meet for the first time see each other
		defer w.site.binding.Unlock()
		why, err := w.clash(ctx, source, target)
		if err != nil {
			return nil, err
		}
		if why != "" {
			return nil, &engine.Blocked{Reason: why}
		}
	}
	pair, err := l.PairFrom(ctx, key, source, target)
	if errors.Is(err, ledger.ErrNotFound) { // only a reader says so
		return &readOnly{}, nil
	}
	if err != nil {
		return nil, err
	}
	w.memory.pair = pair
	if w.site.lock == nil {
		return &readOnly{pair: pair}, nil
	}
	if !bound && !how.force {
		if err := w.name(ctx); err != nil {
			return nil, err
		}
	}
	stale, err := pair.Stale(ctx)
	if err == nil && stale {
		w.target.log.Warn("an older ledger was put back: everything is looked at again")
		err = pair.SetState(ctx, engine.SeenNote, nil)
	}
	if err == nil {
		err = face(ctx, pair)
	}
	return pair, err
}

// face readies a pair to be written in its direction: what was seen before it was written in the other one lets no work be skipped.
func face(ctx context.Context, pair *ledger.Pair) error {
	turned, err := pair.Turned(ctx)
	if err != nil || !turned {
		return err
	}
	if err := engine.LookAgain(ctx, pair); err != nil {
		return err
	}
	return pair.Face(ctx)
}

// changed compares two identities with those the mirror's name stands for. bound means that they are the same and noted.
func (w *wired) changed(ctx context.Context, key, source, target string) (why string, bound bool, err error) {
	m := w.cfg
	pair, name, err := w.site.ledger.Mirror(ctx, m.Name)
	if errors.Is(err, ledger.ErrNotFound) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	accept := "identity changed; if that is intended: influxmirror accept " + pasted(m)
	var was endsDoc
	if _, err := pair.State(ctx, endsNote(m.Name), &was); err != nil {
		return "", false, err
	}
	lost := fmt.Sprintf("identity changed; to give it back what it lost: influxmirror recover %s; if that is intended: influxmirror accept %s", pasted(m), pasted(m))
	if onto, _, err := w.site.ledger.Mirror(ctx, ontoName(m.Name)); err == nil && onto.Key() == key && onto.Key() != pair.Key() {
		return "", false, nil // where recover put it all, and the config names it now
	} else if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return "", false, err
	}
	switch {
	case pair.Key() == key && (was.Source == source || was.Source == ""):
		return "", was.Source == source && name.Source == m.From.String() && name.Target == m.To.String(), nil
	case pair.Key() == key:
		return fmt.Sprintf("mirror %s copied %s to %s until now, and the config turns that around; to give %s back what it lost turn it back and: influxmirror recover %s; if that is intended: influxmirror accept %s",
			pasted(m), name.Source, name.Target, name.Source, pasted(m), pasted(m)), false, nil
	case was.Source == source && mirror.Whole(was.Target) == mirror.Whole(target):
		return fmt.Sprintf("add_tags of mirror %s changed, and nothing is proven under the new ones: everything is copied again, and what it wrote with the old ones stays in target bucket %s; if that is intended: influxmirror accept %s",
			pasted(m), m.To, pasted(m)), false, nil
	case was.Source == source:
		return fmt.Sprintf("target bucket %s of %s is not the one that was mirrored (was %s, is %s): %s", m.To.Bucket, m.To.Endpoint.Name, bucketOf(was.Target), bucketOf(target), accept), false, nil
	case was.Target == target:
		return fmt.Sprintf("source bucket %s of %s is not the one that was mirrored (was %s, is %s): %s", m.From.Bucket, m.From.Endpoint.Name, bucketOf(was.Source), bucketOf(source), lost), false, nil
	}
	return fmt.Sprintf("neither source bucket %s (was %s, is %s) nor target bucket %s (was %s, is %s) is the one that was mirrored: %s",
		m.From, bucketOf(was.Source), bucketOf(source), m.To, bucketOf(was.Target), bucketOf(target), accept), false, nil
}

// name binds the mirror's name to the identities found.
func (w *wired) name(ctx context.Context) error {
	p := w.memory.pair
	if err := p.SetState(ctx, endsNote(w.cfg.Name), endsDoc{w.memory.source, w.memory.target}); err != nil {
		return err
	}
	return p.SetName(ctx, w.cfg.Name, w.cfg.From.String(), w.cfg.To.String())
}

// known returns the identities that the mirror's name stands for, and its pair; no pair if there is none.
func (w *wired) known(ctx context.Context) (*ledger.Pair, endsDoc, error) {
	var was endsDoc
	if w.site.ledger == nil {
		return nil, was, nil
	}
	pair, _, err := w.site.ledger.Mirror(ctx, w.cfg.Name)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, was, nil
	}
	if err == nil {
		_, err = pair.State(ctx, endsNote(w.cfg.Name), &was)
	}
	return pair, was, err
}

// usedBucket returns the id of the bucket that this mirror used on a side until now, "" if it is not known.
func (w *wired) usedBucket(ctx context.Context, side mirror.Side) string {
	if w.onto && side == mirror.TargetSide {
		return ""
	}
	_, was, err := w.known(ctx)
	if err != nil {
		return ""
	}
	if (side == mirror.SourceSide) != w.back {
		return bucketOf(was.Source)
	}
	return bucketOf(was.Target)
}

// bucketOf returns the last part of an identity, which is the bucket's id, without the tags of a mapping.
func bucketOf(identity string) string {
	whole := mirror.Whole(identity)
	return whole[strings.LastIndexByte(whole, ':')+1:]
}

// readOnly shows what is remembered and keeps notes only as long as it lives.
type readOnly struct {
	pair *ledger.Pair // nil: nothing is remembered

	mu    sync.Mutex
	notes map[string][]byte // guarded by mu
}

func (r *readOnly) Summaries(ctx context.Context) ([]mirror.Summary, error) {
	if r.pair == nil {
		return nil, nil
	}
	return r.pair.Summaries(ctx)
}

func (r *readOnly) Group(ctx context.Context, measurement string, w mirror.Window) (mirror.Group, error) {
	if r.pair == nil {
		return mirror.Group{Measurement: measurement, Window: w}, nil
	}
	return r.pair.Group(ctx, measurement, w)
}

func (r *readOnly) Record(context.Context, mirror.Group) error { return nil }

func (r *readOnly) State(ctx context.Context, name string, into any) (bool, error) {
	r.mu.Lock()
	body, ok := r.notes[name]
	r.mu.Unlock()
	if ok && body == nil { // removed
		return false, nil
	}
	if ok {
		return true, json.Unmarshal(body, into)
	}
	if r.pair == nil {
		return false, nil
	}
	return r.pair.State(ctx, name, into)
}

func (r *readOnly) SetState(_ context.Context, name string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.notes == nil {
		r.notes = map[string][]byte{}
	}
	r.notes[name] = body
	return nil
}
