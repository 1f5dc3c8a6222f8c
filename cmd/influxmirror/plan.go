package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

func (a *app) planCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "plan [MIRROR… | SOURCE TARGET]",
		Short:   "Show what sync would do and why, and how much it would read; writes nothing anywhere",
		Example: examples("plan", ""),
	}
	h := a.addressFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.plan(cmd.Context(), h.finder(a, cmd, args)) }
	return cmd
}

// maxPlanRows bounds the table for people; --json lists all.
const maxPlanRows = 20

// planned is what sync would do for one mirror.
type planned struct {
	Mirror    string         `json:"mirror"`
	Exit      int            `json:"exit"`
	Error     string         `json:"error,omitempty"`
	Samples   uint64         `json:"samples"`
	Reasons   map[string]int `json:"reasons,omitempty"`
	Transfers []step         `json:"transfers"`
	Scrub     []scrubDoc     `json:"scrub,omitempty"`

	back uint64 // Samples that are read at the target only
}

// scrubDoc is what reading one side again for the age of its proofs comes to.
type scrubDoc struct {
	Side   mirror.Side `json:"side"`
	Every  int64       `json:"every_seconds"`
	Daily  uint64      `json:"samples_a_day"`
	Oldest string      `json:"oldest_proof,omitempty"`
}

type step struct {
	Reason      plan.Reason `json:"reason"`
	Measurement string      `json:"measurement"`
	Start       string      `json:"start"`
	Stop        string      `json:"stop"`
	Samples     uint64      `json:"samples"`
	Compare     bool        `json:"compare"`
	Prove       bool        `json:"prove"`
	Back        bool        `json:"target_only"`
	window      mirror.Window
	windows     int
}

func (a *app) plan(ctx context.Context, find finder) error {
	s, chosen, err := find(ctx, reads)
	if err != nil {
		return err
	}
	defer s.close()
	code := s.begin
	all := []planned{}
	for _, m := range chosen {
		w := s.wire(m, mode{plan: true})
		work, _, err := w.Plan(ctx)
		w.close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p := planned{Mirror: m.Name, Exit: codeOf(err), Reasons: map[string]int{}, Transfers: []step{}}
		if err != nil {
			p.Error = err.Error()
			s.fail(fmt.Errorf("%s: %w", m.Name, err))
		}
		for _, t := range work {
			if t.Back {
				p.back += t.Samples
			} else {
				p.Samples += t.Samples
			}
			p.Reasons[string(t.Reason)]++
			p.Transfers = append(p.Transfers, step{t.Reason, t.Chunk.Measurement, mirror.FormatTime(t.Chunk.Window.Start), mirror.FormatTime(t.Chunk.Window.Stop),
				t.Samples, t.Compare, t.Prove, t.Back, t.Chunk.Window, 1})
		}
		if err == nil {
			for _, x := range w.Estimates() {
				d := scrubDoc{Side: x.Side, Every: int64(x.Every / time.Second), Daily: x.Daily}
				if x.Oldest != 0 {
					d.Oldest = seconds(x.Oldest)
				}
				p.Scrub = append(p.Scrub, d)
			}
		}
		code = worst(code, p.Exit)
		all = append(all, p)
		if err == nil && !s.flags.json {
			s.showPlan(p, m.From.Endpoint.Name, m.To.Endpoint.Name)
		}
	}
	if s.flags.json {
		if err := s.print(map[string]any{"mirrors": all, "exit": code}); err != nil {
			return err
		}
	}
	return ended(code)
}

func (s *site) showPlan(p planned, from, to string) {
	if len(p.Transfers) == 0 {
		fmt.Fprintf(s.out, "%s: nothing to do\n", p.Mirror)
		if s.flags.verbose {
			s.showScrub(p)
		}
		return
	}
	fmt.Fprintf(s.out, "%s: reads about %s from %s", p.Mirror, count(p.Samples, "sample"), from)
	if p.back > 0 {
		fmt.Fprintf(s.out, ", and %s of %s once more", count(p.back, "sample"), to)
	}
	fmt.Fprintf(s.out, ", in %s\n", count(len(p.Transfers), "step"))
	rows := grouped(p.Transfers)
	fmt.Fprintf(s.out, "  %-14s  %-24s  %14s  %6s  %-7s  %s\n", "reason", "measurement", "samples", "steps", "how", "window")
	for i, t := range rows {
		if i == maxPlanRows && !s.flags.verbose {
			fmt.Fprintf(s.out, "  … and %s; -v or --json shows all\n", count(len(rows)-i, "more row"))
			break
		}
		how := "copy"
		switch {
		case t.Back:
			how = "re-read" // of the target only
		case t.Compare:
			how = "compare"
		}
		fmt.Fprintf(s.out, "  %-14s  %-24s  %14s  %6s  %-7s  %s\n", t.Reason, clean(t.Measurement), num(t.Samples), num(t.windows), how, minutes(t.window))
	}
	if p.Reasons[string(plan.Scrub)] > 0 || s.flags.verbose {
		s.showScrub(p)
	}
}

// showScrub says what the age of proofs costs.
func (s *site) showScrub(p planned) {
	for _, x := range p.Scrub {
		fmt.Fprintf(s.out, "  scrub of the %s every %s: about %s a day; the oldest proof there is of %s\n",
			x.Side, span(time.Duration(x.Every)*time.Second), count(x.Daily, "sample"), orDash(x.Oldest))
	}
}

// grouped adds up the steps of one reason, measurement and way.
func grouped(steps []step) (out []step) {
	type key struct {
		reason      plan.Reason
		measurement string
		how         [2]bool
	}
	at := map[key]int{}
	for _, t := range steps {
		k := key{t.Reason, t.Measurement, [2]bool{t.Compare, t.Back}}
		i, ok := at[k]
		if !ok {
			at[k] = len(out)
			out = append(out, t)
			continue
		}
		out[i].Samples += t.Samples
		out[i].windows++
		out[i].window = out[i].window.Span(t.window)
	}
	return out
}
