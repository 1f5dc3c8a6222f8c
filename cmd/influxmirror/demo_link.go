package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"influxmirror/influxtest"
)

// link is what lies between influxmirror and the two servers, and fails.
type link struct {
	station, home *influxtest.Server
	screen        *screen
	gap           time.Duration // from one failure to the next
	outage        time.Duration // how long an end is away

	mu    sync.Mutex // guards what follows
	tried int        // failures begun
	hits  int        // failures that broke a request
	names []string   // of those
	down  string     // what is away now
	since time.Time
	cut   bool // and the mirror was not heard of since
}

// slowness holds back everything that comes over the link.
type slowness struct{ atomic.Int64 }

// listen opens a loopback port whose answers are slow.
func (s *slowness) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	return slowListener{l, s}, err
}

type slowListener struct {
	net.Listener
	slow *slowness
}

func (l slowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return slowConn{c, l.slow}, err
}

type slowConn struct {
	net.Conn
	slow *slowness
}

func (c slowConn) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(c.slow.Load()))
	return c.Conn.Write(p)
}

// failure is one way for the link to fail.
type failure struct {
	name  string
	side  func(*link) []*influxtest.Server
	match func(*http.Request) bool
	fault influxtest.Fault
	once  string // what is said of one that breaks a single request
	away  string // what is said of one that lasts
}

func station(l *link) []*influxtest.Server { return []*influxtest.Server{l.station} }
func home(l *link) []*influxtest.Server    { return []*influxtest.Server{l.home} }
func ends(l *link) []*influxtest.Server    { return []*influxtest.Server{l.station, l.home} }

// forSamples matches requests for samples, not those that only count.
func forSamples(r *http.Request) bool {
	return influxtest.Queries(r) && strings.Contains(r.Form.Get("q"), "EXPLAIN SELECT *::field")
}

// failures in the order they happen, for ever.
var failures = []failure{
	{name: "answer cut", side: station, match: forSamples, fault: influxtest.CutAfter(200), once: "broke in the middle of an answer from station"},
	{name: "write without an answer", side: home, match: influxtest.Writes, fault: influxtest.ResetAfterApply(), once: "broke after home stored a write and before it could say so"},
	{name: "source unreachable", side: station, fault: influxtest.Refuse(), away: "DOWN: station cannot be reached"},
	{name: "target busy", side: home, fault: influxtest.Status(http.StatusServiceUnavailable, time.Second, "overloaded"), away: "DOWN: home answers 503, too busy"},
	{name: "both unreachable", side: ends, fault: influxtest.Refuse(), away: "DOWN: neither server can be reached"},
}

// run lets the link fail again and again until ctx ends, and leaves it mended.
func (l *link) run(ctx context.Context) {
	for n, gap := 0, l.gap/3; pause(ctx, gap); n, gap = n+1, l.gap {
		l.fail(ctx, failures[n%len(failures)])
		for _, s := range ends(l) {
			s.ForgetRequests() // they are kept in memory
		}
	}
}

// patience is how long a failure waits for a request that meets it.
const patience = 5 * time.Second

// fail does one failure.
func (l *link) fail(ctx context.Context, f failure) {
	begun := time.Now()
	l.begin()
	match := f.match
	if f.once != "" { // said as it happens
		var first sync.Once
		match = func(r *http.Request) bool {
			if !f.match(r) {
				return false
			}
			first.Do(func() { l.screen.say("link", "%s", f.once) })
			return true
		}
	}
	var faults []*influxtest.Injected
	for _, s := range f.side(l) {
		i := s.Fault(match, f.fault)
		if f.once != "" {
			i.Times(1)
		}
		faults = append(faults, i)
	}
	fired := func() (n int) {
		for _, i := range faults {
			n += i.Fired()
		}
		return n
	}
	if f.away != "" {
		l.set(f.away)
		l.screen.say("link", "%s", f.away)
	}
	for time.Since(begun) < patience && (fired() == 0 || f.away != "" && time.Since(begun) < l.outage) && pause(ctx, 20*time.Millisecond) {
	}
	for _, i := range faults {
		i.Remove()
	}
	n := fired()
	l.count(f.name, n)
	if f.away != "" {
		l.set("")
		l.screen.say("link", "back after %.1f s; it broke %s", time.Since(begun).Seconds(), count(n, "request"))
	}
}

func (l *link) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried++
}

// begun is how many failures there were so far, whether a request met them or not.
func (l *link) begun() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tried
}

func (l *link) count(name string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n == 0 {
		return
	}
	l.hits++
	if !slices.Contains(l.names, name) {
		l.names = append(l.names, name)
	}
}

func (l *link) set(away string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down, l.since, l.cut = away, time.Now(), away != "" || l.cut
}

// back reports once how long the link was up again when the mirror was first heard of.
func (l *link) back() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down != "" || !l.cut {
		return 0, false
	}
	l.cut = false
	return time.Since(l.since), true
}

// state says whether the link is up.
func (l *link) state() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down == "" {
		return "link up"
	}
	return fmt.Sprintf("link %s, for %.0f s", l.down, time.Since(l.since).Seconds())
}

// met is how many failures broke a request.
func (l *link) met() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hits
}

// kinds lists which.
func (l *link) kinds() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.names, ", ")
}

// pause waits and reports whether ctx still lasts.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
