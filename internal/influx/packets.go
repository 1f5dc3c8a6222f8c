package influx

import (
	"sync"
	"syscall"
	"time"
)

// A tunnel that loses large packets without a word lets every connection come about and every large request or answer vanish. TCP of most systems
// never tries smaller ones by itself. So after two silences with nothing large between them that came through, new connections agree on segments that fit
// into the datagrams that every network carries (RFC 791: 576 bytes), for smallTime, which doubles each time that it turns out to be needed still.
const (
	smallSegment = 536
	largeEnough  = 16 << 10 // of a body: more than a few segments
	smallTime    = 10 * time.Minute
	maxSmallTime = 6 * time.Hour
)

// packets is what is known of how large they may be on the way to one server.
type packets struct {
	mu       sync.Mutex // guards all below
	silences int
	hold     time.Duration
	until    time.Time
}

// silent tells that a connection came about and then nothing did.
func (p *packets) silent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silences++; p.silences < 2 {
		return
	}
	p.silences = 0
	p.hold = min(max(smallTime, 2*p.hold), maxSmallTime)
	p.until = time.Now().Add(p.hold)
}

// passed tells that a body of n bytes came through, as it was sent.
func (p *packets) passed(n int64) {
	if n < largeEnough {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silences = 0; time.Now().After(p.until) {
		p.hold = 0
	}
}

func (p *packets) small() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.until)
}

// control sets up a socket before it is connected.
func (p *packets) control(_, _ string, c syscall.RawConn) error {
	if !p.small() {
		return nil
	}
	return c.Control(limitSegments) // as far as this system can: without it the link is as it was
}
