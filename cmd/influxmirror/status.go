package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"influxmirror/internal/config"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

func (a *app) statusCommand() *cobra.Command {
	var watch bool
	var lag string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how every mirror stands, from the ledger, also when the service is down",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			limit := time.Duration(0)
			if lag != "" {
				var err error
				if limit, err = config.ParseDuration(lag); err != nil {
					return withCode(exitUsage, fmt.Errorf("--max-lag %q: %w", lag, err))
				}
			}
			return a.status(cmd.Context(), watch, limit)
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again every two seconds, until interrupted")
	cmd.Flags().StringVar(&lag, "max-lag", "", "exit 3 with one line when a mirror lags more than this `duration`, for Nagios")
	return cmd
}

// statusAll is the status as JSON.
type statusAll struct {
	Time    string         `json:"time"`
	Holder  *holderDoc     `json:"running"`
	State   string         `json:"state_dir"`
	Mirrors []mirrorStatus `json:"mirrors"`

	Unmirrored []unmirroredAt `json:"in_no_mirror,omitempty"`
	Warnings   []string       `json:"warnings,omitempty"` // of the config, and of secrets that go unencrypted
}

type holderDoc struct {
	PID   int    `json:"pid"`
	Host  string `json:"host"`
	Since string `json:"since"`
}

type mirrorStatus struct {
	Mirror         string   `json:"mirror"`
	From           string   `json:"from"`
	To             string   `json:"to"`
	State          string   `json:"state"`
	Lag            *int64   `json:"lag_seconds"` // null: never synced
	SettledTo      string   `json:"settled_to,omitempty"`
	BacklogWindows int      `json:"backlog_windows"`
	BacklogSamples uint64   `json:"backlog_samples"`
	Proven         uint64   `json:"samples_proven"`
	Excepted       uint64   `json:"exceptions"`
	Extra          uint64   `json:"samples_only_on_target"`
	OldestProof    string   `json:"oldest_proof,omitempty"`
	OldestReadBack string   `json:"oldest_read_back,omitempty"` // of the target
	Doubted        uint64   `json:"samples_in_doubt,omitempty"` // since the target was restarted
	LastTry        string   `json:"last_try,omitempty"`
	Error          string   `json:"error,omitempty"`
	ErrorSince     string   `json:"error_since,omitempty"`
	GivenUp        []string `json:"given_up,omitempty"`

	LastVerify *verdictDoc  `json:"last_verify"` // null: never
	Earlier    []verdictDoc `json:"earlier_verifies,omitempty"`
}

func (a *app) status(ctx context.Context, watch bool, limit time.Duration) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	plain := exposed(ctx, cfg)
	for _, w := range plain {
		a.warn("%s", w)
	}
	for {
		all, err := a.gather(ctx, cfg)
		if err != nil {
			return err
		}
		all.Warnings = slices.Concat(cfg.Warnings, plain)
		if limit > 0 {
			return a.nagios(all, limit)
		}
		if watch && !a.flags.json && isTerminal(a.out) {
			fmt.Fprint(unguarded(a.out), "\x1b[H\x1b[2J")
			for _, w := range all.Warnings { // what was said before is off the screen now
				a.warn("%s", w)
			}
		}
		if a.flags.json {
			err = a.print(all)
		} else {
			err = a.showStatus(all)
		}
		if err != nil || !watch {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
	}
}

// gather reads what the ledger knows of the config's mirrors.
func (a *app) gather(ctx context.Context, cfg *config.Config) (statusAll, error) {
	s, err := a.open(cfg, reads)
	if err != nil {
		return statusAll{}, err
	}
	defer s.close()
	now := time.Now()
	all := statusAll{Time: now.UTC().Format(time.RFC3339), State: s.dir}
	held, err := ledger.Holder(s.dir)
	if err != nil {
		return all, withCode(exitState, err)
	}
	if held != nil {
		all.Holder = &holderDoc{held.PID, held.Host, held.Since.UTC().Format(time.RFC3339)}
	}
	mirrors, err := s.known(ctx)
	if err != nil {
		return all, withCode(exitState, err)
	}
	for _, m := range mirrors {
		d, found, err := s.remembered(ctx, m.Name)
		if err != nil {
			return all, withCode(exitState, err)
		}
		out := describe(m, d, found, held != nil, now)
		reports, err := s.reports(ctx, m.Name)
		if err != nil {
			return all, withCode(exitState, err)
		}
		if len(reports) > 0 {
			out.LastVerify = &reports[0]
			if s.flags.verbose {
				out.Earlier = reports[1:]
			}
		}
		all.Mirrors = append(all.Mirrors, out)
	}
	if all.Unmirrored, err = s.unmirrored(ctx, false); err != nil {
		return all, withCode(exitState, err)
	}
	return all, nil
}

func (s *site) remembered(ctx context.Context, name string) (d statusDoc, found bool, err error) {
	pair, err := s.pairOf(ctx, name)
	if err == nil && pair != nil {
		found, err = pair.State(ctx, statusNote(name), &d)
	}
	return d, found, err
}

// pairOf returns the pair that a mirror's name stands for, nil if there is none yet.
func (s *site) pairOf(ctx context.Context, name string) (*ledger.Pair, error) {
	if s.ledger == nil {
		return nil, nil
	}
	pair, _, err := s.ledger.Mirror(ctx, name)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	return pair, err
}

func describe(m *config.Mirror, d statusDoc, found, running bool, now time.Time) mirrorStatus {
	out := mirrorStatus{Mirror: m.Name, From: m.From.String(), To: m.To.String(), State: word(d, found, now),
		BacklogWindows: d.Left + d.Live, BacklogSamples: d.LeftSamples, Proven: d.Totals.Samples, Excepted: d.Totals.Excepted, Extra: d.Totals.Extra,
		Error: d.Error, GivenUp: d.GivenUp}
	if found && !running {
		out.State += ", not running"
	}
	if d.SettledTo != 0 {
		lag := int64(now.Add(time.Duration(d.Offset)).Sub(time.Unix(0, d.SettledTo)) / time.Second)
		out.Lag, out.SettledTo = &lag, seconds(d.SettledTo)
	}
	if d.Totals.Oldest != 0 {
		out.OldestProof = seconds(d.Totals.Oldest)
	}
	if d.Totals.Checked != 0 {
		out.OldestReadBack = seconds(d.Totals.Checked)
	}
	out.Doubted = d.Doubted
	if d.At != 0 {
		out.LastTry = seconds(d.At)
	}
	if d.ErrorSince != 0 {
		out.ErrorSince = seconds(d.ErrorSince)
	}
	return out
}

// readBack returns the days of the oldest proof and of when the target was last read back of what it is longest ago of.
func (m mirrorStatus) readBack() (proof, back string, ok bool) {
	proof, _, _ = strings.Cut(m.OldestProof, "T")
	back, _, ok = strings.Cut(m.OldestReadBack, "T")
	return proof, back, ok
}

// word is the state in a word.
func word(d statusDoc, found bool, now time.Time) string {
	switch {
	case !found:
		return "never synced"
	case d.Kind == mirror.Blocked, d.Kind == mirror.Rights, d.Kind == mirror.Missing, d.Kind == mirror.Rejected:
		return "needs you"
	case d.Error != "" && d.Kind == "":
		return "needs you"
	case d.Error != "":
		return "waiting for the link"
	case d.LeftSamples > 0 && d.First > d.LeftSamples:
		done := d.First - d.LeftSamples
		s := fmt.Sprintf("catching up %d %%", 100*done/d.First)
		if took := now.UnixNano() - d.FirstAt; took > 0 {
			left := time.Duration(float64(took) / float64(done) * float64(d.LeftSamples))
			if left < 365*24*time.Hour {
				s += ", " + span(left) + " left"
			}
		}
		return s
	case d.Left+d.Live > 0, len(d.GivenUp) > 0:
		return "catching up"
	}
	return "in sync"
}

func (a *app) showStatus(all statusAll) error {
	w := a.out
	if all.Holder == nil {
		fmt.Fprintln(w, "no influxmirror is running here")
	} else {
		fmt.Fprintf(w, "running: pid %d on %s since %s\n", all.Holder.PID, all.Holder.Host, all.Holder.Since)
	}
	for _, m := range all.Mirrors {
		fmt.Fprintf(w, "%s: %s\n", m.Mirror, m.State)
		fmt.Fprintf(w, "  %s to %s\n", m.From, m.To)
		if m.LastVerify != nil {
			fmt.Fprintf(w, "  %s\n", m.LastVerify.sentence())
		}
		for _, v := range m.Earlier {
			fmt.Fprintf(w, "  before: %s\n", v.sentence())
		}
		if m.LastTry == "" {
			continue
		}
		if m.Lag != nil {
			fmt.Fprintf(w, "  would be lost now: %s of new data", span(time.Duration(*m.Lag)*time.Second))
			if m.BacklogWindows > 0 {
				fmt.Fprintf(w, " + %s in %s", count(m.BacklogSamples, "sample"), count(m.BacklogWindows, "window"))
			}
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "  proven: %s, oldest proof %s", count(m.Proven, "sample"), orDash(m.OldestProof))
		if a, b, ok := m.readBack(); ok && a != b {
			fmt.Fprintf(w, ", read back since %s", m.OldestReadBack)
		}
		if m.Excepted > 0 {
			fmt.Fprintf(w, ", %s excepted", num(m.Excepted))
		}
		if m.Extra > 0 {
			fmt.Fprintf(w, ", the target keeps %s more", num(m.Extra))
		}
		if m.Doubted > 0 {
			fmt.Fprintf(w, "\n  the target was restarted: %s to read back", count(m.Doubted, "sample"))
		}
		fmt.Fprintf(w, "\n  last try: %s\n", m.LastTry)
		if m.Error != "" {
			fmt.Fprintf(w, "  error since %s: %s\n", m.ErrorSince, m.Error)
		}
		for _, e := range m.GivenUp {
			fmt.Fprintf(w, "  tried again in the next pass: %s\n", e)
		}
	}
	for _, u := range all.Unmirrored {
		fmt.Fprintf(w, "in no mirror: %s of %s (as of %s); if that is intended: ignore_buckets\n", cleanAll(u.Buckets), u.Endpoint, u.Seen)
	}
	return nil
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// nagios prints one line and exits 3 when a mirror lags too much or was never synced.
func (a *app) nagios(all statusAll, limit time.Duration) error {
	if a.flags.json {
		if err := a.print(all); err != nil {
			return err
		}
	}
	var late, fine string
	for _, m := range all.Mirrors {
		text := m.Mirror + " never synced"
		ok := false
		if m.Lag != nil {
			lag := time.Duration(*m.Lag) * time.Second
			text, ok = fmt.Sprintf("%s lags %s", m.Mirror, span(lag)), lag <= limit
			if m.Error != "" {
				text += " (" + m.State + ")"
			}
		}
		into := &late
		if ok {
			into = &fine
		}
		if *into != "" {
			*into += ", "
		}
		*into += text
	}
	if late != "" {
		if !a.flags.json {
			fmt.Fprintf(a.out, "LATE: %s; at most %s is asked for\n", late, span(limit))
		}
		return ended(exitIncomplete)
	}
	if !a.flags.json {
		fmt.Fprintf(a.out, "OK: %s\n", fine)
	}
	return nil
}
