package main

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// An end that is away is one line when it starts, however many mirrors wait for it, one an hour, and one when it is back.
func TestOutagesAreSaidOnce(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1700000000, 0)
	o := &outages{log: slog.New(&plain{mu: &sync.Mutex{}, w: &out}), now: func() time.Time { return now }, all: map[string]*outage{}}
	gone := &mirror.Error{Kind: mirror.Unreachable, Side: mirror.SourceSide, URL: "http://10.8.0.2:8086", Err: errors.New("connection refused")}
	said := func(want string) {
		t.Helper()
		if got := out.String(); got != want {
			t.Errorf("said %q, want %q", got, want)
		}
		out.Reset()
	}
	if !o.begin("a", gone, 38*time.Second, 14) {
		t.Error("the first is not new")
	}
	said("influxmirror: warning: source http://10.8.0.2:8086: connection refused; retry in 38 s; nothing lost, 14 windows wait\n")
	o.begin("b", gone, 38*time.Second, 2)
	now = now.Add(59 * time.Minute)
	o.begin("a", gone, time.Minute, 14)
	said("")
	now = now.Add(2 * time.Minute)
	o.begin("b", gone, time.Minute, 2)
	said("influxmirror: warning: source http://10.8.0.2:8086: connection refused; retry in 1 min; nothing lost, 16 windows wait, for 1 h 1 min now\n")
	now = now.Add(time.Minute)
	o.end("a")
	o.end("b")
	said("influxmirror: source http://10.8.0.2:8086: back after 1 h 2 min\n")

	// What needs the owner is said for its mirror, and ends with the command.
	o.begin("a", &engine.Blocked{Reason: "emptied: influxmirror accept a"}, time.Minute, 0)
	said("influxmirror: warning: a: emptied: influxmirror accept a\n")
}

func TestWorstExit(t *testing.T) {
	for _, c := range []struct{ a, b, want int }{
		{exitOK, exitIncomplete, exitIncomplete}, {exitUnreachable, exitBlocked, exitBlocked}, {exitState, exitRights, exitState}, {exitDifferent, exitIncomplete, exitDifferent},
	} {
		if got := worst(c.a, c.b); got != c.want {
			t.Errorf("worst(%d, %d) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := worst(c.b, c.a); got != c.want {
			t.Errorf("worst(%d, %d) = %d, want %d", c.b, c.a, got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		num(uint64(919408882)): "919 408 882", num(-1234): "-1 234", num(uint64(1 << 63)): "9 223 372 036 854 775 808", count(1, "window"): "1 window", count(0, "window"): "0 windows",
		short(12_000_000): "12 M", short(999): "999", short(999_600): "1.0 M", short(1_234): "1.2 k", short(0): "0",
		span(41 * time.Second): "41 s", span(2*time.Hour + 13*time.Minute + 5*time.Second): "2 h 13 min", span(26 * time.Hour): "1 d 2 h", span(30 * 24 * time.Hour): "30 d", span(-time.Minute): "-1 min",
		clock(time.Hour + 2*time.Minute + 3*time.Second): "01:02:03",
		minutes(mirror.Window{Start: 0, Stop: 60e9}):     "1970-01-01T00:00Z/1970-01-01T00:01Z",
		strings.TrimSpace(clean("a\x1b[2J")):             `"a\x1b[2J"`,
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
