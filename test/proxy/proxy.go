// Package proxy stands between a client and a server and does to their connections what bad links do: it cuts, resets, truncates, stalls and
// drips after a number of bytes, delays, paces and slices, forgets connections that are open, repeats old requests, and is up for a part of the time only.
//
// It counts how often each fault fired, because a test whose fault never fired has shown nothing. It knows TCP and bytes, and of HTTP only that
// a request has ended when its answer begins: a fault may wait for a text in what the client sends, such as the head of a request. Nothing is left
// running after Close.
package proxy

import (
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
	Drip     Kind = "drip"     // a byte a second from then on
	Refuse   Kind = "refuse"   // the connection is reset as soon as it is accepted; also what happens while the link is down
	Keep     Kind = "keep"     // requests that begin with When are kept for Repeat, which is when it fires
	Forget   Kind = "forget"   // fires when something is sent on a connection after Forget
	Slice    Kind = "slice"    // fires with each stretch of bytes that a Link slices
	Late     Kind = "late"     // fires with each stretch of bytes that a Link delays or paces
)

// A Dir is a direction of bytes.
type Dir int

const (
	Down Dir = iota // from the server to the client
	Up              // from the client to the server
)

// A Fault befalls one connection once After bytes have passed in direction Dir, counted from where When was sent by the client: the
// first time, or, for each request that has it, anew if Each is set.
type Fault struct {
	Kind  Kind
	Dir   Dir
	After int64
	When  string // "": from the start of the connection
	Each  bool
}

// A Link is how the connections are, faults apart. Zero values: no delay, no limit, always up.
type Link struct {
	Latency time.Duration // of every byte
	Rate    int64         // bytes a second, of each connection
	Slice   int           // bytes that are handed on at once, at most; the sizes differ
	Only    Way           // the three above are so
	// The link is up for the first Up of every Cycle; connections are reset when it goes down.
	Up, Cycle time.Duration
}

// A Way says in which directions a Link is as it is.
type Way int

const (
	BothWays Way = iota
	OnlyUp
	OnlyDown
)

// in is the Link in one direction.
func (l Link) in(d Dir) Link {
	if l.Only == OnlyUp && d != Up || l.Only == OnlyDown && d != Down {
		l.Latency, l.Rate, l.Slice = 0, 0, 0
	}
	return l
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
	kept  [][]byte // requests, for Repeat
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

// SetLink changes the link; delay, rate and slices of new connections only.
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

// Forget makes all open connections dead without a word, as a server does that was started again, or a router: what is sent next on one of them is
// answered with a RST.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.forgotten.Store(true)
	}
}

// Kept returns how many requests were kept so far, for Repeat.
func (p *Proxy) Kept() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.kept)
}

// Repeat sends the first n of the requests that were kept once more, each on a connection of its own, as a proxy does that was not sure of an answer.
// It returns how many of them were answered, and keeps none of them any longer.
func (p *Proxy) Repeat(n int) int {
	p.mu.Lock()
	n = min(n, len(p.kept))
	kept := p.kept[:n]
	p.kept = p.kept[n:]
	p.mu.Unlock()
	answered := 0
	for _, request := range kept {
		if p.send(request) {
			answered++
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fired[Keep] += answered
	return answered
}

func (p *Proxy) send(request []byte) (answered bool) {
	c, err := net.DialTimeout("tcp", p.to, 10*time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.Write(request); err != nil {
		return false
	}
	n, _ := c.Read(make([]byte, 1<<10))
	return n > 0
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
