package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// planRecoveries shows what each receiver lacks. It writes nothing anywhere.
func (a *app) planRecoveries(ctx context.Context, cfg *config.Config, all []*recovery, set engine.Settings, dry bool) (code int, err error) {
	s, err := a.open(cfg, reads)
	if err != nil {
		return exitOK, err
	}
	defer s.close()
	held, err := ledger.Holder(s.dir)
	if err != nil {
		return exitOK, withCode(exitState, err)
	}
	if held != nil && !dry { // a plan can be made beside the service
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
	if d.pace, err = s.pace(ctx, x.mirror.Name); err != nil {
		return withCode(exitState, err)
	}
	if d.pace > 0 {
		d.Takes = float64(d.Read) / d.pace
	}
	return nil
}

// paceAt is how many Samples a pass copies at least that tells how fast a link is: others mostly wait.
const paceAt = 1000

// pace is how many samples a second the mirror's greatest copy that is remembered moved, in its own direction; 0 if there was none.
func (s *site) pace(ctx context.Context, name string) (float64, error) {
	if s.ledger == nil {
		return 0, nil
	}
	pair, _, err := s.ledger.Mirror(ctx, name)
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	passes, err := pair.Passes(ctx, 1000)
	if err != nil {
		return 0, err
	}
	var best ledger.Pass
	for _, p := range passes {
		if p.Read >= paceAt && p.Written > best.Written && p.Ended > p.Started {
			best = p
		}
	}
	if best.Written == 0 {
		return 0, nil
	}
	return float64(best.Read) / time.Duration(best.Ended-best.Started).Seconds(), nil
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
	if d.pace > 0 {
		fmt.Fprintf(w, "  takes     about %s, if the link moves what it moved for the mirror: %s a second\n", span(max(time.Second, time.Duration(d.Takes*float64(time.Second)))), count(uint64(d.pace), "sample"))
	} else {
		fmt.Fprintf(w, "  takes     as long as the link takes for that: no large copy between the two is remembered here\n")
	}
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
