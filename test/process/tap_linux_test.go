package process

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"influxmirror/influxtest"
)

// A point is a moment on the network, as a server sees it.
type point string

const (
	probeAsked     point = "probe asked"
	probeAnswered  point = "probe answered"
	surveyAsked    point = "survey asked"
	surveyAnswered point = "survey answered"
	readAsked      point = "read asked" // on the target: the read back
	readBegun      point = "first bytes of a read sent"
	readAnswered   point = "read answered"
	writeReceived  point = "write received, not applied"
	writeApplied   point = "write applied, 204 not sent"
	writeAnswered  point = "204 sent"
)

// A spot is a point at one side.
type spot struct {
	side string
	point
}

func (s spot) String() string { return s.side + ": " + string(s.point) }

// A tap stands before a server in memory and tells what happens there.
type tap struct {
	side   string
	inner  http.Handler
	server *httptest.Server
	open   atomic.Int64 // requests being answered

	mu   sync.Mutex
	seen map[point]int
	// reached is told of the nth time of a point, from 1 on, while the request waits; it reports whether the process is gone. Guarded by mu; nil: nobody is told.
	reached func(s spot, n int) (gone bool)
}

func newTap(t *testing.T, side string, s *influxtest.Server) *tap {
	p := &tap{side: side, inner: s.Handler(), seen: map[point]int{}}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

// tell sets who is told and begins to count anew.
func (p *tap) tell(fn func(s spot, n int) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached, p.seen = fn, map[point]int{}
}

// counts adds how often each point was reached since tell.
func (p *tap) counts(into map[spot]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at, n := range p.seen {
		into[spot{p.side, at}] += n
	}
}

func (p *tap) at(x point) (gone bool) {
	p.mu.Lock()
	p.seen[x]++
	n, fn := p.seen[x], p.reached
	p.mu.Unlock()
	return fn != nil && fn(spot{p.side, x}, n)
}

func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.open.Add(1)
	defer p.open.Add(-1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	asked, begun, applied, answered := probeAsked, point(""), point(""), probeAnswered
	switch {
	case influxtest.Writes(r):
		asked, applied, answered = writeReceived, writeApplied, writeAnswered
	case influxtest.Queries(r):
		form, _ := url.ParseQuery(string(body))
		q := form.Get("q") + r.URL.Query().Get("q")
		if strings.Contains(q, "SELECT *::field") && !strings.Contains(q, "LIMIT") {
			asked, begun, answered = readAsked, readBegun, readAnswered
		} else {
			asked, answered = surveyAsked, surveyAnswered
		}
	}
	if p.at(asked) && applied != "" {
		panic(http.ErrAbortHandler)
	}
	rec := httptest.NewRecorder()
	p.inner.ServeHTTP(rec, r)
	if applied != "" && p.at(applied) {
		panic(http.ErrAbortHandler)
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	answer := rec.Body.Bytes()
	if begun != "" && len(answer) > 1 {
		_, _ = w.Write(answer[:len(answer)/2])
		_ = http.NewResponseController(w).Flush()
		if p.at(begun) {
			panic(http.ErrAbortHandler)
		}
		answer = answer[len(answer)/2:]
	}
	_, _ = w.Write(answer)
	_ = http.NewResponseController(w).Flush()
	p.at(answered)
}
