package main

import (
	"context"

	"golang.org/x/sync/errgroup"
)

func (s *site) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, m := range s.cfg.Mirrors {
		w := s.wire(m, mode{create: true})
		g.Go(func() error { defer w.close(); return w.Run(ctx) })
	}
	return g.Wait()
}
