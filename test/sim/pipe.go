// Package sim lets influxmirror live through seeded histories: writes of every kind, faults, restarts, in virtual time and
// against in-memory servers. After every Pass it asks whether each new Proof is true, and at the end whether everything arrived.
package sim

import (
	"context"
	"net"
	"sync"
)

// pipe is a listener in memory: a bubble of testing/synctest sees when all its connections are at rest.
type pipe struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
	turns func(net.Conn) net.Conn // what answers wait for, as requests do; nil for nothing
}

func newPipe() *pipe { return &pipe{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

type addr struct{}

func (addr) Network() string { return "tcp" }
func (addr) String() string  { return "127.0.0.1:8086" }

func (p *pipe) Addr() net.Addr { return addr{} }

// dial connects to the listener; while down it is refused.
func (p *pipe) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	if p.turns != nil {
		server = p.turns(server)
	}
	select {
	case p.conns <- server:
		return client, nil
	case <-p.done:
	case <-ctx.Done():
	}
	return nil, &net.OpError{Op: "dial", Net: network, Addr: addr{}, Err: net.ErrClosed}
}
