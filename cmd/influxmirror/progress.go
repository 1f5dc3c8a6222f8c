package main

import (
	"fmt"
	"sync"
	"time"

	"influxmirror/internal/engine"
)

// How often progress is shown.
const (
	onTerminal = 200 * time.Millisecond
	elsewhere  = 10 * time.Second
)

// progress shows how far a Mirror is: one line that is written over on a terminal, a line now and then elsewhere.
type progress struct {
	site  *site
	name  string
	every time.Duration

	mu      sync.Mutex // guards what follows and the line
	shown   time.Time
	drawn   bool
	samples uint64
	written int64
	planned int
}

// progress makes the Mirror tell how far it is.
func (s *site) progress(w *wired) *progress {
	p := &progress{site: s, name: w.cfg.Name, every: elsewhere, shown: time.Now()}
	if s.terminal {
		p.every, p.shown = onTerminal, time.Time{}
	}
	if !s.flags.quiet {
		w.Observe = p.observe
	}
	return p
}

func (p *progress) observe(e engine.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case "plan":
		p.planned = e.Left
		return
	case "retry":
		if p.site.flags.verbose {
			p.clear()
			p.site.note("%s: %v; trying again", p.name, e.Err)
		}
		return
	case "count":
		p.planned = e.Left
		p.clear()
		p.site.note("%s: reads about %s again from each side", p.name, count(e.Samples, "sample"))
		return
	case "transfer":
		p.samples += e.Samples
		p.written += e.Written
	case "alarm":
		p.clear()
		p.site.warn("%s: %v", p.name, e.Err)
		return
	case "verify":
	default:
		return
	}
	if time.Since(p.shown) < p.every || p.planned == 0 {
		return
	}
	p.shown = time.Now()
	done := max(0, p.planned-e.Left)
	text := fmt.Sprintf("%s: %s of %s (%d %%)", p.name, num(done), count(p.planned, "window"), 100*done/p.planned)
	if e.Kind == "transfer" {
		text += fmt.Sprintf(", %s read, %s written", count(p.samples, "sample"), count(p.written, "line"))
	}
	if p.site.terminal {
		fmt.Fprintf(unguarded(p.site.err), "\r\x1b[K%s", oneLine(text))
		p.drawn = true
		return
	}
	p.site.note("%s", text)
}

// clear takes the line off the terminal; the caller holds mu.
func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(unguarded(p.site.err), "\r\x1b[K")
		p.drawn = false
	}
}

// end takes the line off the terminal.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}
