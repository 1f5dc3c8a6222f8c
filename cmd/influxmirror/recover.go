package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// recovering are the flags of recover.
type recovering struct {
	all, yes, dry bool
	onto          string
	tokenFile     string
	since         string
	prefer        string
}

const recoverHelp = `Give a server back what it lost, from what its mirror keeps: the direction of the mirror is turned round once.

The bucket that the mirror copies to gives, the one it copies from receives. What is sent is what the receiver lacks; it may be live meanwhile.
Nothing is deleted on either side. The plan is shown first, and nothing is written or created before you agree. It may be interrupted at any time;
run again it carries on. When everything is proven the mirror goes on in its own direction, and copies nothing again.

Where both have another value of the same series, field and time, the receiver keeps its own (--prefer target), and the difference is listed;
with --prefer source the giver's value is written over it. Source and target are meant as this command copies: the giver is the source. The next
pass in the mirror's own direction brings home what the receiver kept.`

func (a *app) recoverCommand() *cobra.Command {
	var r recovering
	cmd := &cobra.Command{
		Use:   "recover MIRROR…|--all",
		Short: "Give a server back what it lost: plan, ask, merge, prove",
		Long:  recoverHelp,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && !r.all:
				return errors.New("recover: name the mirrors, as in: influxmirror recover cryostat, or --all")
			case len(args) > 0 && r.all:
				return errors.New("recover: either name mirrors or give --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, names []string) error { return a.recover(cmd.Context(), names, r) },
	}
	f := cmd.Flags()
	f.BoolVar(&r.all, "all", false, "all mirrors of the config")
	f.BoolVar(&r.yes, "yes", false, "do not ask")
	f.BoolVarP(&r.dry, "dry-run", "n", false, "only show the plan")
	f.StringVar(&r.onto, "onto", "", "receive on another `server` than the one the mirror copies from: an endpoint of the config, or a URL")
	f.StringVar(&r.tokenFile, "write-token-file", "", "a `file` with a token that may write at the receiver, and create the bucket if it is missing; the config's often only reads")
	f.StringVar(&r.since, "since", "", "give back nothing before this `time`, such as 2021-06-01T00:00:00Z")
	f.StringVar(&r.prefer, "prefer", "target", "whose value stays where both have another one: target, which receives, or source, which gives")
	return cmd
}

// settings returns what the flags come to.
func (r recovering) settings() (engine.Settings, error) {
	set := engine.Settings{Recover: true}
	switch r.prefer {
	case "target":
		set.Prefer = mirror.TargetSide
	case "source":
	default:
		return set, withCode(exitUsage, fmt.Errorf("--prefer %q: target (the receiver keeps its own) or source (the giver's is written over it) expected", r.prefer))
	}
	if r.since != "" {
		ns, err := mirror.ParseTime(r.since)
		if err != nil {
			return set, withCode(exitUsage, fmt.Errorf("--since: %w", err))
		}
		set.Since = ns
	}
	return set, nil
}

// recovery is one mirror turned round.
type recovery struct {
	mirror *config.Mirror
	onto   config.Ref // the receiver
	again  string     // the command line that carries on
	doc    recoveryDoc
	idle   bool // nothing is lacking, and the mirror's name stands for these two already
}

// elsewhere reports whether another server receives than the one that the mirror copies from.
func (x *recovery) elsewhere() bool { return !x.onto.Same(x.mirror.From) }

// recoveryDoc is what recover prints as JSON.
type recoveryDoc struct {
	Mirror       string    `json:"mirror"`
	From         string    `json:"from"`
	Onto         string    `json:"onto"`
	Exit         int       `json:"exit"`
	Error        string    `json:"error,omitempty"`
	Create       bool      `json:"creates_bucket"`
	Since        string    `json:"since,omitempty"`
	Warnings     []string  `json:"warnings,omitempty"`
	Lacks        uint64    `json:"samples_lacking"`
	Read         uint64    `json:"samples_to_read"`
	Compare      uint64    `json:"samples_to_compare"`
	Measurements []lackDoc `json:"measurements"`
	Done         *doneDoc  `json:"done,omitempty"`

	steps int
}

// lackDoc is what the receiver lacks of one measurement, by counts.
type lackDoc struct {
	Measurement string `json:"measurement"`
	Samples     uint64 `json:"samples"`
	Start       string `json:"start"`
	Stop        string `json:"stop"`
	Compare     uint64 `json:"samples_to_compare"`
	window      mirror.Window
}

// doneDoc is what a recovery came to.
type doneDoc struct {
	Complete bool      `json:"complete"`
	Passes   int       `json:"passes"`
	Read     uint64    `json:"samples_read"`
	Written  int64     `json:"lines_written"`
	Proven   uint64    `json:"samples_proven"`
	Own      uint64    `json:"samples_only_on_receiver"`
	Differ   uint64    `json:"samples_that_differ"`
	Refused  uint64    `json:"samples_refused"`
	Result   string    `json:"result"`
	Kept     []keptDoc `json:"kept,omitempty"`
}

// keptDoc is what differs and stays, in one field of one Cell.
type keptDoc struct {
	extraDoc
	Class  mirror.Class `json:"class"`
	Reason string       `json:"reason"`
}

func (a *app) recover(ctx context.Context, names []string, r recovering) error {
	set, err := r.settings()
	if err != nil {
		return err
	}
	cfg, err := a.load()
	if err != nil {
		return err
	}
	if err := a.swapped(cfg); err != nil {
		return err
	}
	all, err := a.recoveries(ctx, cfg, names, r)
	if err != nil {
		return err
	}
	code, err := a.planRecoveries(ctx, cfg, all, set)
	if err != nil {
		return err
	}
	var todo []*recovery
	for _, x := range all {
		if x.doc.Exit == exitOK && !x.idle {
			todo = append(todo, x)
		}
	}
	if !r.dry && len(todo) > 0 {
		if err := a.ask(r.yes, "give it back"); err != nil {
			return err
		}
		if code, err = a.recoverAll(ctx, cfg, todo, set, code); err != nil {
			return err
		}
	}
	if a.flags.json {
		docs := make([]recoveryDoc, len(all))
		for i, x := range all {
			docs[i] = x.doc
		}
		if err := a.print(map[string]any{"mirrors": docs, "exit": code}); err != nil {
			return err
		}
	}
	return ended(code)
}

// recoveries finds the mirrors named, and who receives.
func (a *app) recoveries(ctx context.Context, cfg *config.Config, names []string, r recovering) (all []*recovery, err error) {
	chosen, err := a.choose(cfg, names)
	if err != nil {
		return nil, err
	}
	if chosen, err = a.members(ctx, cfg, chosen); err != nil {
		return nil, err
	}
	for _, m := range chosen {
		if len(m.AddTags) > 0 {
			return nil, withCode(exitUsage, fmt.Errorf("mirror %s adds tags, and what the target holds of it cannot be told from the rest on the way back: copy it with a mirror of its own", m.Name))
		}
		onto, err := a.receiver(cfg, m, r)
		if err != nil {
			return nil, withCode(exitUsage, err)
		}
		x := &recovery{mirror: m, onto: onto, again: a.again(m.Name, r)}
		x.doc = recoveryDoc{Mirror: m.Name, From: m.To.String(), Onto: onto.String(), Since: r.since, Measurements: []lackDoc{}}
		all = append(all, x)
	}
	return all, nil
}

// receiver returns the bucket that receives.
func (a *app) receiver(cfg *config.Config, m *config.Mirror, r recovering) (config.Ref, error) {
	here, err := os.Getwd()
	if err != nil {
		return config.Ref{}, err
	}
	onto := m.From
	switch {
	case r.onto == "":
	case cfg.Endpoint(r.onto) != nil:
		onto.Endpoint = cfg.Endpoint(r.onto)
	case strings.Contains(r.onto, "://"):
		org := m.From.Endpoint.Org
		if v, ok := a.env("INFLUXMIRROR_TARGET_ORG"); ok && v != "" {
			org = v
		}
		if onto.Endpoint, err = cfg.ServerAt(r.onto, org, r.tokenFile, here, "INFLUXMIRROR_TARGET_TOKEN", a.env); err != nil {
			return onto, fmt.Errorf("--onto: %w", err)
		}
		return onto, nil
	case strings.HasPrefix(r.onto, "dir:"):
		if onto, err = config.Directory(r.onto, here); err != nil {
			return onto, fmt.Errorf("--onto: %w", err)
		}
	default:
		var known []string
		for _, e := range cfg.Endpoints {
			known = append(known, e.Name)
		}
		return onto, fmt.Errorf("--onto %q: neither an address nor an endpoint of %s, which has: %s", r.onto, cfg.Path, strings.Join(known, ", "))
	}
	if r.tokenFile != "" {
		if onto.Endpoint, err = onto.Endpoint.WithTokenFile(r.tokenFile, here); err != nil {
			return onto, fmt.Errorf("--write-token-file: %w", err)
		}
	}
	return onto, nil
}

// again is the command line that carries on with one mirror.
func (a *app) again(name string, r recovering) string {
	line := "influxmirror recover " + name
	for _, f := range []struct{ flag, value, usual string }{{"--config", a.flags.config, ""}, {"--onto", r.onto, ""}, {"--write-token-file", r.tokenFile, ""},
		{"--since", r.since, ""}, {"--prefer", r.prefer, "target"}} {
		if f.value != f.usual {
			line += " " + f.flag + " " + f.value
		}
	}
	return line
}

// planRecoveries shows what each receiver lacks. It writes nothing anywhere.
func (a *app) planRecoveries(ctx context.Context, cfg *config.Config, all []*recovery, set engine.Settings) (code int, err error) {
	s, err := a.open(cfg, reads)
	if err != nil {
		return exitOK, err
	}
	defer s.close()
	if held, err := ledger.Holder(s.dir); err != nil {
		return exitOK, withCode(exitState, err)
	} else if held != nil {
		return exitOK, withCode(exitHeld, fmt.Errorf("another influxmirror is running with the state directory %s (%s): stop it first, recover, and start it again", s.dir, heldBy(held)))
	}
	for _, x := range all {
		err := s.planRecovery(ctx, x, set)
		if ctx.Err() != nil {
			return code, ctx.Err()
		}
		if err != nil {
			x.doc.Exit, x.doc.Error = codeOf(err), err.Error()
			a.fail(fmt.Errorf("%s: %w", x.mirror.Name, err))
		} else if !a.flags.json {
			s.showRecovery(x, set)
		}
		code = worst(code, x.doc.Exit)
	}
	return code, nil
}

// wireBack connects a mirror's ends the other way round.
func (s *site) wireBack(x *recovery, set engine.Settings, how mode) *wired {
	m := x.mirror
	turned := *m
	turned.From, turned.To, turned.Create = m.To, x.onto, config.Create{AsSource: true}
	w := &wired{site: s, cfg: &turned, back: true}
	w.source = &sourceEnd{reader: openSource(turned.From, &turned), wired: w}
	w.target = &targetEnd{writer: openTarget(turned.To, &turned), wired: w, how: how, said: map[string]bool{}, log: s.log.With("mirror", m.Name)}
	set.Name, set.Wait, set.Wants, set.Gate = m.Name, m.Wait, m.Includes, s.gate
	set.Digest = fmt.Sprint("recover ", m.Include, m.Exclude)
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
			r.notes = map[string][]byte{seenNote: nil}
		}
		return r, nil
	}
	if anew {
		if err := pair.SetState(ctx, seenNote, nil); err != nil {
			return nil, err
		}
	}
	return pair, pair.Face(ctx)
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

func (s *site) planRecovery(ctx context.Context, x *recovery, set engine.Settings) error {
	w := s.wireBack(x, set, mode{plan: true, force: true})
	defer w.close()
	work, _, err := w.Plan(ctx)
	if err != nil {
		return err
	}
	d := &x.doc
	d.Create, d.steps = w.target.absent, len(work)
	_, was, err := w.known(ctx)
	if err != nil {
		return withCode(exitState, err)
	}
	x.idle = len(work) == 0 && !x.elsewhere() && was.Source == w.memory.target && was.Target == w.memory.source
	if was.Target != "" && was.Target != w.memory.source {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%s is not the bucket that was mirrored to until now (was %s, is %s)", d.From, bucketOf(was.Target), bucketOf(w.memory.source)))
	}
	if was.Source != "" && was.Source != w.memory.target && !d.Create && !x.elsewhere() {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%s is another bucket than the one that was mirrored (was %s, is %s)", d.Onto, bucketOf(was.Source), bucketOf(w.memory.target)))
	}
	if tags, err := w.source.TagKeys(ctx); err != nil {
		return err
	} else if tags["_start"] && tags["_stop"] && tags["table"] && tags["result"] {
		d.Warnings = append(d.Warnings, d.From+" was filled by the old script: its tags _start, _stop, table, result and its integers as floats are given back as they are")
	}
	at := map[string]int{}
	for _, t := range work {
		i, ok := at[t.Chunk.Measurement]
		if !ok {
			i = len(d.Measurements)
			at[t.Chunk.Measurement] = i
			d.Measurements = append(d.Measurements, lackDoc{Measurement: t.Chunk.Measurement, window: t.Chunk.Window})
		}
		l := &d.Measurements[i]
		l.Samples += t.Samples - min(t.Samples, t.Held)
		l.Compare += t.Held
		l.window = l.window.Span(t.Chunk.Window)
		d.Read += t.Samples
	}
	slices.SortFunc(d.Measurements, func(a, b lackDoc) int {
		if a.Samples != b.Samples {
			if a.Samples > b.Samples {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Measurement, b.Measurement)
	})
	for i := range d.Measurements {
		l := &d.Measurements[i]
		l.Start, l.Stop = mirror.FormatTime(l.window.Start), mirror.FormatTime(l.window.Stop)
		d.Lacks += l.Samples
		d.Compare += l.Compare
	}
	return nil
}

func (s *site) showRecovery(x *recovery, set engine.Settings) {
	d, w := x.doc, s.out
	fmt.Fprintf(w, "recover %s\n", d.Mirror)
	fmt.Fprintf(w, "  gives     %s  %s\n", d.From, x.mirror.To.Endpoint.Address())
	fmt.Fprintf(w, "  receives  %s  %s\n", d.Onto, x.onto.Endpoint.Address())
	for _, text := range d.Warnings {
		fmt.Fprintf(w, "  note      %s\n", text)
	}
	if d.Create {
		fmt.Fprintf(w, "  creates   bucket %s, with retention and shard groups as %s has them\n", x.onto.Bucket, d.From)
	}
	if d.steps == 0 {
		fmt.Fprintf(w, "  nothing is lacking\n")
		return
	}
	fmt.Fprintf(w, "  lacks     about %s; reads %s from %s", count(d.Lacks, "sample"), count(d.Read, "sample"), d.From)
	if d.Compare > 0 {
		fmt.Fprintf(w, ", and compares them with %s of %s", num(d.Compare), d.Onto)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "  %-24s  %16s  %16s  %s\n", "measurement", "lacks", "to compare with", "between")
	for i, l := range d.Measurements {
		if i == maxPlanRows && !s.flags.verbose {
			fmt.Fprintf(w, "  … and %s; -v or --json shows all\n", count(len(d.Measurements)-i, "more measurement"))
			break
		}
		fmt.Fprintf(w, "  %-24s  %16s  %16s  %s\n", clean(l.Measurement), num(l.Samples), num(l.Compare), minutes(l.window))
	}
	if set.Prefer == mirror.TargetSide {
		fmt.Fprintf(w, "  where both have another value %s keeps its own, and it is listed; nothing is deleted\n", d.Onto)
	} else {
		fmt.Fprintf(w, "  where both have another value that of %s is written over it; nothing is deleted\n", d.From)
	}
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
		s.warn("%s: %s of %s differ from what %s keeps; the next pass of the mirror brings them home", x.mirror.Name, count(n, "sample"), x.doc.From, x.doc.Onto)
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
