package influx

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"influxmirror/internal/mirror"
)

// dripping is a server in memory that answers the head at once and the body, one chunk of HTTP, a byte after each pause.
func dripping(size int, pause time.Duration) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			in := bufio.NewReader(far)
			for {
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, req.Body)
				_, err = fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", size)
				for i := 0; i < size && err == nil; i++ {
					time.Sleep(pause)
					_, err = far.Write([]byte{'x'})
				}
				if _, err = fmt.Fprint(far, "\r\n0\r\n\r\n"); err != nil {
					return
				}
			}
		}()
		return near, nil
	}
}

// TestDrip: an answer of a byte a second is given up after two minutes, be it one chunk; a slow one, many short ones, and one that waits for its reader are not (N9).
func TestDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := func(c *Client, each func()) error {
			a, err := c.do(t.Context(), &request{op: "read", method: http.MethodGet, path: "/x"})
			if err != nil {
				return err
			}
			defer a.body.Close()
			for b := make([]byte, 1<<10); ; each() {
				if _, err := a.body.Read(b); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		}
		at := func(dial func(context.Context, string, string) (net.Conn, error)) *Client {
			return New(Options{Side: mirror.SourceSide, URL: &url.URL{Scheme: "http", Host: "slow:8086"}, Dial: dial})
		}
		c := at(dripping(1<<20, time.Second))
		began := time.Now()
		err := ask(c, func() {})
		if took := time.Since(began); mirror.KindOf(err) != mirror.Broken || !strings.Contains(err.Error(), "bytes came in 2m1s") || took > 3*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
		c.Close()
		c = at(dripping(20<<10, 25*time.Millisecond))
		if err := ask(c, func() {}); err != nil {
			t.Errorf("40 bytes a second: %v", err)
		}
		c.Close()
		c = at(dripping(30, time.Second))
		for i := range 20 {
			if err := ask(c, func() {}); err != nil {
				t.Fatalf("short answer %d on one connection: %v", i, err)
			}
			time.Sleep(30 * time.Second)
		}
		c.Close()
		c = at(dripping(8<<10, 0))
		if err := ask(c, func() { time.Sleep(time.Minute) }); err != nil {
			t.Errorf("a reader that takes its time: %v", err)
		}
		c.Close()
		time.Sleep(time.Hour) // what a given up connection still sends
	})
}
