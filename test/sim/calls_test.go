package sim

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
)

var calls = flag.Int("calls", 500, "how many failing calls are tried")

// calling counts the calls of all connections of one end, and lets the nth go wrong, or that and all after it.
type calling struct {
	kind    ill
	nth     int
	forGood bool
	again   func(request []byte) // sends a request once more

	mu sync.Mutex // guards n
	n  int
}

// hit counts a call and reports whether it goes wrong.
func (c *calling) hit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n == c.nth || c.forGood && c.nth > 0 && c.n > c.nth
}

type callingConn struct {
	net.Conn
	c *calling
}

func (c *calling) wrap(conn net.Conn) net.Conn { return &callingConn{Conn: conn, c: c} }

var errCall = errors.New("call failed on purpose")

func (c *callingConn) Write(b []byte) (int, error) {
	if !c.c.hit() {
		return c.Conn.Write(b)
	}
	switch c.c.kind {
	case failed:
		return 0, errCall
	case short:
		n, _ := c.Conn.Write(b[:len(b)/2])
		return n, errCall
	case lostAnswer: // the request arrives, nothing of the answer does
		n, err := c.Conn.Write(b)
		_, _ = io.ReadFull(c.Conn, make([]byte, 12)) // it was done when it is answered
		_ = c.Conn.Close()
		return n, err
	case twice:
		c.c.again(b)
		return c.Conn.Write(b)
	case hang:
		time.Sleep(time.Minute)
		return 0, os.ErrDeadlineExceeded
	default:
		_ = c.Conn.Close()
		return 0, errCall
	}
}

func (c *callingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n == 0 || err != nil || c.c.kind != cut && c.c.kind != hang || !c.c.hit() {
		return n, err
	}
	if c.c.kind == hang {
		time.Sleep(time.Minute)
	}
	_ = c.Conn.Close()
	return n / 2, nil // the next read meets the end
}

// errand is one story for failing calls: something is there and proven, something was overwritten, something is new and refused in part, in as many
// shard groups as size says. It returns the number of calls of both ends, of the ledger, and of its disk.
func errand(t *testing.T, dir string, size int, network [2]*calling, fail func(n int, done bool) error, file func(n int, op, name string) ill) (made [4]int) {
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	direct(t, buckets{dir: dir}, func(s *scene) {
		at := now() - int64(60*24*time.Hour)
		for i := range 6 {
			s.put("m,h=%d v=%di,t=\"a%d\" %d", i, i, i, at+int64(i)*int64(time.Hour))
		}
		s.sync()
		s.dst.Write(bucket, fmt.Sprintf("n v=\"text\" %d", at))
		for i := range size - 1 {
			s.put("m,h=%d v=%di %d\no v=%di %d", i, i, at-int64(i+1)*int64(week), i, at-int64(i+2)*int64(week))
		}
		s.put("m,h=1 t=\"b\" %d\nn v=1i,w=2i %d\nm,h=9 v=9i %d", at+int64(time.Hour), at+1, now()-int64(time.Second))
		s.stop()
		for i, c := range network {
			if c == nil {
				continue
			}
			end, p := s.src, s.srcPipe
			if i == 1 {
				end, p = s.dst, s.dstPipe
			}
			c.again = func(request []byte) {
				conn, err := p.dial(s.t.Context(), "tcp", end.URL)
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = conn.Write(request)
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				_, _ = io.Copy(io.Discard, conn)
			}
			turns := s.trace.takeTurns([]string{"source", "target"}[i])
			s.wrap[i] = func(conn net.Conn) net.Conn { return c.wrap(turns(conn)) }
		}
		d := watch(dir)
		defer d.leave()
		d.lets(file)
		passes := 2
		if err := s.start(); file != nil && err != nil {
			passes = 0 // the command ends, whatever the ledger says
		} else if err != nil {
			t.Fatal(err)
		}
		s.book.calls, s.book.fail = 0, fail
		time.Sleep(3 * time.Second)
		for range passes {
			since := now() / int64(time.Second) * int64(time.Second)
			r, failed := s.mirror.Pass(s.t.Context(), engine.Goal{Insist: true})
			if failed != nil && file != nil && !errors.Is(failed, ledger.ErrDisk) {
				s.t.Errorf("the disk failed, and the pass says: %v", failed)
			}
			time.Sleep(3 * time.Second)
			d.lets(nil)
			lies, err := s.lies(s.t.Context(), since)
			d.lets(file)
			if err != nil || len(lies) > 0 {
				s.t.Errorf("%v, %v", lies, err)
			}
			if failed == nil && r.Complete() {
				if m := s.owed(r.Edge, true); len(m) > 0 {
					s.t.Errorf("the pass says that it is complete, and %q is missing", m)
				}
			}
		}
		made[2], made[3] = s.book.calls, d.calls
		d.lets(nil)
		for i, c := range network {
			if c != nil {
				made[i], c.nth = c.n, 0
			}
			s.wrap[i] = nil
		}
		s.book.fail = nil
		s.stop()
		if err := s.start(); err != nil {
			t.Fatal(err)
		}
		if s.ledger.Rebuilt != "" || s.ledger.Stale {
			t.Errorf("the ledger was rebuilt %q, stale %t", s.ledger.Rebuilt, s.ledger.Stale)
		}
		time.Sleep(time.Minute)
		r := s.sync()
		if !r.Complete() {
			r = s.sync()
		}
		if m := s.owed(r.Edge, true); !r.Complete() || len(m) > 0 {
			s.t.Errorf("with no call failing any more: complete %t, missing %q, errors %v", r.Complete(), m, r.Errors)
		}
		for _, q := range s.src.Requests() {
			if q.Wrote {
				s.t.Errorf("the source was written: %s", q.Path)
			}
		}
	})
	return made
}

// attempt is one way for a call to fail.
type attempt struct {
	end     int // 0 source, 1 target, 2 ledger, 3 its disk, 4 an archive that is written, 5 one that is read
	kind    ill
	nth     int
	forGood bool
}

// attempts lists all ways for all calls of an errand.
func attempts(t *testing.T, dir string, size int) (all []attempt) {
	whole := errand(t, dir, size, [2]*calling{{kind: hang}, {kind: hang}}, func(int, bool) error { return nil }, nil)
	var ops []string
	writes := errand(t, dir, size, [2]*calling{{}, {}}, nil, func(_ int, op, _ string) ill { ops = append(ops, op); return "" })
	for i, op := range ops {
		for _, kind := range diskIlls {
			if kind == failed || op == "write" || kind == lostAnswer && op != "read" && op != "map" {
				all = append(all, attempt{3, kind, i + 1, false}, attempt{3, kind, i + 1, true})
			}
		}
	}
	for end := range 3 {
		for _, kind := range networkIlls {
			n := writes[end]
			switch {
			case end == 2 && kind != failed && kind != lostAnswer:
				continue
			case end < 2 && (kind == hang || kind == cut):
				n = whole[end]
			}
			for nth := 1; nth <= n; nth++ {
				all = append(all, attempt{end, kind, nth, false}, attempt{end, kind, nth, true})
			}
		}
	}
	all = append(all, shelfAttempts(t, size)...)
	t.Logf("%d and %d calls of the network, %d of the ledger, %d of its disk: %d ways to fail", whole[0], whole[1], whole[2], len(ops), len(all))
	if whole[0] < 10 || whole[1] < 10 || whole[2] < 10 || len(ops) < 10 {
		t.Fatal("void: too few calls")
	}
	return all
}

// TestFailingCalls: the nth call of the network, of the ledger, of the disk below it or below an archive fails, in every way, once or for good: nothing untrue
// is recorded, nothing is said to be complete that is not, and two Passes later everything is there.
func TestFailingCalls(t *testing.T) {
	dir, err := stateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var all []attempt
	size := 0
	for ; size < 20 && len(all) < *calls; all = attempts(t, dir, size) {
		size++
	}
	tried := 0
	for i, a := range all {
		if *calls < len(all) && (i**calls)/len(all) == ((i+1)**calls)/len(all) && i > 0 { // spread over all of them
			continue
		}
		tried++
		name := fmt.Sprintf("%s, call %d, %s, for good %t", []string{"source", "target", "ledger", "disk of the ledger", "archive that is written", "archive that is read"}[a.end], a.nth, a.kind, a.forGood)
		t.Run(name, func(t *testing.T) {
			var network [2]*calling
			var fail func(n int, done bool) error
			var file func(n int, op, name string) ill
			switch a.end {
			case 4, 5:
				shelfErrand(t, size, a.end-4, func(n int, _, _ string) ill {
					if n = max(n, -n); n == a.nth || a.forGood && n > a.nth {
						return a.kind
					}
					return ""
				})
				return
			case 0, 1:
				network[a.end] = &calling{kind: a.kind, nth: a.nth, forGood: a.forGood}
			case 3:
				file = func(n int, _, _ string) ill {
					if n == a.nth || a.forGood && n > a.nth {
						return a.kind
					}
					return ""
				}
			default:
				fail = func(n int, done bool) error {
					if (n == a.nth || a.forGood && n > a.nth) && done == (a.kind == lostAnswer) {
						return fmt.Errorf("%w: %w", ledger.ErrDisk, errCall)
					}
					return nil
				}
			}
			made := errand(t, dir, size, network, fail, file)
			if made[a.end] < a.nth {
				t.Logf("the call was not made this time: %d of %d", made[a.end], a.nth)
			}
		})
	}
	t.Logf("%d of them were tried", tried)
}
