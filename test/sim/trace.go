package sim

import (
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// trace is the digest of all that happened in a history: what was noted, and everything that was sent.
type trace struct {
	mu     sync.Mutex // guards what is below
	digest uint64
	keep   bool
	lines  []string // if they are kept
}

func (t *trace) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprintf(h, "%x ", t.digest)
	_, _ = io.WriteString(h, line)
	if t.digest = h.Sum64(); t.keep {
		t.lines = append(t.lines, line)
	}
}

// said adds what was noted, its parts in no order: what several goroutines meet at one instant, as when a process is killed, becomes one error.
func (t *trace) said(text string) {
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ':' || r == '\n' })
	for i, p := range parts {
		parts[i] = strings.TrimSpace(p)
	}
	slices.Sort(parts)
	t.add(strings.Join(parts, ":"))
}

// takeTurns makes what several goroutines ask at once come in an order that is the same each time: what is sent waits for so many nanoseconds as its
// content says. Virtual time goes on when everything is at rest, so one request after the other wakes up, and all that it leads to at once is over before
// the next does. What has no side, as answers do, is no part of the trace: a process that was killed does not read them.
func (t *trace) takeTurns(side string) func(net.Conn) net.Conn {
	return func(c net.Conn) net.Conn { return &turnConn{c, t, side} }
}

type turnConn struct {
	net.Conn
	t    *trace
	side string
}

func (c *turnConn) Write(b []byte) (int, error) {
	h := fnv.New64a()
	_, _ = h.Write(b)
	time.Sleep(1 + time.Duration(h.Sum64()%uint64(time.Millisecond)))
	if c.side == "" {
		return c.Conn.Write(b)
	}
	if line := fmt.Sprintf("%s %s %016x", time.Now().UTC().Format("01-02 15:04:05.000000000"), c.side, h.Sum64()); c.t.keep {
		c.t.add(fmt.Sprintf("%s %q", line, b))
	} else {
		c.t.add(line)
	}
	return c.Conn.Write(b)
}
