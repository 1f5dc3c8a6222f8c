// Package proxy stands between a client and a server and does to their connections what bad links do: it cuts, resets, truncates and
// stalls them after a number of bytes, delays and paces them, and is up for a part of the time only.
//
// It counts how often each fault fired, because a test whose fault never fired has shown nothing. It knows TCP and bytes, no HTTP: a
// fault may wait for a text in what the client sends, such as the head of a request. Nothing is left running after Close.
package proxy

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Kind is what happens to a connection.
type Kind string

const (
	None     Kind = ""
	Cut      Kind = "cut"      // both sides see the end of the stream
	Reset    Kind = "reset"    // both sides get a RST; what was on its way is lost
	Truncate Kind = "truncate" // the reader sees a clean end, the writer notices nothing: the rest is swallowed
	Stall    Kind = "stall"    // nothing moves any more, and the connection stays
	Refuse   Kind = "refuse"   // the connection is reset as soon as it is accepted; also what happens while the link is down
)

// A Dir is a direction of bytes.
type Dir int

const (
	Down Dir = iota // from the server to the client
	Up              // from the client to the server
)

// A Fault befalls one connection once After bytes have passed in direction Dir, counted from where When was sent by the client.
type Fault struct {
	Kind  Kind
	Dir   Dir
	After int64
	When  string // "": from the start of the connection
}

// A Link is how the connections are, faults apart. Zero values: no delay, no limit, always up.
type Link struct {
	Latency time.Duration // of every byte, each way
	Rate    int64         // bytes a second, each way, each connection
	// The link is up for the first Up of every Cycle; connections are reset when it goes down.
	Up, Cycle time.Duration
}

// A Proxy forwards connections to one address. Its methods are safe for concurrent use.
type Proxy struct {
	to   string
	ln   net.Listener
	stop chan struct{}
	wg   sync.WaitGroup
	sent [2]atomic.Int64

	mu    sync.Mutex // guards all below
	plan  func(conn int) Fault
	link  Link
	down  bool // by SetDown
	off   bool // by Link's cycle
	conns map[*conn]struct{}
	seen  int
	fired map[Kind]int
}

// New starts a proxy on a free loopback port that forwards to address, "host:port".
func New(address string) (*Proxy, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{to: address, ln: ln, stop: make(chan struct{}), conns: map[*conn]struct{}{}, fired: map[Kind]int{}}
	p.wg.Go(p.accept)
	p.wg.Go(p.cycle)
	return p, nil
}

// Addr returns "127.0.0.1:port".
func (p *Proxy) Addr() string { return p.ln.Addr().String() }

// Plan sets what gives each new connection its fault, by a running number from 0 on. nil: none.
func (p *Proxy) Plan(fn func(conn int) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = fn
}

// SetLink changes delay, rate and cycle; delay and rate of new connections only.
func (p *Proxy) SetLink(l Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link = l
}

// SetDown takes the link down, which resets all connections, or up again.
func (p *Proxy) SetDown(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	if down {
		p.resetAll()
	}
}

// Fired returns how often faults of a kind befell a connection.
func (p *Proxy) Fired(k Kind) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired[k]
}

// Conns returns how many connections were accepted so far, and how many are open.
func (p *Proxy) Conns() (accepted, open int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen, len(p.conns)
}

// Bytes returns how many bytes were handed on in a direction.
func (p *Proxy) Bytes(d Dir) int64 { return p.sent[d].Load() }

// Close ends all connections and returns when nothing of the proxy runs any more.
func (p *Proxy) Close() {
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	p.ln.Close()
	p.resetAll()
	p.wg.Wait()
}

func (p *Proxy) resetAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.reset()
	}
}

// cycle takes the link up and down by its timetable.
func (p *Proxy) cycle() {
	began := time.Now()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-p.stop:
			tick.Stop()
			return
		case <-tick.C:
		}
		p.mu.Lock()
		off := p.link.Cycle > 0 && time.Since(began)%p.link.Cycle >= p.link.Up
		fell := off && !p.off
		p.off = off
		p.mu.Unlock()
		if fell {
			p.resetAll()
		}
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.ln.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		f, refused := Fault{}, p.down || p.off
		if p.plan != nil && !refused {
			f = p.plan(p.seen)
		}
		p.seen++
		if refused || f.Kind == Refuse {
			p.fired[Refuse]++
			p.mu.Unlock()
			abort(client)
			continue
		}
		link := p.link
		p.mu.Unlock()
		p.wg.Go(func() { p.serve(client, f, link) })
	}
}

// abort closes a connection with a RST.
func abort(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}

// conn is one connection and its two streams.
type conn struct {
	p              *Proxy
	client, server net.Conn
	fault          Fault
	link           Link
	armed          atomic.Bool   // the fault's text was seen
	stalled        atomic.Bool   // both streams stand still
	done           chan struct{} // closed when the connection is given up
	once           sync.Once
}

func (c *conn) close() { c.once.Do(func() { close(c.done); c.client.Close(); c.server.Close() }) }

func (c *conn) reset() { c.once.Do(func() { close(c.done); abort(c.client); abort(c.server) }) }

func (p *Proxy) serve(client net.Conn, f Fault, link Link) {
	server, err := net.DialTimeout("tcp", p.to, 10*time.Second)
	if err != nil {
		abort(client) // as if nobody listened
		return
	}
	c := &conn{p: p, client: client, server: server, fault: f, link: link, done: make(chan struct{})}
	c.armed.Store(f.When == "")
	p.mu.Lock()
	p.conns[c] = struct{}{}
	gone := p.down || p.off
	select {
	case <-p.stop:
		gone = true
	default:
	}
	p.mu.Unlock()
	if gone {
		c.reset()
	}
	var both sync.WaitGroup
	both.Go(func() { c.stream(Up, c.client, c.server) })
	both.Go(func() { c.stream(Down, c.server, c.client) })
	both.Wait()
	c.close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// piece is a stretch of bytes on its way.
type piece struct {
	data []byte
	due  time.Time
}

// stream forwards one direction until its end or the connection's.
func (c *conn) stream(d Dir, from, to net.Conn) {
	way := make(chan piece, 64)
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(way)
		size := 32 << 10
		if c.link.Rate > 0 {
			size = int(min(int64(size), max(c.link.Rate/50, 64)))
		}
		for {
			b := make([]byte, size)
			n, err := from.Read(b)
			if n > 0 {
				select {
				case way <- piece{b[:n], time.Now().Add(c.link.Latency)}:
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
	})
	defer reader.Wait()
	var passed int64 // since the fault was armed
	var tail []byte
	for piece := range way {
		if !c.wait(time.Until(piece.due)) {
			return
		}
		b := piece.data
		if d == Up && !c.armed.Load() {
			tail = append(tail, b...)
			if i := bytes.Index(tail, []byte(c.fault.When)); i >= 0 {
				passed = -int64(len(b) - (len(tail) - i)) // what came before the text does not count
				c.armed.Store(true)
			} else if keep := len(c.fault.When); len(tail) > keep {
				tail = append(tail[:0], tail[len(tail)-keep:]...)
			}
		}
		var fires bool
		if c.fault.Kind != None && c.fault.Dir == d && c.armed.Load() {
			if left := c.fault.After - passed; left <= int64(len(b)) {
				fires, b = true, b[:max(0, left)]
			}
			passed += int64(len(b))
		}
		if !c.write(d, to, b) || fires && !c.fire(to) {
			return
		}
		if fires { // truncated: the rest is swallowed
			for range way {
			}
			return
		}
	}
	if t, ok := to.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

// write forwards bytes at the link's rate, unless the connection stands still.
func (c *conn) write(d Dir, to net.Conn, b []byte) bool {
	if c.stalled.Load() {
		<-c.done
		return false
	}
	if len(b) == 0 {
		return true
	}
	c.p.sent[d].Add(int64(len(b))) // first: who got the bytes finds them counted
	if _, err := to.Write(b); err != nil {
		c.reset()
		return false
	}
	if c.link.Rate > 0 {
		return c.wait(time.Duration(int64(len(b)) * int64(time.Second) / c.link.Rate))
	}
	return true
}

// fire does what the fault says and reports whether the stream goes on being read.
func (c *conn) fire(to net.Conn) bool {
	c.p.mu.Lock()
	c.p.fired[c.fault.Kind]++
	c.p.mu.Unlock()
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
	}
	return false
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
