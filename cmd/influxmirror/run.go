package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"influxmirror/internal/config"
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
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if err := a.swapped(cfg); err != nil {
				return err
			}
			return a.runSite(cmd.Context(), cfg, once, strict)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "do one round of all mirrors and exit, as sync does")
	cmd.Flags().BoolVar(&strict, "strict", false, "with --once: exit 4 for exceptions that are known, too")
	return cmd
}

func (a *app) runSite(ctx context.Context, cfg *config.Config, once, strict bool) error {
	s, err := a.open(cfg, writes)
	if err != nil {
		return err
	}
	defer s.close()
	if once {
		return s.syncAll(ctx, cfg.Mirrors, strict)
	}
	return s.serve(ctx)
}
