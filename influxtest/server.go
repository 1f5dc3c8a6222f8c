package influxtest

import (
	"fmt"
	"hash/fnv"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
)

// A Version is the kind of server to imitate.
type Version int

const (
	V2 Version = iota // InfluxDB 2.7.12
	V1                // InfluxDB 1.13.2
)

// String is the version number that the server reports.
func (v Version) String() string {
	if v == V1 {
		return "1.13.2"
	}
	return "2.7.12"
}

// Options change a server. The zero value is an InfluxDB 2 on a loopback port.
type Options struct {
	Version  Version
	Now      func() time.Time // the server's clock, also of its Date header; time.Now when nil
	Listener net.Listener     // served and closed by the Server; a loopback port when nil
	Org      string           // 2.x: the organisation's name; "lab" when empty
	Token    string           // 2.x: the token that may do everything; "token" when empty
	Auth     bool             // 1.x: ask for a user (CreateUser) instead of answering everyone
	MaxRows  int              // 1.x: max-row-limit, after which answers that are not chunked are cut; 0 for none
	Reported string           // the version that the server reports; that of Version when empty
	// OldDBRP is 2.x before 2.4: /query finds no bucket by its name alone, only by a row of /api/v2/dbrps (CreateDBRP).
	OldDBRP bool
	Seed    uint64 // ids depend on it; 0 gives every server ids of its own
	// Between, when set, runs after each statement of a query but the last, with the request and the number of the statement that ended.
	// A test may write here: the statements of one request are not one snapshot.
	Between func(r *http.Request, statement int)
}

// A Server is one InfluxDB in memory. All methods may be called at any time from any goroutine.
type Server struct {
	URL   string // without a trailing slash; "http://" and the listener's address
	Org   string // empty on 1.x, as are OrgID and Token
	OrgID string
	Token string

	version  Version
	reported string
	oldDBRP  bool
	maxRows  int
	now      func() time.Time
	between  func(*http.Request, int)
	auth     bool
	seed     uint64
	listener net.Listener
	http     *http.Server
	served   sync.WaitGroup // the accept loop and every request
	closing  chan struct{}
	closeOne sync.Once

	mu         sync.Mutex
	ids        uint64
	shardIDs   uint64
	started    time.Time
	enforced   time.Time // when retention was last enforced
	buckets    []*bucket // in order of creation
	dbrps      []*dbrp   // made explicitly
	tokens     map[string]*grant
	users      map[string]*user
	conns      map[net.Conn]bool
	faults     []*Injected
	requests   []Request
	requestIDs int
}

var servers atomic.Uint64

// NewServer starts a server. The caller ends it with Close.
func NewServer(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Seed == 0 {
		o.Seed = servers.Add(1)
	}
	s := &Server{
		version: o.Version, reported: or(o.Reported, o.Version.String()), maxRows: o.MaxRows, oldDBRP: o.OldDBRP, now: o.Now, between: o.Between, auth: o.Auth, seed: o.Seed, listener: o.Listener,
		closing: make(chan struct{}), tokens: map[string]*grant{}, users: map[string]*user{}, conns: map[net.Conn]bool{},
	}
	s.started = s.start()
	s.enforced = s.started
	if o.Version == V2 {
		s.Org, s.Token = or(o.Org, "lab"), or(o.Token, "token")
		s.OrgID = s.newID("org")
		s.tokens[s.Token] = &grant{all: true}
		for _, name := range []string{"_tasks", "_monitoring"} {
			s.buckets = append(s.buckets, &bucket{id: s.newID(name), name: name, db: name, rp: "autogen", system: true,
				retention: 72 * time.Hour, shardDuration: 24 * time.Hour, created: s.started, updated: s.started})
		}
	}
	if s.listener == nil {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(fmt.Sprintf("influxtest: no loopback port: %v", err))
		}
		s.listener = l
	}
	s.URL = "http://" + s.listener.Addr().String()
	s.http = &http.Server{Handler: s.Handler(), ConnState: s.track}
	s.served.Add(1)
	go func() {
		defer s.served.Done()
		_ = s.http.Serve(s.listener) // ends with ErrServerClosed
	}()
	return s
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// newID makes an id of 16 hexadecimal digits, as 2.x has them.
func (s *Server) newID(what string) string {
	s.ids++
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %s", s.seed, s.ids, what)
	return fmt.Sprintf("%016x", h.Sum64()|1<<60)
}

// Close ends the server and returns when every goroutine of it has ended. Requests being answered are cut.
func (s *Server) Close() {
	s.closeOne.Do(func() {
		close(s.closing)
		_ = s.http.Close()
	})
	s.served.Wait()
}

// track keeps the open connections of the server's own listener.
func (s *Server) track(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(s.conns, c)
	} else {
		s.conns[c] = true
	}
}

// start is now. No two servers start in the same nanosecond, though their clocks may stand still.
func (s *Server) start() time.Time { return s.now().Add(-time.Duration(s.seed % 1e6)) }

// Restart does to a client what a restart of a real server does: connections break, counters begin again, and the data is as it was, except
// that the shard group of 1677 is no longer found by queries with an upper bound (the start of that group does not fit into nanoseconds).
func (s *Server) Restart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = s.start()
	s.enforced = s.started
	for _, b := range s.buckets {
		for _, g := range b.groups {
			g.points, g.requests = 0, 0
			g.start = g.reloadedStart
		}
	}
	s.enforceRetention()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Handler answers requests as the server does. It is what the server's own listener serves; use it to put the server behind TLS or a proxy.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		defer s.served.Done()
		s.serve(w, r)
	})
}

// route answers one request, without faults.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Date", s.now().UTC().Format(http.TimeFormat))
	h.Set("X-Influxdb-Build", "OSS")
	h.Set("X-Influxdb-Version", s.reported)
	if s.version == V1 {
		s.routeV1(w, r)
	} else {
		s.routeV2(w, r)
	}
}

func (s *Server) routeV2(w http.ResponseWriter, r *http.Request) {
	switch p := r.URL.Path; {
	case p == "/ping":
		s.ping(w, r)
	case p == "/health":
		s.health(w)
	case p == "/ready":
		s.ready(w)
	case p == "/metrics":
		s.metrics(w, r)
	case p == "/query":
		s.query(w, r)
	case strings.HasPrefix(p, "/api/v2/"):
		s.api(w, r)
	default:
		platformError(w, http.StatusNotFound, "not found", "path not found")
	}
}

func (s *Server) routeV1(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ping":
		s.ping(w, r)
	case "/health":
		s.health(w)
	case "/query":
		s.query(w, r)
	case "/write":
		s.writeV1(w, r)
	case "/debug/vars":
		s.debugVars(w)
	default:
		http.NotFound(w, r)
	}
}

var packers = sync.Pool{New: func() any { z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return z }}

// send writes a whole body, packed when the client asked for it and a real server would.
func (s *Server) send(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	// 2.x leaves small answers alone.
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && (s.version == V1 || len(body) > 1400) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(status)
		z := packers.Get().(*gzip.Writer)
		z.Reset(w)
		_, _ = z.Write(body)
		_ = z.Close()
		packers.Put(z)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away is no error of the server
}
