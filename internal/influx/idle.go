package influx

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// An answer that brings less than dripBytes in dripTime of waiting for it is given up: it would hold a worker for ever.
const (
	dripTime  = 2 * time.Minute
	dripBytes = 4 << 10
)

// idleConn gives up on a peer that says nothing for idleTimeout while nothing is sent, or next to nothing for dripTime. It counts below HTTP, where a read
// returns with whatever came: a reader of chunks waits until one is whole.
type idleConn struct {
	net.Conn

	mu     sync.Mutex // guards all below
	sent   time.Time  // when something was sent last
	waited time.Duration
	got    int // in waited
}

func (c *idleConn) Read(b []byte) (int, error) {
	began := time.Now()
	if err := c.SetReadDeadline(began.Add(idleTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sent.After(began) {
		began = c.sent // the transport reads while there is nothing to wait for yet
	}
	c.got += n
	if c.waited += time.Since(began); c.waited > dripTime {
		if c.got < dripBytes && err == nil {
			return 0, fmt.Errorf("only %d bytes came in %s", c.got, c.waited.Round(time.Second))
		}
		c.waited, c.got = 0, 0
	}
	return n, err
}

func (c *idleConn) Write(b []byte) (int, error) {
	c.wrote()
	// The transport is reading all the while: it has the same patience once this is sent.
	if err := c.SetDeadline(time.Now().Add(idleTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(b)
	c.wrote()
	return n, err
}

func (c *idleConn) wrote() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent, c.waited, c.got = time.Now(), 0, 0
}
