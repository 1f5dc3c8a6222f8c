package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
)

// maxPasses bounds how often sync looks again because somebody wrote while it read.
const maxPasses = 5

func (a *app) syncCommand() *cobra.Command {
	var dry, strict bool
	cmd := &cobra.Command{
		Use:     "sync [MIRROR… | SOURCE TARGET]",
		Short:   "Bring mirrors up to date, prove it, and exit",
		Example: examples("sync", ""),
	}
	h := a.addressFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		find := h.finder(a, cmd, args)
		if dry {
			return a.plan(cmd.Context(), find)
		}
		return a.sync(cmd.Context(), find, len(args) == 0, strict)
	}
	cmd.Flags().BoolVarP(&dry, "dry-run", "n", false, "only show what would be done, as plan does")
	cmd.Flags().BoolVar(&strict, "strict", false, "exit 4 for exceptions that are known, too")
	return cmd
}

func (a *app) sync(ctx context.Context, find finder, all, strict bool) error {
	s, chosen, err := find(ctx, writes)
	if err != nil {
		return err
	}
	defer s.close()
	err = s.syncAll(ctx, chosen, strict)
	if all {
		s.lookAround(ctx, err)
	}
	return err
}

// synced is what sync came to for one mirror.
type synced struct {
	Mirror    string   `json:"mirror"`
	Complete  bool     `json:"complete"`
	Exit      int      `json:"exit"`
	Error     string   `json:"error,omitempty"`
	Passes    int      `json:"passes"`
	Read      uint64   `json:"samples_read"`
	Written   int64    `json:"lines_written"`
	Proven    uint64   `json:"samples_proven"`
	Excepted  uint64   `json:"samples_excepted"`
	New       uint64   `json:"samples_excepted_new"`
	Extra     uint64   `json:"samples_only_on_target"`
	Left      int      `json:"windows_left"`
	Unsettled uint64   `json:"samples_left"`
	SettledTo string   `json:"settled_to,omitempty"`
	Lag       int64    `json:"lag_seconds"`
	GivenUp   []string `json:"given_up,omitempty"`

	until bool // SettledTo is as far as was asked for: that says nothing of what would be lost
}

func (s *site) syncAll(ctx context.Context, chosen []*config.Mirror, strict bool) error {
	code := s.begin
	all := []synced{}
	logs, stop := s.startActionLogs(ctx)
	defer stop()
	for _, m := range chosen {
		w := s.wire(m, mode{create: true})
		p := s.progress(w)
		actions := logs[m.Log.String()]
		shown := w.Observe
		w.Observe = func(e engine.Event) {
			if e.Kind == "alarm" {
				actions.add(levelError, "%v", e.Err)
			}
			if shown != nil {
				shown(e)
			}
		}
		actions.add(levelInfo, "Starting mirror of bucket: %s", m.From.Bucket)
		r, failed := w.syncOne(ctx)
		if failed != nil && ctx.Err() == nil {
			actions.add(levelError, "%v", failed)
		} else if failed == nil {
			actions.add(levelInfo, "Finished mirroring %d data points in the bucket: %s", r.Written, m.From.Bucket)
		}
		p.end()
		w.close()
		r.Exit = codeOf(failed)
		if failed == nil {
			r.Exit = s.judge(ctx, w, &r, strict)
		} else if ctx.Err() == nil {
			r.Error = failed.Error()
			s.fail(fmt.Errorf("%s: %w", m.Name, failed))
		}
		if !s.flags.json && r.Passes > 0 {
			fmt.Fprintln(s.out, r.sentence())
		}
		code = worst(code, r.Exit)
		all = append(all, r)
		if ctx.Err() != nil {
			code = exitInterrupted
			break
		}
		if err := s.check(); err != nil {
			return withCode(exitState, err)
		}
	}
	if s.flags.json {
		if err := s.print(map[string]any{"mirrors": all, "exit": code}); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return ended(code)
}

// syncOne does Passes until everything up to the goal is proven.
func (w *wired) syncOne(ctx context.Context) (synced, error) {
	out := synced{Mirror: w.cfg.Name}
	var trouble []string
	for try := 1; ; try++ {
		started := time.Now()
		r, err := w.Pass(ctx, engine.Goal{Insist: true})
		if e := w.keep(ctx, r, err, started); e != nil {
			err = errors.Join(err, withCode(exitState, e))
		}
		if err != nil && r.Date == 0 {
			return out, err
		}
		out.add(r)
		out.until = w.site.until != 0 && r.SettledTo == w.site.until
		slices.Sort(r.Errors)
		stuck := len(r.Errors) > 0 && r.Written == 0 && slices.Equal(r.Errors, trouble) // the same again would help nobody
		if trouble = r.Errors; err != nil || out.Complete || stuck || try == maxPasses {
			return out, err
		}
		select { // somebody writes there now, or a server had trouble with a window
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
}

func (s *synced) add(r engine.Report) {
	s.Passes++
	s.Read += r.Samples
	s.Written += r.Written
	s.Complete = r.Complete()
	s.Proven, s.Excepted, s.Extra = r.Totals.Samples, r.Totals.Excepted, r.Totals.Extra
	s.Left, s.Unsettled, s.GivenUp = r.Left, r.LeftSamples, r.Errors
	s.SettledTo, s.Lag = seconds(r.SettledTo), int64(r.Lag()/time.Second)
}

// sentence is the summary line.
func (s *synced) sentence() string {
	state := "in sync to " + s.SettledTo
	if !s.Complete {
		state = fmt.Sprintf("INCOMPLETE: %s (about %s) unproven", count(s.Left, "window"), count(s.Unsettled, "sample"))
	}
	if !s.until {
		state += ", lag " + span(time.Duration(s.Lag)*time.Second)
	}
	text := fmt.Sprintf("%s: %s; read %s, wrote %s; %s proven", s.Mirror, state, count(s.Read, "sample"), count(s.Written, "line"), count(s.Proven, "sample"))
	if s.Excepted > 0 {
		text += ", " + num(s.Excepted) + " excepted"
	}
	if s.Extra > 0 {
		text += ", the target keeps " + num(s.Extra) + " more"
	}
	return text
}

// judge returns the exit code of a sync without an error, and says what is excepted.
func (s *site) judge(ctx context.Context, w *wired, r *synced, strict bool) int {
	if !r.Complete {
		for _, e := range r.GivenUp {
			s.warn("%s: %s", w.cfg.Name, e)
		}
		s.warn("%s: %s still unproven after %d passes: somebody writes there, or a server had trouble; again: influxmirror sync %s",
			pasted(w.cfg), count(r.Left, "window"), r.Passes, pasted(w.cfg))
		return exitIncomplete
	}
	if r.Excepted == 0 {
		return exitOK
	}
	news, known, err := w.newExceptions(ctx)
	if err != nil {
		s.fail(err)
		return exitState
	}
	r.New = news
	switch {
	case known && news > 0:
		s.warn("%s: %s excepted, %s of them since they were accepted; see influxmirror verify %s", pasted(w.cfg), count(r.Excepted, "sample"), num(news), pasted(w.cfg))
		return exitDifferent
	case known:
		s.note("%s: %s excepted, all of them known", w.cfg.Name, count(r.Excepted, "sample"))
	default:
		s.warn("%s: the target cannot hold %s of the source; see influxmirror verify %s; to call them known: influxmirror accept --exceptions %s",
			pasted(w.cfg), count(r.Excepted, "sample"), pasted(w.cfg), pasted(w.cfg))
	}
	if strict {
		return exitDifferent
	}
	return exitOK
}
