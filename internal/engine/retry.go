package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/cenkalti/backoff/v5"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// stops reports whether err ends the Pass: trying the next Chunk would meet the same.
func stops(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	switch mirror.KindOf(err) {
	case mirror.Broken, mirror.Unknown, mirror.TooLarge, mirror.Rejected, mirror.MultiShard:
		return false
	}
	return true // unreachable, rights, blocked, and everything that is no answer of a server: the ledger, the disk
}

// persist tries a Transfer until it is done, waiting longer and asking for less each time. After the first failure the target
// may hold a part of it: from then on both sides are compared, and only what differs is sent.
// It returns the parts that are still to be done: when until has come, history makes room for the tail.
func (m *Mirror) persist(ctx context.Context, e ends, t plan.Transfer, until time.Time) (total outcome, rest []plan.Transfer, err error) {
	rest = []plan.Transfer{t}
	for len(rest) > 0 {
		rest = append(m.fit(rest[0]), rest[1:]...)
		if over(until, 0) {
			return total, rest, nil
		}
		if rest[0].Chunk.Window = e.alive(rest[0].Chunk); rest[0].Chunk.Window.Empty() {
			rest = rest[1:]
			continue
		}
		first := true
		err := m.again(ctx, until, t, func() error {
			if !first {
				m.limit.Store(max(minChunk, min(m.limit.Load(), int64(rest[0].Samples))/2))
				rest = append(halves(rest[0]), rest[1:]...)
			}
			first = false
			start := time.Now()
			o, err := m.transfer(ctx, e, rest[0])
			total.add(o)
			if err == nil {
				m.pace(rest[0], time.Since(start))
			}
			return err
		})
		if err != nil {
			rest[0].Compare = rest[0].Prove // the target may hold a part of it
			return total, rest, err
		}
		rest = rest[1:]
	}
	return total, nil, nil
}

// alive leaves out what has fallen behind the retention of either side since the Pass began. The floors of a Pass keep a
// distance that lasts for its first minutes.
func (e ends) alive(c mirror.Chunk) mirror.Window {
	w, passed := c.Window, int64(time.Since(e.at))-2*mirror.TailWidth
	for _, floor := range []int64{e.policy.SourceFloor, e.policy.TargetFloor} {
		if passed <= 0 || floor == mirror.MinTime || w.Start >= floor+passed {
			continue
		}
		w.Start = min(w.Stop, w.Start+((floor+passed-w.Start-1)/c.Width+1)*c.Width)
	}
	return w
}

// over reports whether until will have come when wait is over; the zero time never comes.
func over(until time.Time, wait time.Duration) bool {
	return !until.IsZero() && !time.Now().Add(wait).Before(until)
}

// again repeats fn after errors that time can mend, with growing pauses that end before until. Each try that failed is told, with the Transfer if
// there is one.
func (m *Mirror) again(ctx context.Context, until time.Time, t plan.Transfer, fn func() error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval, pause.RandomizationFactor = time.Second, time.Minute, 0
	for try := 1; ; try++ {
		err := fn()
		if err == nil || try == maxTries || ctx.Err() != nil {
			return err
		}
		wait := spread(pause.NextBackOff(), m.Name, t.Chunk.Measurement, t.Chunk.Window, try)
		switch me := (*mirror.Error)(nil); mirror.KindOf(err) {
		case mirror.Busy:
			if errors.As(err, &me) {
				wait = max(wait, me.After)
			}
		case mirror.Broken, mirror.Unknown, mirror.TooLarge:
		case mirror.Unreachable:
			if t.Chunk.Measurement == "" {
				return err // a dead end is told at once; it is the caller who waits
			}
		default:
			return err
		}
		m.observe(Event{Kind: "retry", Transfer: t, Err: err})
		if over(until, wait) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// spread makes a pause up to a half shorter or longer, so that not all who wait for a server come back at once. Who waits decides and not chance: what
// went wrong can be lived through again.
func spread(pause time.Duration, who ...any) time.Duration {
	h := fnv.New64a()
	fmt.Fprint(h, who...)
	n := h.Sum64() // whose high bits hardly know the last byte
	n = (n ^ n>>33) * 0xff51afd7ed558ccd
	n = (n ^ n>>33) * 0xc4ceb9fe1a85ec53
	return pause/2 + time.Duration(float64(pause)*float64((n^n>>33)>>11)/(1<<53))
}

const (
	minChunk = 1_000     // samples; less is not asked for because a link is slow
	maxChunk = 1_000_000 // samples
	// chunkTime is what one Chunk may take on the link as it was lately.
	chunkTime = 5 * time.Second
)

// slowLink is how many Samples a second a lane moves at most where the link and not the servers are the limit. A connection on a long and lossy
// link gets only a part of it, so more Chunks go side by side there.
const slowLink = 50_000

// pace lets Chunks grow to what the link moves in chunkTime, and more of them be under way on a slow link.
func (m *Mirror) pace(t plan.Transfer, took time.Duration) {
	if slow := float64(t.Samples) < slowLink*took.Seconds(); !t.Live() && (took > time.Second || !slow) {
		m.Gate.widen(slow)
	}
	if took < chunkTime/2 && int64(t.Samples)*2 >= m.limit.Load() {
		m.limit.Store(min(maxChunk, m.limit.Load()*2))
	} else if took > 2*chunkTime {
		m.limit.Store(max(minChunk, m.limit.Load()/2))
	}
}

// fit halves a Transfer until its first part is what the link moves in chunkTime. The other parts are fitted when their turn comes: a server may
// count more than anybody can hold.
func (m *Mirror) fit(t plan.Transfer) []plan.Transfer {
	out := []plan.Transfer{t}
	for t.Prove && out[0].Samples/2 > uint64(m.limit.Load()) {
		parts := halves(out[0])
		if len(parts) == 1 {
			break
		}
		for i := range parts {
			parts[i].Compare = out[0].Compare
		}
		out = append(parts, out[1:]...)
	}
	return out
}

// halves splits a Transfer that failed, between two of its Cells if there are several, and compares from then on.
func halves(t plan.Transfer) []plan.Transfer {
	t.Compare = t.Prove
	w := t.Chunk.Window
	if n := t.Chunk.Cells(); n > 1 {
		at := t.Chunk.Cell(n / 2).Start
		return cutAt(t, at)
	}
	if w.Width() < 2 || t.Samples < 2*minChunk {
		return []plan.Transfer{t}
	}
	return cutAt(t, w.Middle())
}

// cutAt splits a Transfer in two, the newer part first.
func cutAt(t plan.Transfer, at int64) []plan.Transfer {
	a, b := t, t
	a.Chunk.Window.Stop, b.Chunk.Window.Start = at, at
	a.Samples, b.Samples = t.Samples/2, t.Samples/2
	a.Held, b.Held = t.Held/2, t.Held/2
	for _, p := range []*plan.Transfer{&a, &b} {
		p.Chunk.Width = int64(min(uint64(t.Chunk.Width), p.Chunk.Window.Width()))
	}
	return []plan.Transfer{b, a}
}
