package proxy

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection and its two streams.
type conn struct {
	p              *Proxy
	client, server net.Conn
	fault          Fault
	link           Link
	armed          atomic.Bool   // the fault's text was seen
	again          atomic.Bool   // it was seen once more, and Down has not counted anew yet
	forgotten      atomic.Bool   // by Forget
	stalled        atomic.Bool   // both streams stand still
	done           chan struct{} // closed when the connection is given up
	once           sync.Once

	mu      sync.Mutex // guards request
	request []byte     // that is being kept
}

func (c *conn) close() { c.once.Do(func() { close(c.done); c.client.Close(); c.server.Close() }) }

func (c *conn) reset() { c.once.Do(func() { close(c.done); abort(c.client); abort(c.server) }) }

func (c *conn) count(k Kind) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.p.fired[k]++
}

// piece is a stretch of bytes on its way.
type piece struct {
	data []byte
	due  time.Time
}

// stream forwards one direction until its end or the connection's.
func (c *conn) stream(d Dir, from, to net.Conn) {
	link := c.link.in(d)
	way := make(chan piece, 64)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(way)
		c.take(from, way, link)
	})
	defer reader.Wait()
	var passed int64 // since the fault was armed
	var tail []byte  // what the client sent last, in which a text may have begun
	for piece := range way {
		if !c.wait(time.Until(piece.due)) {
			return
		}
		b := piece.data
		if d == Up {
			if c.forgotten.Load() {
				c.count(Forget)
				c.reset()
				return
			}
			if at, ok := c.look(&tail, b); ok {
				passed = -at
			}
		} else {
			c.answered()
			if c.fault.Each && c.fault.Dir == Up {
				c.armed.Store(false) // what comes up next is another request
			}
			if c.again.Swap(false) {
				passed = 0
			}
		}
		if link.Latency > 0 || link.Rate > 0 {
			c.count(Late)
		}
		var rest []byte
		fires := false
		if k := c.fault.Kind; k != None && k != Keep && c.fault.Dir == d && c.armed.Load() {
			if left := c.fault.After - passed; left <= int64(len(b)) {
				left = max(0, left)
				fires, b, rest = true, b[:left], b[left:]
			}
			passed += int64(len(b))
		}
		if !c.write(d, to, b, link) || fires && !c.fire(to) {
			return
		}
		if fires {
			c.after(d, to, rest, way)
			return
		}
	}
	if t, ok := to.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

// take reads what a peer sends until it ends.
func (c *conn) take(from net.Conn, way chan<- piece, link Link) {
	size := 32 << 10
	if link.Rate > 0 {
		size = int(min(int64(size), max(link.Rate/50, 64)))
	}
	for {
		b := make([]byte, size)
		n, err := from.Read(b)
		if n > 0 {
			select {
			case way <- piece{b[:n], time.Now().Add(link.Latency)}:
			case <-c.done:
				return
			}
		}
		if err != nil {
			if err != io.EOF {
				c.reset() // a broken peer breaks the other one too
			} else if c.stalled.Load() {
				c.close() // nobody waits for it any more
			}
			return
		}
	}
}

// look looks for the fault's text in what the client sends and arms the fault. It returns how many bytes of b come before the text; less than
// none do if it began in an earlier piece.
func (c *conn) look(tail *[]byte, b []byte) (at int64, found bool) {
	f := c.fault
	if f.When == "" {
		return 0, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	keeping := c.request != nil
	if keeping {
		c.request = append(c.request, b...)
	}
	if keeping || c.armed.Load() && !f.Each && f.Kind != Keep {
		return 0, false
	}
	all := append(*tail, b...)
	*tail = all
	i := bytes.LastIndex(all, []byte(f.When))
	if keep := len(f.When) - 1; len(all) > keep {
		*tail = append([]byte(nil), all[len(all)-keep:]...)
	}
	if i < 0 {
		return 0, false
	}
	if f.Kind == Keep {
		c.request = append([]byte(nil), all[i:]...)
	}
	c.armed.Store(true)
	c.again.Store(true)
	return int64(len(b) - (len(all) - i)), true
}

// answered ends the request that is being kept.
func (c *conn) answered() {
	c.mu.Lock()
	request := c.request
	c.request = nil
	c.mu.Unlock()
	if request != nil {
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		c.p.kept = append(c.p.kept, request)
	}
}

// write forwards bytes at the link's rate and in its slices, unless the connection stands still.
func (c *conn) write(d Dir, to net.Conn, b []byte, link Link) bool {
	if c.stalled.Load() {
		<-c.done
		return false
	}
	if len(b) == 0 {
		return true
	}
	c.p.sent[d].Add(int64(len(b))) // first: who got the bytes finds them counted
	if link.Slice > 0 {
		c.count(Slice)
	}
	for i, rest := 0, b; len(rest) > 0; i++ {
		n := len(rest)
		if link.Slice > 0 {
			n = min(n, 1+i*7%link.Slice)
		}
		if _, err := to.Write(rest[:n]); err != nil {
			c.reset()
			return false
		}
		rest = rest[n:]
	}
	if link.Rate > 0 {
		return c.wait(time.Duration(int64(len(b)) * int64(time.Second) / link.Rate))
	}
	return true
}

// fire does what the fault says and reports whether the stream goes on being read.
func (c *conn) fire(to net.Conn) bool {
	c.count(c.fault.Kind)
	switch c.fault.Kind {
	case Cut:
		c.close()
	case Reset:
		c.reset()
	case Stall:
		c.stalled.Store(true)
		<-c.done
	case Truncate:
		if t, ok := to.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
		return true
	case Drip:
		return true
	}
	return false
}

// after goes on behind a fault that leaves the connection: the rest is swallowed, or comes a byte a second.
func (c *conn) after(d Dir, to net.Conn, rest []byte, way <-chan piece) {
	for {
		for _, one := range rest {
			if c.fault.Kind != Drip {
				break
			}
			if !c.write(d, to, []byte{one}, Link{}) || !c.wait(time.Second) {
				return
			}
		}
		next, ok := <-way
		if !ok {
			return
		}
		rest = next.data
	}
}

// wait pauses for d and reports whether the connection is still there.
func (c *conn) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.done:
		return false
	}
}
