package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"influxmirror/internal/engine"
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
	case "transfer":
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

// retry says the first of what the same trouble breaks.
func (w *demoWatcher) retry(err error) {
	if n := w.link.begun(); n != w.troubled {
		w.troubled = n
		w.screen.say("mirror", "retry    %v; tries again, and compares both sides first", err)
	}
}

func (w *demoWatcher) transfer(e engine.Event) {
	t := e.Transfer
	place := fmt.Sprintf("%s %s", clean(t.Chunk.Measurement), minutes(t.Chunk.Window))
	switch t.Reason {
	case plan.Tail:
		w.closed[0]++
		w.closed[1] += e.Samples
	case plan.Late:
		w.screen.say("mirror", "late     %s: more than was proven; %s read, %s written", place, count(e.Samples, "sample"), count(e.Written, "line"))
	case plan.Future:
		w.screen.say("mirror", "future   %s: ahead of the clock; %s read, %s written", place, count(e.Samples, "sample"), count(e.Written, "line"))
	case plan.Changed:
		if e.Written > 0 { // what shares a shard with it is read again, too
			w.screen.say("mirror", "changed  %s: written to since it was proven; %s read again, %s differed", place, count(e.Samples, "sample"), count(e.Written, "line"))
		}
	case plan.TargetChanged:
		if e.Written > 0 {
			w.screen.say("mirror", "target-changed  %s: %s written again", place, count(e.Written, "line"))
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
		w.screen.say("mirror", "tail     minutes that ended are read back and proven: %s in %s", count(w.closed[1], "sample"), count(w.closed[0], "window"))
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

// last says that the mirror is about to be brought up to date.
func (w *demoWatcher) last() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ending = true
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
		s += fmt.Sprintf(" + %s in %s", count(w.report.LeftSamples, "sample"), count(w.report.Left, "window"))
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
