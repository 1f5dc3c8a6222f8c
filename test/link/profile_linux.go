package link

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A Profile is how a link treats packets, in each direction. Zero values do nothing.
type Profile struct {
	Delay   time.Duration // of each packet
	Jitter  time.Duration // more or less of it, which puts packets out of order
	Rate    int64         // bits a second
	Loss    float64       // part of the packets that is dropped
	Double  float64       // part that comes twice
	Corrupt float64       // part of which a byte is changed: TCP's checksum finds it
	// The link is dark for Dark of every Cycle.
	Dark, Cycle time.Duration
}

// queueTime is how much a link that is too slow holds back before it drops, as a modem does.
const queueTime = 2 * time.Second

// Counts is what a link did.
type Counts struct{ Packets, Bytes, Lost, Doubled, Corrupted, Overflowed, Dark atomic.Int64 }

// way is one direction of a link.
type way struct {
	send   func([]byte)
	counts *Counts

	mu      sync.Mutex // guards all below
	profile Profile
	since   time.Time // of the profile
	free    time.Time // when what was accepted will have left
	rnd     *rand.Rand
	wg      sync.WaitGroup
}

// set changes the Profile.
func (w *way) set(p Profile) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.profile, w.since, w.free = p, time.Now(), time.Time{}
}

// take accepts one packet; the slice is the caller's again afterwards.
func (w *way) take(packet []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, now := w.profile, time.Now()
	w.counts.Packets.Add(1)
	w.counts.Bytes.Add(int64(len(packet)))
	switch {
	case p.Cycle > 0 && now.Sub(w.since)%p.Cycle < p.Dark:
		w.counts.Dark.Add(1)
		return
	case w.rnd.Float64() < p.Loss:
		w.counts.Lost.Add(1)
		return
	}
	if p.Rate > 0 {
		if w.free.Before(now) {
			w.free = now
		}
		if w.free.Sub(now) > queueTime {
			w.counts.Overflowed.Add(1)
			return
		}
		w.free = w.free.Add(time.Duration(int64(len(packet)) * 8 * int64(time.Second) / p.Rate))
	}
	times := 1
	if w.rnd.Float64() < p.Double {
		w.counts.Doubled.Add(1)
		times = 2
	}
	for range times {
		b := append([]byte(nil), packet...)
		if w.rnd.Float64() < p.Corrupt {
			w.counts.Corrupted.Add(1)
			b[w.rnd.IntN(len(b))] ^= 1 << w.rnd.IntN(8)
		}
		delay := p.Delay
		if p.Jitter > 0 {
			delay += time.Duration(w.rnd.Int64N(2*int64(p.Jitter))) - p.Jitter
		}
		if p.Rate > 0 {
			delay += w.free.Sub(now)
		}
		if delay <= 0 {
			w.send(b)
			continue
		}
		w.wg.Add(1)
		time.AfterFunc(delay, func() {
			defer w.wg.Done()
			w.send(b)
		})
	}
}
