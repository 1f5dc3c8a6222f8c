package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
)

func (a *app) acceptCommand() *cobra.Command {
	var yes, exceptions bool
	var h *adhoc
	cmd := &cobra.Command{
		Use:   "accept MIRROR | SOURCE TARGET",
		Short: "Unblock a mirror: show what changed and what proving it again costs, ask, and take it as it is",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && !(len(args) == 2 && config.IsAddress(args[0])) {
				return errors.New("accept: name one mirror, as in: influxmirror accept cryostat")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, chosen, err := h.choose(a, args)
			if err != nil {
				return err
			}
			if chosen[0].IsPattern() {
				return withCode(exitUsage, fmt.Errorf("mirror %s stands for several buckets; name one, as in: influxmirror accept %s/BUCKET", args[0], args[0]))
			}
			if exceptions {
				return a.acceptExceptions(cmd.Context(), cfg, chosen[0], yes)
			}
			return a.accept(cmd.Context(), cfg, chosen[0], yes)
		},
	}
	h = a.addressFlags(cmd, false)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&exceptions, "exceptions", false, "today's exceptions are known: only new ones count from now on")
	return cmd
}

// accept shows what blocks a mirror and takes it as it is. Until the owner agrees nothing is written anywhere.
func (a *app) accept(ctx context.Context, cfg *config.Config, m *config.Mirror, yes bool) error {
	swapped := a.swapped(cfg)
	if err := a.look(ctx, cfg, m, swapped); err != nil {
		return err
	}
	if err := a.ask(yes, "take it as it is"); err != nil {
		return err
	}
	s, err := a.open(cfg, writes)
	if err != nil {
		return err
	}
	defer s.close()
	w := s.wire(m, mode{create: true, force: true})
	defer w.close()
	if err := w.Accept(ctx); err != nil {
		return err
	}
	if err := w.name(ctx); err != nil {
		return withCode(exitState, err)
	}
	fmt.Fprintf(a.out, "%s: accepted; next: influxmirror sync %s\n", pasted(m), pasted(m))
	return nil
}

// look says what changed and what proving it again costs.
func (a *app) look(ctx context.Context, cfg *config.Config, m *config.Mirror, swapped error) error {
	s, err := a.open(cfg, reads)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.free(); err != nil {
		return err
	}
	w := s.wire(m, mode{plan: true, force: true})
	defer w.close()
	_, _, err = w.Plan(ctx)
	blocked := (*engine.Blocked)(nil)
	if err != nil && !errors.As(err, &blocked) {
		return err
	}
	what := []error{swapped}
	if w.memory.change != "" {
		what = append(what, errors.New(w.memory.change))
	}
	if blocked != nil {
		what = append(what, blocked)
	}
	said := false
	for _, e := range what {
		if e != nil {
			said = true
			fmt.Fprintf(a.out, "%s: %s\n", m.Name, withoutNext(e.Error()))
		}
	}
	if !said {
		fmt.Fprintf(a.out, "%s: nothing blocks it\n", m.Name)
	}
	if err := w.Accept(ctx); err != nil { // into a ledger that forgets
		return err
	}
	work, r, err := w.Plan(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s: then the next sync reads about %s from %s, in %s; nothing is deleted on either side\n",
		m.Name, count(r.LeftSamples, "sample"), m.From.Endpoint.Name, count(len(work), "step"))
	return nil
}

// withoutNext leaves out the command that is just being run.
func withoutNext(s string) string {
	for _, end := range []string{"; if that is intended: influxmirror accept", "; if it is intended: influxmirror accept", ", or if it is intended: influxmirror accept",
		", or take it as it is: influxmirror accept", "; to copy everything into a new one: influxmirror accept"} {
		if i := strings.Index(s, end); i >= 0 {
			return s[:i]
		}
	}
	return s
}

// free returns an error when another process writes to the ledger.
func (s *site) free() error {
	held, err := ledger.Holder(s.dir)
	if err != nil {
		return withCode(exitState, err)
	}
	if held != nil {
		return withCode(exitHeld, fmt.Errorf("another influxmirror is running (%s): stop it first, accept, and start it again", heldBy(held)))
	}
	return nil
}

// ask wants a yes from the owner.
func (a *app) ask(yes bool, what string) error {
	if yes {
		return nil
	}
	if !isTerminal(a.in) {
		return withCode(exitUsage, errors.New("nobody is there to ask: give --yes to "+what))
	}
	fmt.Fprintf(a.err, "%s? [y/N] ", what)
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil && line == "" {
		return withCode(exitError, errors.New("no answer; nothing was changed"))
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return withCode(exitError, errors.New("nothing was changed"))
}

func (a *app) acceptExceptions(ctx context.Context, cfg *config.Config, m *config.Mirror, yes bool) error {
	s, err := a.open(cfg, writes)
	if err != nil {
		return err
	}
	defer s.close()
	pair, _, err := s.ledger.Mirror(ctx, m.Name)
	if errors.Is(err, ledger.ErrNotFound) {
		return withCode(exitUsage, fmt.Errorf("%s was never synced: it has no exceptions; next: influxmirror sync %s", pasted(m), pasted(m)))
	}
	if err != nil {
		return withCode(exitState, err)
	}
	now, err := excepted(ctx, pair)
	if err != nil {
		return withCode(exitState, err)
	}
	var n uint64
	for _, c := range now {
		n += c
	}
	fmt.Fprintf(a.out, "%s: the target cannot hold %s of the source\n", m.Name, count(n, "sample"))
	if err := a.ask(yes, "call them known"); err != nil {
		return err
	}
	if err := pair.SetState(ctx, knownNote, now); err != nil {
		return withCode(exitState, err)
	}
	fmt.Fprintf(a.out, "%s: known; only new ones count from now on\n", m.Name)
	return nil
}
