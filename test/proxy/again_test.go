package proxy_test

import (
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"influxmirror/test/proxy"
)

func through(t *testing.T) (*server, *proxy.Proxy, func() net.Conn) {
	s := listen(t)
	p, err := proxy.New(s.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return s, p, func() net.Conn {
		conn, err := net.Dial("tcp", p.Addr())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
}

func (s *server) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.String()
}

// Slices arrive whole and in order, and the other direction is as it was.
func TestSlices(t *testing.T) {
	s, p, dial := through(t)
	p.SetLink(proxy.Link{Slice: 17, Only: proxy.OnlyUp})
	conn := dial()
	line := strings.Repeat("0123456789", 5000) + "\n"
	if n, err := ask(conn, line, 10*time.Second); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	conn.Close()
	p.Close()
	s.close()
	if s.text() != line {
		t.Error("what was sliced did not arrive as it was")
	}
	if p.Fired(proxy.Slice) == 0 || p.Fired(proxy.Late) != 0 {
		t.Errorf("%d times sliced, %d times late", p.Fired(proxy.Slice), p.Fired(proxy.Late))
	}
}

// A link that is slow one way is not the other way.
func TestOnlyOneWay(t *testing.T) {
	s, p, dial := through(t)
	p.SetLink(proxy.Link{Latency: 150 * time.Millisecond, Only: proxy.OnlyDown})
	conn := dial()
	began := time.Now()
	if n, err := ask(conn, "a\n", 10*time.Second); n != size || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if took := time.Since(began); took < 150*time.Millisecond || p.Fired(proxy.Late) == 0 {
		t.Errorf("it took %v", took)
	}
	conn.Close()
	p.Close()
	s.close()
}

// A drip goes on, a byte a second.
func TestDrip(t *testing.T) {
	s, p, dial := through(t)
	p.Plan(func(int) proxy.Fault { return proxy.Fault{Kind: proxy.Drip, After: 5} })
	conn := dial()
	if n, _ := ask(conn, "a\n", 1500*time.Millisecond); n < 6 || n > 8 || p.Fired(proxy.Drip) != 1 {
		t.Errorf("%d bytes came in 1.5 s", n)
	}
	conn.Close()
	p.Close()
	s.close()
}

// What was kept is sent again later, whole and by itself.
func TestRepeat(t *testing.T) {
	s, p, dial := through(t)
	p.Plan(func(int) proxy.Fault { return proxy.Fault{Kind: proxy.Keep, When: "WRITE"} })
	conn := dial()
	for _, line := range []string{"read\n", "WRITE one\n", "read\n", "WRITE two\n"} {
		if n, err := ask(conn, line, 5*time.Second); n != size || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
	conn.Close()
	if n := p.Kept(); n != 2 {
		t.Errorf("%d were kept", n)
	}
	if n := p.Repeat(9); n != 2 || p.Fired(proxy.Keep) != 2 {
		t.Errorf("%d were repeated", n)
	}
	if n := p.Repeat(9); n != 0 {
		t.Errorf("%d were repeated a second time", n)
	}
	p.Close()
	s.close()
	if got := s.text(); got != "read\nWRITE one\nread\nWRITE two\nWRITE one\nWRITE two\n" {
		t.Errorf("the server got %q", got)
	}
}

// A connection that was forgotten is reset by what is sent on it.
func TestForget(t *testing.T) {
	s, p, dial := through(t)
	conn := dial()
	if _, err := ask(conn, "a\n", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	p.Forget()
	if n, err := ask(conn, "b\n", 5*time.Second); n != 0 || err == nil {
		t.Errorf("%d bytes, %v, want %v", n, err, syscall.ECONNRESET)
	}
	conn.Close()
	conn = dial()
	if _, err := ask(conn, "c\n", 5*time.Second); err != nil {
		t.Error(err)
	}
	conn.Close()
	p.Close()
	s.close()
	if p.Fired(proxy.Forget) != 1 || s.text() != "a\nc\n" {
		t.Errorf("fired %d times; the server got %q", p.Fired(proxy.Forget), s.text())
	}
}

// A fault of each request counts anew where the next one begins.
func TestEach(t *testing.T) {
	s, p, dial := through(t)
	p.Plan(func(int) proxy.Fault {
		return proxy.Fault{Kind: proxy.Stall, Dir: proxy.Up, After: 20, When: "WRITE", Each: true}
	})
	conn := dial()
	for i := range 6 {
		if n, err := ask(conn, []string{"WRITE small\n", "a question that is large\n"}[i%2], 5*time.Second); n != size || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
	}
	if n, err := ask(conn, "WRITE one that is large\n", 200*time.Millisecond); n != 0 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	conn.Close()
	p.Close()
	s.close()
	if p.Fired(proxy.Stall) != 1 || !strings.HasSuffix(s.text(), "large\nWRITE one that is la") {
		t.Errorf("fired %d times; the server got %q", p.Fired(proxy.Stall), s.text())
	}
}
