package influxtest

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"
)

// A Fault is one way for an answer to go wrong. It is made by the functions of this file.
type Fault struct {
	name string
	// do answers in the server's stead. handle runs the request as if there were no fault, and keeps the answer.
	do func(s *Server, w http.ResponseWriter, r *http.Request, handle func() *httptest.ResponseRecorder)
}

// An Injected fault waits for requests.
type Injected struct {
	s     *Server
	match func(*http.Request) bool
	fault Fault
	left  int // how often it still fires; negative: always
	fired int
}

// Fault makes requests that match (all of them when nil) go wrong, each time until Times or Remove says otherwise. Of several faults that
// match, the one injected first fires. match must not read the body; form values are parsed before it is called.
func (s *Server) Fault(match func(*http.Request) bool, f Fault) *Injected {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := &Injected{s: s, match: match, fault: f, left: -1}
	s.faults = append(s.faults, i)
	return i
}

// Times limits how often the fault still fires, and returns it.
func (i *Injected) Times(n int) *Injected {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	i.left = n
	return i
}

// Fired is how often the fault has fired. A test of a fault fails when this is 0.
func (i *Injected) Fired() int {
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	return i.fired
}

// Remove ends the fault.
func (i *Injected) Remove() { i.Times(0) }

// Path matches requests for one path.
func Path(path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.URL.Path == path }
}

// Writes matches requests that write points.
func Writes(r *http.Request) bool { return r.URL.Path == "/write" || r.URL.Path == "/api/v2/write" }

// Queries matches requests to /query.
func Queries(r *http.Request) bool { return r.URL.Path == "/query" }

// Refuse closes the connection without an answer; the request has no effect.
func Refuse() Fault {
	return Fault{"refuse", func(_ *Server, w http.ResponseWriter, _ *http.Request, _ func() *httptest.ResponseRecorder) { reset(w) }}
}

// Stall answers nothing for d and then closes the connection; the request has no effect. With d 0 it lasts until the client or the server gives up.
func Stall(d time.Duration) Fault {
	return Fault{"stall", func(s *Server, w http.ResponseWriter, r *http.Request, _ func() *httptest.ResponseRecorder) {
		s.wait(r, d)
		reset(w)
	}}
}

// Delay answers correctly after d.
func Delay(d time.Duration) Fault {
	return Fault{"delay", func(s *Server, w http.ResponseWriter, r *http.Request, handle func() *httptest.ResponseRecorder) {
		s.wait(r, d)
		replay(w, handle(), -1)
	}}
}

// CutAfter breaks the connection after n bytes of the answer's body, so that the client can see that it is not whole.
func CutAfter(n int) Fault {
	return Fault{"cut", func(_ *Server, w http.ResponseWriter, _ *http.Request, handle func() *httptest.ResponseRecorder) {
		replay(w, handle(), n)
		panic(http.ErrAbortHandler)
	}}
}

// TruncateClean ends the answer's body after n bytes as if that were all of it.
func TruncateClean(n int) Fault {
	return Fault{"truncate", func(_ *Server, w http.ResponseWriter, _ *http.Request, handle func() *httptest.ResponseRecorder) {
		replay(w, handle(), n)
	}}
}

// EndByClose sends the first n bytes (all when negative) of the answer's body without saying how long it is, and closes the connection, as
// an HTTP/1.0 proxy does: the client cannot see whether it is whole.
func EndByClose(n int) Fault {
	return Fault{"end by close", func(_ *Server, w http.ResponseWriter, _ *http.Request, handle func() *httptest.ResponseRecorder) {
		rec := handle()
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic("influxtest: " + err.Error())
		}
		defer conn.Close()
		body := rec.Body.Bytes()
		if n >= 0 {
			body = body[:min(n, len(body))]
		}
		fmt.Fprintf(buf, "HTTP/1.1 %d %s\r\nConnection: close\r\n", rec.Code, http.StatusText(rec.Code))
		_ = rec.Header().Write(buf)
		_, _ = buf.WriteString("\r\n")
		_, _ = buf.Write(body)
		_ = buf.Flush()
	}}
}

// Drip sends the answer n bytes at a time with a pause after each.
func Drip(n int, pause time.Duration) Fault {
	return Fault{"drip", func(s *Server, w http.ResponseWriter, r *http.Request, handle func() *httptest.ResponseRecorder) {
		rec := handle()
		copyHeader(w, rec)
		for body := rec.Body.Bytes(); len(body) > 0 && r.Context().Err() == nil; {
			k := min(n, len(body))
			_, _ = w.Write(body[:k])
			_ = http.NewResponseController(w).Flush()
			body = body[k:]
			s.wait(r, pause)
		}
	}}
}

// ResetAfterApply does what was asked and resets the connection instead of saying so.
func ResetAfterApply() Fault {
	return Fault{"reset after apply", func(_ *Server, w http.ResponseWriter, _ *http.Request, handle func() *httptest.ResponseRecorder) {
		handle()
		reset(w)
	}}
}

// Status answers with a status and a plain body, with Retry-After when retryAfter is not 0; the request has no effect.
func Status(code int, retryAfter time.Duration, body string) Fault {
	return Fault{fmt.Sprint("status ", code), func(_ *Server, w http.ResponseWriter, _ *http.Request, _ func() *httptest.ResponseRecorder) {
		if retryAfter != 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
		}
		http.Error(w, body, code)
	}}
}

// Redirect answers with a redirect (301, 302, 303, 307 or 308) to url.
func Redirect(code int, url string) Fault {
	return Fault{"redirect", func(_ *Server, w http.ResponseWriter, _ *http.Request, _ func() *httptest.ResponseRecorder) {
		w.Header().Set("Location", url)
		w.WriteHeader(code)
	}}
}

// HTML answers 200 with the log-in page of a captive portal.
func HTML() Fault {
	return Fault{"html", func(_ *Server, w http.ResponseWriter, _ *http.Request, _ func() *httptest.ResponseRecorder) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!DOCTYPE html><html><body>Welcome. Please accept the terms to use this network.</body></html>"))
	}}
}

// Rewrite changes a correct answer: rewrite gets its status, header and body, may change the header in place, and returns the others.
func Rewrite(rewrite func(status int, h http.Header, body []byte) (int, []byte)) Fault {
	return Fault{"rewrite", func(_ *Server, w http.ResponseWriter, _ *http.Request, handle func() *httptest.ResponseRecorder) {
		rec := handle()
		status, body := rewrite(rec.Code, rec.Header(), rec.Body.Bytes())
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}}
}

// wait returns after d, or when the client or the server gave up. With d 0 only they end it.
func (s *Server) wait(r *http.Request, d time.Duration) {
	var after <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-after:
	case <-r.Context().Done():
	case <-s.closing:
	}
}

// reset closes the connection, with RST where there is TCP.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: the stream is reset instead
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func copyHeader(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
}

// replay sends a kept answer, n bytes of its body when n is not negative.
func replay(w http.ResponseWriter, rec *httptest.ResponseRecorder, n int) {
	body := rec.Body.Bytes()
	if n >= 0 && n < len(body) {
		// Flushing before the end makes the transfer chunked; it then ends with a final chunk or, when aborted, without.
		copyHeader(w, rec)
		_, _ = w.Write(body[:n])
		_ = http.NewResponseController(w).Flush()
		return
	}
	copyHeader(w, rec)
	_, _ = w.Write(body)
}
