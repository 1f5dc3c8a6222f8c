package proxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"influxmirror/test/proxy"
)

// server takes a request of one line that ends in a newline and answers with size bytes, again and again. It keeps what it was sent.
type server struct {
	ln   net.Listener
	wg   sync.WaitGroup
	mu   sync.Mutex // guards got and ends
	got  bytes.Buffer
	ends []error
}

const size = 100_000

func listen(t *testing.T) *server {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{ln: ln}
	s.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	return s
}

func (s *server) serve(c net.Conn) {
	defer c.Close()
	b := make([]byte, 1<<10)
	for {
		n, err := c.Read(b)
		s.mu.Lock()
		s.got.Write(b[:n])
		if err != nil {
			s.ends = append(s.ends, err)
		}
		s.mu.Unlock()
		if err != nil {
			return
		}
		if b[n-1] == '\n' {
			if _, err := c.Write(make([]byte, size)); err != nil {
				return
			}
		}
	}
}

func (s *server) close() { s.ln.Close(); s.wg.Wait() }

// ask sends a line and reads the answer to its end, or for as long as patience lasts.
func ask(c net.Conn, line string, patience time.Duration) (int, error) {
	if _, err := io.WriteString(c, line); err != nil {
		return 0, err
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	n, err := io.ReadFull(c, make([]byte, size))
	return n, err
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault proxy.Fault
		lines []string
		want  []int // bytes of each answer
		err   error // of the last
	}{
		{"none", proxy.Fault{}, []string{"a\n", "b\n"}, []int{size, size}, nil},
		{"cut down", proxy.Fault{Kind: proxy.Cut, After: 70_000}, []string{"a\n"}, []int{70_000}, io.ErrUnexpectedEOF},
		{"cut down in the second answer", proxy.Fault{Kind: proxy.Cut, After: size + 5}, []string{"a\n", "b\n"}, []int{size, 5}, io.ErrUnexpectedEOF},
		{"cut up", proxy.Fault{Kind: proxy.Cut, Dir: proxy.Up, After: 3}, []string{"a\n", "b\n"}, []int{size, 0}, io.EOF},
		{"reset at a text", proxy.Fault{Kind: proxy.Reset, When: "WRITE"}, []string{"read\n", "WRITE\n"}, []int{size, 0}, syscall.ECONNRESET},
		{"after a text", proxy.Fault{Kind: proxy.Cut, After: 9, When: "WRITE"}, []string{"read\n", "xx WRITE\n"}, []int{size, 9}, io.ErrUnexpectedEOF},
		{"truncate", proxy.Fault{Kind: proxy.Truncate, After: 7}, []string{"a\n"}, []int{7}, io.ErrUnexpectedEOF},
		{"stall", proxy.Fault{Kind: proxy.Stall, After: 7}, []string{"a\n"}, []int{7}, errTimeout},
		{"refuse", proxy.Fault{Kind: proxy.Refuse}, []string{"a\n"}, []int{0}, syscall.ECONNRESET},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := listen(t)
			p, err := proxy.New(s.ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			p.Plan(func(n int) proxy.Fault {
				if n > 0 {
					return proxy.Fault{}
				}
				return c.fault
			})
			conn, err := net.Dial("tcp", p.Addr())
			if c.fault.Kind == proxy.Refuse && errors.Is(err, syscall.ECONNRESET) {
				conn, c.lines = nil, nil // the reset came before connect returned
			} else if err != nil {
				t.Fatal(err)
			}
			for i, line := range c.lines {
				n, err := ask(conn, line, 300*time.Millisecond)
				if n != c.want[i] {
					t.Errorf("answer %d has %d bytes, want %d", i, n, c.want[i])
				}
				switch timeout := net.Error(nil); {
				case i < len(c.lines)-1 || c.err == nil:
					if err != nil {
						t.Errorf("answer %d: %v", i, err)
					}
				case c.err == errTimeout:
					if !errors.As(err, &timeout) || !timeout.Timeout() {
						t.Errorf("answer %d: %v, want a time-out", i, err)
					}
				case c.fault.Kind == proxy.Refuse || c.fault.Kind == proxy.Reset:
					if !errors.Is(err, c.err) && !errors.Is(err, syscall.EPIPE) {
						t.Errorf("answer %d: %v, want %v", i, err, c.err)
					}
				case !errors.Is(err, c.err):
					t.Errorf("answer %d: %v, want %v", i, err, c.err)
				}
			}
			want := 1
			if c.fault.Kind == proxy.None {
				want = 0
			}
			if n := p.Fired(c.fault.Kind); n != want {
				t.Errorf("fired %d times, want %d", n, want)
			}
			if conn != nil {
				conn.Close()
			}
			// The next connection is a good one.
			conn, err = net.Dial("tcp", p.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if n, err := ask(conn, "again\n", 5*time.Second); n != size || err != nil {
				t.Errorf("the next connection: %d bytes, %v", n, err)
			}
			conn.Close()
			p.Close()
			s.close()
		})
	}
}

var errTimeout = errors.New("time-out")

// A truncated request reaches the server in part, with a clean end.
func TestTruncateUp(t *testing.T) {
	s := listen(t)
	p, err := proxy.New(s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.Plan(func(int) proxy.Fault { return proxy.Fault{Kind: proxy.Truncate, Dir: proxy.Up, After: 4} })
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := ask(conn, "12345678\n", 5*time.Second); n != 0 || err != io.EOF {
		t.Errorf("%d bytes, %v", n, err)
	}
	conn.Close()
	p.Close()
	s.close()
	if got := s.got.String(); got != "1234" || fmt.Sprint(s.ends) != "[EOF]" {
		t.Errorf("the server got %q and %v", got, s.ends)
	}
}

func TestLink(t *testing.T) {
	s := listen(t)
	p, err := proxy.New(s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.SetLink(proxy.Link{Latency: 50 * time.Millisecond, Rate: 1_000_000})
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if n, err := ask(conn, "a\n", 10*time.Second); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if took := time.Since(began); took < 180*time.Millisecond {
		t.Errorf("100 kB at 1 MB/s and 50 ms each way took %v", took)
	}
	p.SetDown(true)
	if _, err := ask(conn, "a\n", 10*time.Second); err == nil {
		t.Error("the connection outlived its link")
	}
	conn.Close()
	if down, up := p.Bytes(proxy.Down), p.Bytes(proxy.Up); down != size || up != 2 {
		t.Errorf("forwarded %d bytes down and %d up", down, up)
	}
	p.SetDown(false)
	p.SetLink(proxy.Link{Up: 20 * time.Millisecond, Cycle: 40 * time.Millisecond})
	for end := time.Now().Add(10 * time.Second); p.Fired(proxy.Refuse) == 0 && time.Now().Before(end); {
		if conn, err := net.Dial("tcp", p.Addr()); err == nil {
			_, _ = ask(conn, "a\n", time.Second)
			conn.Close()
		}
	}
	if n := p.Fired(proxy.Refuse); n == 0 {
		t.Error("the link never went down")
	}
	p.Close()
	s.close()
	if accepted, open := p.Conns(); accepted == 0 || open != 0 {
		t.Errorf("%d accepted, %d open after Close", accepted, open)
	}
}
