package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// manager is the service manager that started us, where there is one that listens: sd_notify(3). The zero value tells nobody.
type manager struct {
	socket string
	alive  time.Duration // how often it is told WATCHDOG=1, half of what it waits for; 0: not at all
}

// managerOf reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
func managerOf(env func(string) (string, bool)) manager {
	socket, _ := env("NOTIFY_SOCKET")
	if !strings.HasPrefix(socket, "/") && !strings.HasPrefix(socket, "@") {
		return manager{}
	}
	m := manager{socket: socket}
	pid, _ := env("WATCHDOG_PID")
	if text, _ := env("WATCHDOG_USEC"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 && n < int64(1<<62/time.Microsecond) {
			m.alive = max(time.Duration(n)*time.Microsecond/2, time.Millisecond)
		}
	}
	return m
}

// say sends lines NAME=value. A manager that does not take them within a second is not told: nothing waits for it.
func (m manager) say(lines ...string) {
	if m.socket == "" || len(lines) == 0 {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(strings.Join(lines, "\n")))
}

// beats fires when the manager wants to hear that the service goes on, and tells when how the mirrors stand; neither, if nobody listens.
func (m manager) beats() (alive, tells <-chan time.Time, stop func()) {
	var tickers []*time.Ticker
	every := func(d time.Duration) <-chan time.Time {
		if m.socket == "" || d == 0 {
			return nil
		}
		tickers = append(tickers, time.NewTicker(d))
		return tickers[len(tickers)-1].C
	}
	return every(m.alive), every(tellState), func() {
		for _, t := range tickers {
			t.Stop()
		}
	}
}

// tellState is how often the manager is told how the mirrors stand.
const tellState = 5 * time.Second

// state tells the manager in a line how the mirrors stand: systemctl status shows it.
func (s *service) state(ctx context.Context) {
	mirrors, err := s.known(ctx)
	if err != nil {
		return
	}
	now := time.Now()
	words := map[string][]string{} // names by state
	for _, m := range mirrors {
		d, found, err := s.remembered(ctx, m.Name)
		if err != nil {
			return
		}
		w := word(d, found, now)
		if len(mirrors) > 1 { // without how far and how long
			w, _, _ = strings.Cut(w, ",")
			w = strings.TrimRight(w, " %0123456789")
		}
		words[w] = append(words[w], m.Name)
	}
	s.manager.say("STATUS=" + stands(words))
}

// stands lists states, what needs a hand first and what is in step last; of the others it names a mirror.
func stands(words map[string][]string) string {
	rank := func(w string) int {
		switch w {
		case "needs you":
			return 0
		case "in sync":
			return 2
		}
		return 1
	}
	var parts []string
	for _, w := range slices.SortedFunc(maps.Keys(words), func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) }) {
		switch names := words[w]; {
		case w == "in sync":
			parts = append(parts, count(len(names), "mirror")+" in sync")
		case len(names) == 1:
			parts = append(parts, clean(names[0])+": "+w)
		default:
			parts = append(parts, fmt.Sprintf("%s and %d more: %s", clean(names[0]), len(names)-1, w))
		}
	}
	return strings.Join(parts, "; ")
}
