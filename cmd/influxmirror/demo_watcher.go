package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// How often the demo says how far the mirror is.
const (
	demoRedraw = 250 * time.Millisecond // on a terminal
	demoStatus = 5 * time.Second        // elsewhere
)

// demoWatcher tells what the mirror does.
type demoWatcher struct {
	screen  *screen
	clock   *demoClock
	link    *link
	history int
	started time.Time
	length  time.Duration

	mu       sync.Mutex // guards what follows
	report   engine.Report
	seen     bool  // report is one
	copiedTo int64 // by the source's clock
	written  int64
	troubled int       // of link.met when a retry was last said
	closed   [2]uint64 // transfers and samples of the tail since it was last said
	whole    bool      // all of history was there once
	ending   bool
	spent    time.Duration // until then
}

// observe is called by the engine, from several goroutines.
func (w *demoWatcher) observe(e engine.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e.Kind {
	case "retry":
		w.retry(e.Err)
	case "probe":
		w.back()
	case "transfer":
		if e.Err == nil {
			w.back()
		}
		w.written += e.Written
		if e.Err != nil {
			w.screen.say("mirror", "leaves a window for the next pass: %v", e.Err)
			return
		}
		w.transfer(e)
	case "pass":
		w.pass(e)
	}
}

// back says when the link is found in order again.
func (w *demoWatcher) back() {
	if d, ok := w.link.back(); ok {
		w.screen.say("mirror", "carries on %.1f s after the link was back", d.Seconds())
	}
}

// retry says the first of what the same trouble breaks.
func (w *demoWatcher) retry(err error) {
	if n := w.link.begun(); n != w.troubled {
		w.troubled = n
		w.screen.say("mirror", "retry    %s", trouble(err))
	}
}

// trouble says what an error is and what comes of it.
func trouble(err error) string {
	e := (*mirror.Error)(nil)
	if !errors.As(err, &e) {
		return err.Error()
	}
	text := fmt.Sprintf("%s: ", e.Side)
	if e.Status != 0 {
		text += fmt.Sprintf("HTTP %d: ", e.Status)
	}
	if errors.Is(e.Err, io.EOF) {
		text += "no answer"
	} else {
		text += e.Err.Error()
	}
	if e.Kind == mirror.Unknown {
		return text + "; stored or not? both sides are read to find out"
	}
	return text + "; nothing of it counts, it is asked again"
}

func (w *demoWatcher) transfer(e engine.Event) {
	t := e.Transfer
	found := func(why string) {
		at := t.Chunk.Window
		w.screen.say("mirror", "%-8s %s %s, %s: %s, %s written", t.Reason, clean(t.Chunk.Measurement),
			time.Unix(0, at.Start).UTC().Format("2006-01-02T15:04Z"), span(time.Duration(at.Width())), why, count(e.Written, "line"))
	}
	switch t.Reason {
	case plan.Tail:
		w.closed[0]++
		w.closed[1] += e.Samples
	case plan.Late:
		found("not as many as proven")
	case plan.Future:
		found("ahead of the clock")
	case plan.Changed, plan.TargetChanged:
		if e.Written > 0 { // what shares a shard with it is read again, too
			found("read again")
		}
	}
}

func (w *demoWatcher) pass(e engine.Event) {
	if e.Err != nil {
		return // the log tells
	}
	w.tailed()
	w.report, w.seen = *e.Report, true
	if len(e.Report.Errors) == 0 {
		w.copiedTo = e.Report.Date
	}
	if !w.whole && e.Report.Complete() {
		w.whole = true
		w.screen.say("mirror", "all of history is copied, read back and proven: %s", count(e.Report.Totals.Samples, "sample"))
	}
}

// tailed says which part of the tail was proven; the caller holds mu.
func (w *demoWatcher) tailed() {
	if w.closed[0] > 0 {
		w.screen.say("mirror", "tail     the minutes that ended: %s read back and proven", count(w.closed[1], "sample"))
		w.closed = [2]uint64{}
	}
}

func (w *demoWatcher) tail() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tailed()
}

// lines is how many lines were written to the target.
func (w *demoWatcher) lines() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written
}

// run shows how far the mirror is until ctx ends.
func (w *demoWatcher) run(ctx context.Context) {
	every := demoStatus
	if w.screen.tty {
		every = demoRedraw
	}
	for {
		if w.screen.tty {
			w.screen.foot(w.status()...)
		}
		if !pause(ctx, min(every, max(w.length/3, demoRedraw))) {
			return
		}
		if !w.screen.tty {
			w.screen.say("mirror", "would be lost now: %s; %s", w.lost(), w.proven())
		}
	}
}

func (w *demoWatcher) status() []string {
	spent := min(time.Since(w.started), w.length)
	return []string{
		strings.Repeat("─", 78),
		"would be lost now: " + w.lost(),
		w.proven() + "; " + w.link.state(),
		fmt.Sprintf("%s %d of %d s; Ctrl-C ends early", bar(float64(spent)/float64(w.length), 40), int(spent.Seconds()), int(w.length.Seconds())),
	}
}

// lost is what would be lost if the source died now, as far as the mirror knows.
func (w *demoWatcher) lost() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.seen || w.copiedTo == 0 {
		return fmt.Sprintf("nearly everything, the first copy of %s has begun", count(w.history, "sample"))
	}
	s := span(w.clock.since(w.copiedTo)) + " of new data"
	if w.report.Left > 0 && w.report.LeftSamples > 0 {
		s += fmt.Sprintf(" + %s in %s", count(w.report.LeftSamples, "old sample"), count(w.report.Left, "window"))
	}
	return s
}

func (w *demoWatcher) proven() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.seen {
		return "nothing proven yet"
	}
	return fmt.Sprintf("%s proven, up to %s", count(w.report.Totals.Samples, "sample"), time.Unix(0, w.report.SettledTo).UTC().Format("15:04:05Z"))
}

// bar draws how much of something is done.
func bar(part float64, width int) string {
	n := int(part * float64(width))
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}
