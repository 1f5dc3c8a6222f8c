package influxtest

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"time"
)

// A Request is one request the server was asked, in the order of arrival.
type Request struct {
	Method string
	Path   string
	Query  url.Values // of the address
	Form   url.Values // of a form body
	Header http.Header
	Body   int       // bytes received, packed if they were
	Time   time.Time // of the server's clock
	Status int       // 0 while it runs and when the connection was broken instead of answered
	Fault  string    // which fault was done to it, if any
	Wrote  bool      // it carried points, which may have been stored
}

// Requests returns what was asked so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ForgetRequests empties the log of requests.
func (s *Server) ForgetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requestIDs += len(s.requests) // requests that still run are not logged under another's place
	s.requests = nil
}

// A statusWriter notes the status that is sent.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack lets faults take the connection.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// serve logs a request and answers it, or does to it what a fault says.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client broke off; a server does nothing with half a body
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var form url.Values
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" && r.URL.Path == "/query" {
		form, _ = url.ParseQuery(string(body)) // what cannot be parsed is as good as missing, as in net/http
	}
	r.Form = form

	s.mu.Lock()
	id := s.requestIDs + len(s.requests)
	s.requests = append(s.requests, Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Form: form, Header: r.Header.Clone(), Body: len(body), Time: s.now()})
	fault := s.takeFault(r)
	s.mu.Unlock()

	note := func(change func(*Request)) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := id - s.requestIDs; i >= 0 && i < len(s.requests) {
			change(&s.requests[i])
		}
	}
	sw := &statusWriter{ResponseWriter: w}
	defer func() { note(func(q *Request) { q.Status = sw.status }) }()
	if fault == nil {
		s.route(sw, r)
		note(func(q *Request) { q.Wrote = Writes(r) && len(body) > 0 })
		return
	}
	note(func(q *Request) { q.Fault = fault.name })
	fault.do(s, sw, r, func() *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		s.route(rec, r)
		note(func(q *Request) { q.Wrote = Writes(r) && len(body) > 0 })
		return rec
	})
}

// takeFault returns the fault to do to a request, nil for none.
func (s *Server) takeFault(r *http.Request) *Fault {
	for _, f := range s.faults {
		if f.left == 0 || f.match != nil && !f.match(r) {
			continue
		}
		f.fired++
		if f.left > 0 {
			f.left--
		}
		return &f.fault
	}
	return nil
}
