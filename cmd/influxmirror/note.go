package main

import (
	"context"
	"errors"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// statusNote is where the state of a mirror is kept beside its proofs, for status.
func statusNote(name string) string { return "status " + name }

// statusDoc is what a mirror came to last. Times are Unix nanoseconds, 0 for never.
type statusDoc struct {
	At          int64         // of the last attempt, by the local clock
	Offset      int64         // the source's clock less the local one
	Date        int64         // the source's clock at the last Pass that reached both ends
	SettledTo   int64         // by the source's clock
	First       uint64        // Samples that were left when the backlog began
	FirstAt     int64         // when that was
	Left        int           // windows
	LeftSamples uint64        // Samples
	Live        int           // windows that somebody writes to
	Totals      engine.Totals // what is proven
	Doubted     uint64        // Samples of it that a restarted target has to be asked for again
	Error       string        // of the last attempt
	Kind        mirror.Kind   // of Error; "blocked" too where the owner has to decide
	ErrorSince  int64
	GivenUp     []string // windows that were given up until the next Pass
	Source      string   // product and version
	Target      string
}

// keep stores what a Pass came to, for status and for the log of passes. It is told to the ledger even after a signal.
func (w *wired) keep(ctx context.Context, r engine.Report, failed error, started time.Time) error {
	if w.site.lock == nil {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	pair := w.memory.pair
	if pair == nil {
		var err error
		if pair, _, err = w.site.ledger.Mirror(ctx, w.cfg.Name); err != nil {
			if errors.Is(err, ledger.ErrNotFound) {
				return nil // never reached: there is nothing to say it of
			}
			return err
		}
	}
	var d statusDoc
	if _, err := pair.State(ctx, statusNote(w.cfg.Name), &d); err != nil {
		return err
	}
	now := time.Now()
	d.At = now.UnixNano()
	if r.Date != 0 {
		d.update(r, now)
	}
	if failed == nil {
		d.Error, d.Kind, d.ErrorSince = "", "", 0
		if r.Complete() {
			if err := pair.Checked(ctx); err != nil {
				return err
			}
		}
	} else if !errors.Is(failed, context.Canceled) {
		if kind := kindOf(failed); d.Error == "" || kind != d.Kind {
			d.ErrorSince = d.At
		}
		d.Error, d.Kind = failed.Error(), kindOf(failed)
	}
	if err := pair.SetState(ctx, statusNote(w.cfg.Name), d); err != nil {
		return err
	}
	if r.Date == 0 || r.Idle && failed == nil && r.Planned == 0 {
		return nil // thousands of these would push out what is worth reading
	}
	pass := ledger.Pass{Started: started.UnixNano(), Ended: d.At, Read: r.Samples, Written: uint64(r.Written), Result: "complete"}
	switch {
	case failed != nil:
		pass.Result, pass.Reason = "failed", failed.Error()
	case !r.Complete():
		pass.Result = "partial"
	}
	return pair.AddPass(ctx, pass)
}

func (d *statusDoc) update(r engine.Report, now time.Time) {
	d.Date, d.Offset, d.SettledTo = r.Date, int64(r.Source.Offset), r.SettledTo
	if r.LeftSamples == 0 {
		d.First, d.FirstAt = 0, 0
	} else if total := r.LeftSamples + r.Samples; d.First < r.LeftSamples {
		d.First, d.FirstAt = total, now.UnixNano()
	}
	d.Doubted = r.Doubted
	d.Left, d.LeftSamples, d.Live, d.Totals, d.GivenUp = r.Left, r.LeftSamples, r.Live, r.Totals, r.Errors
	d.Source, d.Target = r.Source.Product+" "+r.Source.Version, r.Target.Product+" "+r.Target.Version
}

// kindOf is mirror.KindOf, with what needs the owner as Blocked.
func kindOf(err error) mirror.Kind {
	if b := (*engine.Blocked)(nil); errors.As(err, &b) {
		return mirror.Blocked
	}
	return mirror.KindOf(err)
}
