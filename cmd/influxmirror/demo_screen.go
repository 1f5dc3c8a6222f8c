package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// screen is where the demo tells what happens: lines that stay, and on a terminal a foot below them that is drawn again.
// All methods may be called from any goroutine.
type screen struct {
	app     *app // one that writes here
	result  io.Writer
	json    bool
	quiet   bool
	tty     bool
	colours bool
	width   func() int
	broken  func() // called when nobody can read what is written
	started time.Time

	mu     sync.Mutex // guards what follows and the terminal
	out    io.Writer
	below  []string
	drawn  int
	closed bool
}

func newScreen(a *app, broken func()) *screen {
	s := &screen{app: a, result: a.out, out: unguarded(a.out), json: a.flags.json, quiet: a.flags.quiet, broken: broken, started: time.Now()}
	if s.json {
		s.out = unguarded(a.err)
	}
	noColor, _ := a.env("NO_COLOR")
	s.tty = isTerminal(s.out)
	s.colours = s.tty && noColor == ""
	s.width = func() int {
		if f, ok := s.out.(*os.File); ok {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
				return w
			}
		}
		return 80
	}
	return s
}

// colour of who speaks.
var colour = map[string]string{"instrument": "36", "link": "31", "mirror": "32", "demo": "1", "log": "2"}

// say tells what somebody did.
func (s *screen) say(who, format string, args ...any) {
	name := fmt.Sprintf("%-10s", who)
	if s.colours {
		name = "\x1b[" + colour[who] + "m" + name + "\x1b[0m"
	}
	told := fmt.Sprintf(format, args...)
	if s.tty {
		told = wrap(told, s.width()-indent-1, strings.Repeat(" ", indent))
	}
	s.text("%5.1f s  %s  %s", time.Since(s.started).Seconds(), name, told)
}

// indent is the width of what stands before what is told.
const indent = 21

// wrap breaks a text between words into lines of at most width, and begins the lines after the first with margin.
func wrap(text string, width int, margin string) string {
	var b strings.Builder
	for {
		r := []rune(text)
		if width < 20 || len(r) <= width {
			b.WriteString(text)
			return b.String()
		}
		head := string(r[:width+1])
		at := strings.LastIndexByte(head, ' ')
		if at <= 0 {
			at = len(string(r[:width]))
		}
		b.WriteString(strings.TrimRight(text[:at], " ") + "\n" + margin)
		text = strings.TrimLeft(text[at:], " ")
	}
}

// text writes a line.
func (s *screen) text(format string, args ...any) {
	if s.quiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(fmt.Sprintf(format, args...) + "\n")
}

// Write takes what others write to stderr: the log, as run has it.
func (s *screen) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		s.say("log", "%s", strings.TrimPrefix(strings.TrimSpace(line), "influxmirror: "))
	}
	return len(p), nil
}

// put writes above the foot; the caller holds mu.
func (s *screen) put(text string) {
	var b strings.Builder
	s.erase(&b)
	b.WriteString(text)
	s.draw(&b)
	s.flush(&b)
}

// foot shows lines below everything else until it is called again; without lines it takes them away. Only a terminal has it.
func (s *screen) foot(lines ...string) {
	if !s.tty || s.quiet {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	var b strings.Builder
	s.erase(&b)
	s.below = lines
	s.draw(&b)
	s.flush(&b)
}

func (s *screen) erase(b *strings.Builder) {
	if s.drawn > 0 {
		fmt.Fprintf(b, "\r\x1b[%dA\x1b[J", s.drawn)
		s.drawn = 0
	}
}

func (s *screen) draw(b *strings.Builder) {
	width := s.width() - 1
	for _, line := range s.below {
		r := []rune(line)
		b.WriteString(string(r[:min(len(r), width)]) + "\n")
		s.drawn++
	}
}

func (s *screen) flush(b *strings.Builder) {
	if _, err := io.WriteString(s.out, b.String()); err != nil {
		s.broken()
	}
}

// close takes the foot away for good.
func (s *screen) close() {
	s.foot()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
}
