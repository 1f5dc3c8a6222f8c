package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// verifying are the flags of verify.
type verifying struct {
	full, explain, strict bool
	list                  string
}

func (a *app) verifyCommand() *cobra.Command {
	var v verifying
	cmd := &cobra.Command{
		Use:   "verify [MIRROR… | SOURCE TARGET]",
		Short: "Compare both sides and report; writes to neither",
		Long: `Compare both sides and report. verify writes to neither of the buckets that it compares. What it finds becomes work for the next pass, and its
report is kept in the state directory, the last 20 of each mirror: influxmirror status. One point of it goes into the mirror's log bucket (measurement
verify), unless that is none; verify neither fails nor waits where that cannot be written.`,
		Example: examples("verify", " --full"),
	}
	h := a.addressFlags(cmd, true)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if v.list != "" && v.list != "extra" {
			return withCode(exitUsage, fmt.Errorf("--list %q: only extra can be listed", v.list))
		}
		return a.verify(cmd.Context(), h.finder(a, cmd, args), v)
	}
	f := cmd.Flags()
	f.BoolVar(&v.full, "full", false, "read every sample again instead of believing proofs")
	f.BoolVar(&v.explain, "explain", false, "show the samples that differ")
	f.BoolVar(&v.strict, "strict", false, "exit 4 for exceptions that are known, too")
	f.StringVar(&v.list, "list", "", "`what` to list: extra, the samples that only the target has")
	return cmd
}

func (a *app) verify(ctx context.Context, find finder, how verifying) error {
	s, chosen, err := find(ctx, either)
	if err != nil {
		return err
	}
	defer s.close()
	code := s.begin
	all := []verdictDoc{}
	logs, stop := s.startActionLogs(ctx)
	defer stop()
	for _, m := range chosen {
		d, err := s.verifyOne(ctx, m, how, logs[m.Log.String()])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			d.Exit, d.Error = codeOf(err), err.Error()
			s.fail(fmt.Errorf("%s: %w", m.Name, err))
		}
		code = worst(code, d.Exit)
		all = append(all, d)
	}
	if s.flags.json {
		if err := s.print(map[string]any{"mirrors": all, "exit": code}); err != nil {
			return err
		}
	}
	return ended(code)
}

func (s *site) verifyOne(ctx context.Context, m *config.Mirror, how verifying, actions *actionLog) (verdictDoc, error) {
	w := s.wire(m, mode{})
	defer w.close()
	damage, err := w.damaged(ctx)
	if err != nil {
		return verdictDoc{Mirror: m.Name}, err
	}
	for _, d := range damage {
		if !s.flags.json {
			fmt.Fprintf(s.out, "DAMAGED %s\n", clean(d.text))
		}
	}
	p := s.progress(w)
	w.Beside = s.lock == nil
	full := how.full || s.adhoc && s.unproven(ctx, m)
	v, err := w.Verify(ctx, full)
	p.end()
	if err != nil {
		return verdictDoc{Mirror: m.Name, Damaged: damage}, err
	}
	word, code := v.Result()
	if (code == exitOK || code == exitIncomplete) && len(damage) > 0 {
		code = exitDifferent
	}
	if code == exitOK && how.strict {
		if n := v.Rows[engine.RefusedRow].Samples + v.Rows[engine.Unwritable].Samples + v.Rows[engine.ExpiredRow].Samples; n > 0 {
			code = exitDifferent
			word += fmt.Sprintf("; %s excepted", count(n, "sample"))
		}
	}
	var extra []extraDoc
	if how.list == "extra" {
		if extra, err = w.extra(ctx); err != nil {
			return verdictDoc{Mirror: m.Name}, withCode(exitState, err)
		}
	}
	d := document(v, m, word, code, how.explain, extra)
	d.Damaged, d.Full, d.Made = damage, full, time.Now().UTC().Format("2006-01-02T15:04:05.000000000Z")
	actions.point(verifyPoint(m.Name, v, d))
	if err := w.file(ctx, d); err != nil {
		s.warn("%s: the report is not kept: %v", m.Name, err)
	}
	if s.flags.json {
		return d, nil
	}
	s.showVerdict(v, word, code, m)
	if how.explain {
		s.showDifferences(v)
	}
	if how.list == "extra" {
		s.showExtra(v, extra)
	}
	return d, nil
}

// extraDoc is what only the target has, in one field of one Cell.
type extraDoc struct {
	Measurement string `json:"measurement"`
	Field       string `json:"field"`
	Type        string `json:"type"`
	Start       string `json:"start"`
	Stop        string `json:"stop"`
	Samples     uint64 `json:"samples"`
	Example     string `json:"example"`
	window      mirror.Window
}

func (w *wired) extra(ctx context.Context) (out []extraDoc, err error) {
	if w.memory.pair == nil {
		return nil, nil
	}
	for x, err := range w.memory.pair.Exceptions(ctx, mirror.Extra) {
		if err != nil {
			return nil, err
		}
		out = append(out, asExtra(x))
	}
	return out, nil
}

func asExtra(x ledger.Listed) extraDoc {
	return extraDoc{x.Measurement, x.Field, x.Type.String(), mirror.FormatTime(x.Window.Start), mirror.FormatTime(x.Window.Stop), x.Samples.Count, x.Example, x.Window}
}
