package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"influxmirror/internal/config"
	"influxmirror/internal/mirror"
)

func (a *app) runCommand() *cobra.Command {
	var once, strict bool
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Keep all mirrors in step, for ever",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || len(args) == 1 && args[0] != "forceOn" {
				return errors.New("run takes no arguments: it runs all mirrors of the config; for some of them: influxmirror sync MIRROR")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				a.note("forceOn is no longer needed: the lock of an instance ends with it")
			}
			return a.run(cmd.Context(), once, strict)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "do one round of all mirrors and exit, as sync does")
	cmd.Flags().BoolVar(&strict, "strict", false, "with --once: exit 4 for exceptions that are known, too")
	return cmd
}

func (a *app) run(ctx context.Context, once, strict bool) error {
	path, err := config.Find(a.flags.config)
	if err != nil {
		return withCode(exitUsage, err)
	}
	watcher := config.NewWatcher(path, a.env)
	cfg, _, err := watcher.Poll()
	if err != nil {
		return withCode(exitUsage, err)
	}
	a.warnings(cfg)
	if err := a.swapped(cfg); err != nil {
		return err
	}
	s, err := a.open(cfg, writes)
	if errors.Is(err, mirror.ErrFull) && !once {
		s, err = a.openWithRoom(ctx, cfg, err)
	}
	if err != nil {
		return err
	}
	if s == nil {
		return nil // told to stop
	}
	defer s.close()
	if once {
		chosen, err := s.expand(ctx, cfg.Mirrors)
		if err != nil {
			return err
		}
		err = s.syncAll(ctx, chosen, strict)
		s.lookAround(ctx, err)
		return err
	}
	ctx, hangup, stop := a.hangups(ctx)
	defer stop()
	return (&service{site: s, watcher: watcher, hangup: hangup, manager: managerOf(a.env)}).serve(ctx)
}

// lookForRoom is how often a service that found its disk full at the start looks again.
const lookForRoom = 5 * time.Second

// openWithRoom opens the state of a service as soon as its disk has room for it; no site, and no error, if ctx ends before.
func (a *app) openWithRoom(ctx context.Context, cfg *config.Config, full error) (*site, error) {
	a.log.Warn(fmt.Sprintf("%v; nothing lost, it begins as soon as there is room", full))
	tick := time.NewTicker(lookForRoom)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case <-tick.C:
		}
		if s, err := a.open(cfg, writes); !errors.Is(err, mirror.ErrFull) {
			return s, err
		}
	}
}
