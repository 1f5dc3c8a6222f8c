package main

import (
	"context"
	"errors"
	"fmt"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// wireBack connects a mirror's ends the other way round.
func (s *site) wireBack(x *recovery, set engine.Settings, how mode) *wired {
	m := x.mirror
	turned := *m
	turned.From, turned.To, turned.Create = m.To, x.onto, config.Create{AsSource: true}
	w := &wired{site: s, cfg: &turned, back: true, onto: x.elsewhere()}
	w.source = &sourceEnd{reader: openSource(turned.From, &turned, true), wired: w}
	w.target = &targetEnd{writer: openTarget(turned.To, &turned, true), wired: w, how: how, said: map[string]bool{}, log: s.log.With("mirror", m.Name)}
	set.Name, set.Wait, set.Wants, set.Gate = m.Name, m.Wait, m.Includes, s.gate
	set.Digest, set.Forth = fmt.Sprint("recover ", m.Include, m.Exclude), s.settings(m).Seen()
	w.Mirror = engine.New(set, w.source, w.target, w.bindBack, s.log)
	return w
}

// bindBack finds the proofs of giver and receiver. Whatever the mirror's name stood for until now is taken as it is: the owner agreed to the plan.
func (w *wired) bindBack(ctx context.Context, key, giver, receiver string) (engine.Ledger, error) {
	l := w.site.ledger
	w.memory = memory{source: giver, target: receiver}
	if l == nil {
		return &readOnly{}, nil
	}
	if w.site.lock != nil { // a pair that is new is kept in the mirror's own direction
		if _, err := l.PairFrom(ctx, key, receiver, giver); err != nil {
			return nil, err
		}
	}
	pair, err := l.PairFrom(ctx, key, giver, receiver)
	if errors.Is(err, ledger.ErrNotFound) { // only a reader says so
		return &readOnly{}, nil
	}
	if err != nil {
		return nil, err
	}
	w.memory.pair = pair
	if w.Other, err = l.PairFrom(ctx, key, receiver, giver); err != nil {
		return nil, err
	}
	turned, err := pair.Turned(ctx)
	if err != nil {
		return nil, err
	}
	stale, err := pair.Stale(ctx)
	if err != nil {
		return nil, err
	}
	// Proofs that the mirror made since are newer than whatever an earlier recovery saw.
	anew := turned || stale
	if w.site.lock == nil {
		r := &readOnly{pair: pair}
		if anew {
			r.notes = map[string][]byte{engine.SeenNote: nil}
		}
		return r, nil
	}
	if anew {
		if err := pair.SetState(ctx, engine.SeenNote, nil); err != nil {
			return nil, err
		}
	}
	return pair, pair.Face(ctx)
}

// recoverAll gives back what was planned and agreed to.
func (a *app) recoverAll(ctx context.Context, cfg *config.Config, todo []*recovery, set engine.Settings, code int) (int, error) {
	s, err := a.open(cfg, writes)
	if err != nil {
		return code, err
	}
	defer s.close()
	logs, stop := s.startActionLogs(ctx)
	defer stop()
	for _, x := range todo {
		actions := logs[x.mirror.Log.String()]
		actions.add(levelInfo, "Starting recovery of bucket: %s", x.onto.Bucket)
		err := s.recoverOne(ctx, x, set)
		if ctx.Err() != nil {
			return code, ctx.Err()
		}
		if err != nil {
			x.doc.Exit, x.doc.Error = codeOf(err), err.Error()
			actions.add(levelError, "%v", err)
			a.fail(fmt.Errorf("%s: %w; nothing is lost, it carries on with: %s", x.mirror.Name, err, x.again))
		} else {
			actions.add(levelInfo, "Finished recovering %d data points in the bucket: %s", x.doc.Done.Written, x.onto.Bucket)
		}
		code = worst(code, x.doc.Exit)
		if err := s.check(); err != nil {
			return code, withCode(exitState, err)
		}
	}
	return code, nil
}

// recoverOne merges, verifies and hands the mirror back to its own direction.
func (s *site) recoverOne(ctx context.Context, x *recovery, set engine.Settings) error {
	w := s.wireBack(x, set, mode{create: true, force: true})
	defer w.close()
	p := s.progress(w)
	defer p.end()
	r, err := w.syncOne(ctx)
	if err != nil {
		return err
	}
	v, err := w.Verify(ctx, false)
	p.end()
	if err != nil {
		return err
	}
	word, code := v.Result()
	done := &doneDoc{Complete: r.Complete, Passes: r.Passes, Read: r.Read, Written: r.Written, Proven: r.Proven, Own: r.Extra, Result: word}
	x.doc.Done, x.doc.Exit = done, code
	if !r.Complete {
		x.doc.Exit = worst(code, exitIncomplete)
	}
	if err := w.left(ctx, done); err != nil {
		return withCode(exitState, err)
	}
	if x.doc.Exit == exitOK {
		if err := w.handBack(ctx, x); err != nil {
			return withCode(exitState, err)
		}
	}
	for _, e := range r.GivenUp {
		s.warn("%s: %s", x.mirror.Name, e)
	}
	if !s.flags.json {
		s.showRecovered(x)
	}
	if n := done.Differ; n > 0 && x.doc.Exit == exitOK {
		s.warn("%s: %s keeps its own value where %s has another: %s, listed above; the next pass of the mirror brings its own home", x.mirror.Name, x.doc.Onto, x.doc.From, count(n, "sample"))
	}
	if n := done.Refused; n > 0 {
		s.warn("%s: %s does not take %s of %s", x.mirror.Name, x.doc.Onto, count(n, "sample"), x.doc.From)
	}
	return nil
}

// left lists what was not given back, with the reasons.
func (w *wired) left(ctx context.Context, d *doneDoc) error {
	if w.memory.pair == nil {
		return nil
	}
	for e, err := range w.memory.pair.Exceptions(ctx, mirror.Kept, mirror.Refused, mirror.Unwritable, mirror.Expired) {
		if err != nil {
			return err
		}
		if e.Class == mirror.Kept {
			d.Differ += e.Samples.Count
			d.Own -= min(d.Own, e.Samples.Count) // the receiver's value of the same place
		} else {
			d.Refused += e.Samples.Count
		}
		d.Kept = append(d.Kept, keptDoc{asExtra(e), e.Class, e.Reason})
	}
	return nil
}

// handBack makes the mirror's name stand for giver and receiver in its own direction, so that it goes on from what is proven now.
func (w *wired) handBack(ctx context.Context, x *recovery) error {
	old, _, err := w.known(ctx)
	if err != nil {
		return err
	}
	pair, err := w.site.ledger.PairFrom(ctx, w.memory.pair.Key(), w.memory.target, w.memory.source)
	if err != nil {
		return err
	}
	m := x.mirror
	if err := w.HandOver(ctx, pair); err != nil {
		return err
	}
	if err := pair.SetState(ctx, endsNote(m.Name), endsDoc{w.memory.target, w.memory.source}); err != nil {
		return err
	}
	if x.elsewhere() {
		return pair.SetName(ctx, ontoName(m.Name), x.onto.String(), m.To.String())
	}
	if old != nil && old.Key() != pair.Key() { // exceptions that the owner knows are known here, too
		var known map[string]uint64
		if found, err := old.State(ctx, knownNote, &known); err != nil {
			return err
		} else if found {
			if err := pair.SetState(ctx, knownNote, known); err != nil {
				return err
			}
		}
	}
	return pair.SetName(ctx, m.Name, m.From.String(), m.To.String())
}

func (s *site) showRecovered(x *recovery) {
	d, done, w := x.doc, x.doc.Done, s.out
	for i, k := range done.Kept {
		if i == maxPlanRows && !s.flags.verbose {
			fmt.Fprintf(w, "  … and %s; -v or --json shows all\n", count(len(done.Kept)-i, "more row"))
			break
		}
		fmt.Fprintf(w, "  stays     %s %s %s of type %s, %s: %s, such as %s\n", minutes(k.window), clean(k.Measurement), clean(k.Field), k.Type, count(k.Samples, "sample"), clean(k.Reason), clean(k.Example))
	}
	state := "has everything"
	if d.Since != "" {
		state += " since " + d.Since
	}
	if !done.Complete || d.Exit != exitOK {
		state = "does NOT have everything yet"
	}
	text := fmt.Sprintf("%s: %s %s that %s has; read %s, wrote %s; %s proven", d.Mirror, d.Onto, state, d.From, count(done.Read, "sample"), count(done.Written, "line"), count(done.Proven, "sample"))
	if done.Differ > 0 {
		text += fmt.Sprintf(", %s differ and stay", num(done.Differ))
	}
	if done.Own > 0 {
		text += ", it keeps " + num(done.Own) + " more of its own"
	}
	fmt.Fprintf(w, "%s\nRESULT  %s.   exit %d\n", text, done.Result, d.Exit)
	switch {
	case d.Exit != exitOK:
		fmt.Fprintf(w, "next    %s\n", x.again)
	case x.elsewhere():
		fmt.Fprintf(w, "next    set from: %s of mirror %s in %s; nothing is copied again then\n", x.onto, d.Mirror, s.cfg.Path)
	default:
		fmt.Fprintf(w, "next    the mirror goes on from here, in its own direction: influxmirror sync %s, or the service: influxmirror run\n", d.Mirror)
	}
}
