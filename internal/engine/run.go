package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"influxmirror/internal/mirror"
)

// blockedRetry is how often a Mirror that needs its owner, or whose token is refused, looks again.
const blockedRetry = time.Minute

// Run keeps the Mirror in step until ctx ends or the Ledger fails; it returns the Ledger's error, a Blocked for a bug, or nil. Servers that do not answer,
// refuse or block are waited for, and room where the Ledger's disk is full. Each Pass is told to Observe as an Event of kind "pass".
func (m *Mirror) Run(ctx context.Context) error {
	return m.safely(func() error { return m.run(ctx) })
}

func (m *Mirror) run(ctx context.Context) error {
	full := false // the last Pass met a full disk
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.RandomizationFactor = max(time.Second, m.Wait), max(time.Minute, m.Wait), 0
	var away outage
	for ctx.Err() == nil {
		r, err := m.round(ctx, full)
		full = errors.Is(err, mirror.ErrFull)
		if ctx.Err() != nil {
			return nil
		}
		var pause time.Duration
		switch {
		case err == nil:
			wait.Reset()
			away = outage{}
			if len(m.queue) == 0 || len(r.Errors) > 0 || r.Samples == 0 {
				pause = m.Wait
			}
		case Waits(err):
			if pause = spread(wait.NextBackOff(), m.Name, time.Now().UnixNano()); mirror.KindOf(err) == mirror.Rights {
				pause = blockedRetry
			}
			if knock, no := away.pause(m.reached, err, max(time.Minute, m.Wait)); no {
				pause = spread(knock, m.Name, time.Now().UnixNano())
			}
			if b := (*Blocked)(nil); errors.As(err, &b) {
				pause = blockedRetry
			}
			if e := (*mirror.Error)(nil); errors.As(err, &e) {
				pause = max(pause, e.After)
			}
		default:
			m.observe(Event{Kind: "pass", Report: &r, Err: err, Left: r.Left})
			return err
		}
		m.observe(Event{Kind: "pass", Report: &r, Err: err, Left: r.Left, Pause: pause})
		select {
		case <-ctx.Done():
		case <-m.wake:
		case <-time.After(pause):
		}
	}
	return nil
}

// round is a Pass; behind a full disk one only where there is room again, for what is read and cannot be recorded is read once more.
func (m *Mirror) round(ctx context.Context, full bool) (Report, error) {
	if full && m.ledger != nil {
		if err := m.ledger.SetState(ctx, roomNote, time.Now().UTC()); err != nil {
			return Report{}, err
		}
	}
	return m.Pass(ctx, Goal{Slice: m.Wait})
}

// roomNote is written to find out whether there is room.
const roomNote = "room"

// Waits reports whether err is one that time, a server or the owner can mend: everything but a bug and the state directory, and that too while it is only
// full.
func Waits(err error) bool {
	if isBug(err) {
		return false
	}
	b := (*Blocked)(nil)
	return mirror.KindOf(err) != "" || errors.As(err, &b) || errors.Is(err, mirror.ErrFull)
}

// Wake ends the pause of Run now.
func (m *Mirror) Wake() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Gate bounds how many Chunks of history are under way in all Mirrors of a process, and prefers the Mirrors named first.
type Gate struct {
	mu      sync.Mutex
	free    int              // may be below 0 after the gate became narrow
	wide    bool             // slowLanes more
	diffs   [2]chan struct{} // of history, of the tail
	waiting []waiter         // by rank
}

type waiter struct {
	rank int
	turn chan struct{}
}

// NewGate admits n Chunks at once.
func NewGate(n int) *Gate {
	return &Gate{free: n, diffs: [2]chan struct{}{make(chan struct{}, diffs), make(chan struct{}, tailDiffs)}}
}

// How many Cells are settled at once in all Mirrors of a process; each holds up to settleBytes of both sides. The tail has places of its own, so that it
// does not wait for history on a link that hangs.
const (
	diffs     = 3
	tailDiffs = 2
)

// diff waits for leave to settle a Cell; the caller gives it back by calling what it returns.
func (g *Gate) diff(ctx context.Context, tail bool) (settled func(), _ error) {
	places := g.diffs[0]
	if tail {
		places = g.diffs[1]
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// enter waits for a place.
func (g *Gate) enter(ctx context.Context, rank int) error {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	w := waiter{rank, make(chan struct{})}
	i, _ := slices.BinarySearchFunc(g.waiting, rank+1, func(a waiter, r int) int { return a.rank - r })
	g.waiting = slices.Insert(g.waiting, i, w)
	g.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.IndexFunc(g.waiting, func(a waiter) bool { return a.turn == w.turn }); i >= 0 {
		g.waiting = slices.Delete(g.waiting, i, i+1)
		return ctx.Err()
	}
	return nil // the turn came at the same moment
}

// leave gives the place to the first in line.
func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.free++
	g.admit()
}

// widen says whether the link is slow, so that more Chunks go side by side.
func (g *Gate) widen(slow bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if slow == g.wide {
		return
	}
	if g.wide = slow; slow {
		g.free += slowLanes
	} else {
		g.free -= slowLanes
	}
	g.admit()
}

// admit gives the free places to the first in line. The caller holds mu.
func (g *Gate) admit() {
	for g.free > 0 && len(g.waiting) > 0 {
		close(g.waiting[0].turn)
		g.waiting = g.waiting[1:]
		g.free--
	}
}
