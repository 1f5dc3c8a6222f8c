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

// Bodies shrink to one line where larger ones vanish, stay there, and are as large as ever again once nothing vanishes (N11).
func TestBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := "m,h=a v=1,s=\"two\nlines\" 1600000000000000000\n"
		all := []byte(strings.Repeat(line, bodySize/len(line)))
		var b bodies
		vanished := 0
		// send writes all lines through a link on which what is larger than most vanishes.
		send := func(most int) (requests int) {
			for rest := all; len(rest) > 0; requests++ {
				body, next := b.cut(rest)
				if len(body) == 0 || len(body)%len(line) != 0 {
					t.Fatalf("a body of %d bytes", len(body))
				}
				if len(body) > most {
					if vanished++; vanished > 100 {
						t.Fatal("no end to it")
					}
					time.Sleep(firstByteTimeout)
					b.vanished(len(body))
					continue
				}
				time.Sleep(time.Millisecond)
				b.stored(len(body), time.Millisecond)
				rest = next
			}
			return requests
		}
		if n := send(bodySize); n != 1 {
			t.Errorf("%d requests where nothing vanishes", n)
		}
		send(1024)
		if vanished == 0 || vanished > 8 {
			t.Errorf("%d bodies vanished before they were small enough", vanished)
		}
		b, vanished = bodies{}, 0
		send(len(line))
		if vanished > 12 {
			t.Errorf("%d bodies vanished before they were single lines", vanished)
		}
		for range 24 { // a day of it
			time.Sleep(time.Hour)
			send(len(line))
		}
		if vanished > 12+24 {
			t.Errorf("%d bodies vanished in a day", vanished)
		}
		time.Sleep(time.Hour)
		for range 2 {
			send(bodySize)
		}
		if n := send(bodySize); n != 1 {
			t.Errorf("%d requests an hour after the link was mended", n)
		}
		if b.size != 0 || b.hold != 0 {
			t.Errorf("not as at first: %d, %v", b.size, b.hold)
		}
		// What several Writers sent before one of them heard of it counts once.
		for range 4 {
			b.vanished(bodySize)
		}
		if b.size != bodySize/smaller {
			t.Errorf("%d after four at once", b.size)
		}
		// Where an answer takes long the body is large enough.
		time.Sleep(2 * time.Hour)
		b.stored(b.size, soon+1)
		if b.size != bodySize/smaller {
			t.Errorf("%d after an answer that took long", b.size)
		}
	})
}

// Packets are small after two silences with nothing large between them, and for a time only.
func TestPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p packets
		p.silent()
		p.passed(largeEnough)
		p.silent()
		if p.small() {
			t.Error("small although large ones pass")
		}
		p.passed(largeEnough - 1)
		p.silent()
		if !p.small() {
			t.Error("two silences, and nothing is done")
		}
		for i := range 10 {
			if time.Sleep(maxSmallTime); p.small() {
				t.Fatalf("small for ever, round %d", i)
			}
			p.silent()
			p.silent()
			if time.Sleep(smallTime); i > 0 && !p.small() {
				t.Errorf("round %d: not for longer than the first time", i)
			}
		}
		time.Sleep(maxSmallTime)
		p.passed(largeEnough)
		p.silent()
		p.silent()
		if time.Sleep(smallTime); p.small() {
			t.Error("a mended link is not forgiven")
		}
	})
}

// An upload that takes minutes is not given up while it goes on: the pause before the answer counts from its end (N2).
func TestSlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, rate = 1 << 20, 4 << 10
		dial := func(context.Context, string, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				in := bufio.NewReaderSize(far, 1<<10)
				req, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				for b := make([]byte, rate); err == nil; time.Sleep(time.Second) {
					_, err = io.ReadFull(req.Body, b)
				}
				time.Sleep(firstByteTimeout / 2)
				fmt.Fprint(far, "HTTP/1.1 204 No Content\r\n\r\n")
			}()
			return near, nil
		}
		c := New(Options{Side: mirror.TargetSide, URL: &url.URL{Scheme: "http", Host: "slow:8086"}, Dial: dial})
		defer c.Close()
		began := time.Now()
		a, err := c.do(t.Context(), &request{op: "write", method: http.MethodPost, path: "/api/v2/write", write: true, body: make([]byte, size)})
		if err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		a.body.Close()
		if took := time.Since(began); took < size/rate*time.Second {
			t.Errorf("void: it took %v", took)
		}
	})
}
