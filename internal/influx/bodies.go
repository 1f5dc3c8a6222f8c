package influx

import (
	"errors"
	"sync"
	"time"

	"influxmirror/internal/lineproto"
)

// errSilent is a request that was sent, as far as anybody here can tell, and heard nothing.
var errSilent = errors.New("no answer in time")

// A body that vanishes on the way, where a tunnel loses large packets or something on the way holds large requests back, is followed by ones of an
// eighth, down to one line. Larger ones are tried again after holdBodies, which doubles each time that one vanishes, and only while their answers come soon.
const (
	smaller       = 8
	holdBodies    = time.Minute
	maxHoldBodies = time.Hour
	soon          = firstByteTimeout / 3
)

// bodies is how large the bodies of writes to one server are, in bytes of lines. The zero value is the size on a link that loses nothing.
type bodies struct {
	mu    sync.Mutex // guards all below
	size  int        // 0: bodySize
	good  int        // the largest that was stored since the last one vanished
	hold  time.Duration
	until time.Time // nothing larger is tried before
}

// cut takes the lines of one body off lines, which are canonical and at least one.
func (b *bodies) cut(lines []byte) (body, rest []byte) {
	b.mu.Lock()
	size := b.size
	b.mu.Unlock()
	if size == 0 {
		return lines, nil
	}
	for rest = lines; len(rest) > 0; {
		_, next := lineproto.Next(rest)
		if len(lines)-len(next) > size && len(rest) < len(lines) {
			break
		}
		rest = next
	}
	return lines[:len(lines)-len(rest)], rest
}

// stored tells that a body of n bytes was acknowledged.
func (b *bodies) stored(n int, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.good = max(b.good, n)
	if b.size == 0 || n <= b.size/2 || took > soon || time.Now().Before(b.until) {
		return
	}
	if b.size = 2 * max(b.size, n); b.size >= bodySize {
		b.size, b.hold = 0, 0
	}
}

// vanished tells that a body of n bytes was sent and nothing was heard.
func (b *bodies) vanished(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.size != 0 && n > b.size && b.size > 1 {
		return // it was under way before the one that was heard of first
	}
	next := max(1, n/smaller)
	if b.good > next && b.good <= n/2 {
		next = b.good
	}
	b.size, b.good = next, 0
	b.hold = min(max(holdBodies, 2*b.hold), maxHoldBodies)
	b.until = time.Now().Add(b.hold)
}
