package influxtest_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"influxmirror/influxtest"
)

// A pipeListener is a listener in memory: what it accepts was dialled by dial.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.done); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "pipe"} }
func (l *pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	a, b := net.Pipe()
	l.conns <- b
	return a, nil
}

// In a bubble the server's clock is the bubble's, and a stall of an hour takes no time.
func TestInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipeListener{make(chan net.Conn), make(chan struct{})}
		srv := influxtest.NewServer(influxtest.Options{Listener: l})
		client := &http.Client{Transport: &http.Transport{DialContext: l.dial}}
		srv.Fault(nil, influxtest.Delay(time.Hour)).Times(1)
		begin := time.Now()
		resp, err := client.Get(srv.URL + "/ping")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if d := time.Since(begin); d < time.Hour || d > time.Hour+time.Second {
			t.Errorf("took %v", d)
		}
		if d := resp.Header.Get("Date"); d != begin.Add(time.Hour).UTC().Format(http.TimeFormat) {
			t.Errorf("Date %s", d)
		}
		client.CloseIdleConnections()
		srv.Close()
	})
}

func TestDump(t *testing.T) {
	srv := influxtest.NewServer(influxtest.Options{})
	defer srv.Close()
	id := srv.CreateBucket("b", 0, time.Hour)
	srv.Write("b", "m,t=2 v=1i,w=\"x\" 7200000000000\nm,t=1 v=2i 5\nm,t=2 v=3i 1\na u=7u,b=true 9")
	srv.Write("b", "m,t=2 v=4i 1")
	want := []influxtest.Sample{
		{Measurement: "a", Field: "b", Value: true, Time: 9},
		{Measurement: "a", Field: "u", Value: uint64(7), Time: 9},
		{Measurement: "m", Tags: []influxtest.Tag{{Key: "t", Value: "1"}}, Field: "v", Value: int64(2), Time: 5},
		{Measurement: "m", Tags: []influxtest.Tag{{Key: "t", Value: "2"}}, Field: "v", Value: int64(4), Time: 1},
		{Measurement: "m", Tags: []influxtest.Tag{{Key: "t", Value: "2"}}, Field: "v", Value: int64(1), Time: 7200e9},
		{Measurement: "m", Tags: []influxtest.Tag{{Key: "t", Value: "2"}}, Field: "w", Value: "x", Time: 7200e9},
	}
	if d := cmp.Diff(want, srv.Dump(id)); d != "" {
		t.Error(d)
	}
	if n := len(srv.Shards("b")); n != 2 {
		t.Errorf("%d shards", n)
	}
	srv.Delete("b", "m", 1, 5)
	if n := len(srv.Dump("b")); n != 4 {
		t.Errorf("%d samples left", n)
	}
	srv.Restart()
	if s := srv.Shards("b")[0]; s.Points != 0 || len(srv.Dump("b")) != 4 {
		t.Errorf("after a restart: %+v", s)
	}
}

// Expired shard groups go at the enforcement every half hour, not before.
func TestRetention(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	srv := influxtest.NewServer(influxtest.Options{Now: func() time.Time { return now }})
	defer srv.Close()
	srv.CreateBucket("b", 2*time.Hour, time.Hour)
	srv.Write("b", fmt.Sprintf("m v=1 %d", now.UnixNano()))
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{2 * time.Hour, 1}, {59 * time.Minute, 1}, {29 * time.Minute, 1}, {2 * time.Minute, 0}} {
		now = now.Add(step.after)
		srv.CreateToken(nil, nil)
		if _, _, _, err := call(t, srv, "GET", "/api/v2/buckets", ""); err != nil {
			t.Fatal(err)
		}
		if got := len(srv.Dump("b")); got != step.want {
			t.Errorf("at %v: %d samples", now, got)
		}
	}
}

func TestUnload(t *testing.T) {
	srv := influxtest.NewServer(influxtest.Options{OldDBRP: true})
	defer srv.Close()
	srv.CreateBucket("b", 0, 0)
	srv.Write("b", "m v=1 1")
	ask := func() string {
		_, _, body, err := call(t, srv, "GET", "/query?db=b&q=SELECT+count(v)+FROM+m", "")
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	if a := ask(); !strings.Contains(a, "database not found: b") {
		t.Error("without a row: ", a)
	}
	srv.CreateDBRP("b", "autogen", "b", true)
	load := srv.Unload("b")
	if a := ask(); a != "{\"results\":[{\"statement_id\":0}]}\n" {
		t.Error("unloaded: ", a)
	}
	load()
	if a := ask(); !strings.Contains(a, ",1]]") {
		t.Error("loaded: ", a)
	}
}

func BenchmarkWriteAndRead(b *testing.B) {
	var lines strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&lines, "m,s=%d v=%d.5,w=%di %d\n", i%50, i, i, i)
	}
	for b.Loop() {
		srv := influxtest.NewServer(influxtest.Options{})
		srv.CreateBucket("b", 0, 0)
		srv.Write("b", lines.String())
		resp, err := http.DefaultClient.Do(request(b, srv, "SELECT *::field FROM m GROUP BY *"))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		srv.Close()
	}
}

func request(tb testing.TB, srv *influxtest.Server, q string) *http.Request {
	tb.Helper()
	req, err := http.NewRequest("GET", srv.URL+"/query", nil)
	if err != nil {
		tb.Fatal(err)
	}
	v := req.URL.Query()
	v.Set("db", "b")
	v.Set("q", q)
	v.Set("chunked", "true")
	v.Set("epoch", "ns")
	req.URL.RawQuery = v.Encode()
	req.Header.Set("Accept", "application/x-msgpack")
	req.Header.Set("Authorization", "Token "+srv.Token)
	return req
}
