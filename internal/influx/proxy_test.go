package influx

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"influxmirror/internal/mirror"
)

// relay is a proxy: CONNECT and forwarding, or SOCKS 5. It connects every tunnel to the server at back, and remembers what it was asked for.
type relay struct {
	t        *testing.T
	listener net.Listener
	back     string // host:port, or "" to answer as refuse says
	login    string // USER:PASSWORD, or ""
	refuse   int    // of CONNECT: a status; of SOCKS: a reply
	page     string // instead of an answer to anything

	mu    sync.Mutex
	asked []string // guarded by mu
	conns []net.Conn
}

func newRelay(t *testing.T, r *relay, serve func(*relay, net.Conn), config *tls.Config) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.t, r.listener = t, l
	if config != nil {
		l = tls.NewListener(l, config)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.keep(conn)
			all.Go(func() {
				defer conn.Close()
				serve(r, conn)
			})
		}
	})
	t.Cleanup(func() {
		r.listener.Close()
		r.mu.Lock()
		for _, c := range r.conns {
			c.Close()
		}
		r.mu.Unlock()
		all.Wait()
	})
	return r
}

func (r *relay) keep(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns = append(r.conns, c)
}

func (r *relay) note(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, what)
}

func (r *relay) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// pipe copies both ways until either end is closed.
func (r *relay) pipe(in io.Reader, conn net.Conn) {
	out, err := net.Dial("tcp", r.back)
	if err != nil {
		return
	}
	r.keep(out)
	defer out.Close()
	go func() { // ended by the close of both
		_, _ = io.Copy(out, in)
		out.Close()
	}()
	_, _ = io.Copy(conn, out)
}

func serveHTTPProxy(r *relay, conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		r.note(req.Method + " " + req.RequestURI + " " + strings.Join(req.Header["X-Secret"], ""))
		answer := func(status int, body string) {
			resp := &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}
			_ = resp.Write(conn)
		}
		switch want := "Basic " + base64.StdEncoding.EncodeToString([]byte(r.login)); {
		case r.page != "":
			_, _ = io.Copy(io.Discard, req.Body)
			answer(200, r.page)
		case r.login != "" && req.Header.Get("Proxy-Authorization") != want:
			answer(407, "<html>who are you</html>")
			return
		case r.refuse != 0:
			answer(r.refuse, "")
			return
		case req.Method == http.MethodConnect:
			_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
			r.pipe(in, conn)
			return
		default:
			if req.Header.Get("Proxy-Authorization") != "" {
				req.Header.Del("Proxy-Authorization")
			}
			to := &url.URL{Scheme: "http", Host: r.back}
			w := &plainWriter{header: http.Header{}}
			req.URL.Scheme, req.URL.Host = "", ""
			httputil.NewSingleHostReverseProxy(to).ServeHTTP(w, req)
			w.header.Del("Content-Length")
			resp := &http.Response{StatusCode: w.status, ProtoMajor: 1, ProtoMinor: 1, Header: w.header, ContentLength: int64(w.body.Len()), Body: io.NopCloser(strings.NewReader(w.body.String())), Request: req}
			if resp.Write(conn) != nil {
				return
			}
		}
	}
}

type plainWriter struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *plainWriter) Header() http.Header { return w.header }
func (w *plainWriter) WriteHeader(s int)   { w.status = s }
func (w *plainWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = 200
	}
	return w.body.Write(b)
}

func serveSOCKS(r *relay, conn net.Conn) {
	in := bufio.NewReader(conn)
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(in, b); err != nil {
			return make([]byte, n)
		}
		return b
	}
	text := func() string { return string(read(int(read(1)[0]))) }
	if read(1)[0] != 5 {
		return
	}
	methods := text()
	method := byte(0)
	if r.login != "" {
		method = 2
	}
	if !strings.ContainsRune(methods, rune(method)) {
		method = 0xff
	}
	if _, err := conn.Write([]byte{5, method}); err != nil || method == 0xff {
		return
	}
	if method == 2 {
		read(1)
		user := text()
		status := byte(1)
		if user+":"+text() == r.login {
			status = 0
		}
		if _, err := conn.Write([]byte{1, status}); err != nil || status != 0 {
			return
		}
	}
	head := read(4)
	host := ""
	switch head[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = "name " + text()
	case 4:
		host = net.IP(read(16)).String()
	}
	port := read(2)
	r.note(host + " " + strconv.Itoa(int(port[0])<<8|int(port[1])))
	if _, err := conn.Write([]byte{5, byte(r.refuse), 0, 3, 2, 'o', 'k', 0, 0}); err != nil || r.refuse != 0 {
		return
	}
	r.pipe(in, conn)
}

// proxyURL is the relay's address; login is USER:PASSWORD, or "".
func (r *relay) proxyURL(scheme, login string) *url.URL {
	u := &url.URL{Scheme: scheme, Host: r.listener.Addr().String()}
	if user, password, ok := strings.Cut(login, ":"); ok {
		u.User = url.UserPassword(user, password)
	}
	return u
}

// TestProxies: a server is reached through each kind of proxy, by TLS and plain, with and without a login. The name of the server is looked up by the proxy
// except with socks5; here it exists nowhere, so a look-up on this machine would fail. The extra headers and the token go to the server only.
func TestProxies(t *testing.T) {
	lab := newAuthority(t, "lab CA")
	secure := newTerminator(t, &tls.Config{Certificates: []tls.Certificate{lab.issue("station.invalid", nil)}}, "/influx")
	plain := newTerminator(t, nil, "/influx")
	ofProxy := &tls.Config{Certificates: []tls.Certificate{lab.issue("127.0.0.1", nil)}}
	for _, scheme := range []string{"http", "https", "socks5h", "socks5"} {
		for _, target := range []string{"http", "https"} {
			for _, login := range []string{"", "me:" + canary + "@:/ é"} {
				t.Run(scheme+" to "+target+" "+strconv.FormatBool(login != ""), func(t *testing.T) {
					s, host := plain, "station.invalid"
					if target == "https" {
						s = secure
					}
					if scheme == "socks5" {
						host = "127.0.0.1"
					}
					r := &relay{back: s.url.Host, login: login}
					if strings.HasPrefix(scheme, "socks") {
						newRelay(t, r, serveSOCKS, nil)
					} else if scheme == "https" {
						newRelay(t, r, serveHTTPProxy, ofProxy)
					} else {
						newRelay(t, r, serveHTTPProxy, nil)
					}
					o := s.options()
					o.URL = &url.URL{Scheme: target, Host: host + ":8086", Path: "/influx"}
					o.Proxy = r.proxyURL(scheme, login)
					o.Headers = func() (http.Header, error) { return http.Header{"X-Secret": {canary}}, nil }
					o.TLS = func() (*tls.Config, error) { return &tls.Config{RootCAs: lab.pool()}, nil }
					var dialled []string
					o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
						dialled = append(dialled, address)
						return (&net.Dialer{}).DialContext(ctx, network, address)
					}
					end := New(o)
					defer end.Close()
					expect(t, look(end), "")
					for _, a := range dialled {
						if a != o.Proxy.Host {
							t.Errorf("connected to %s", a)
						}
					}
					asked := r.all()
					want := map[string]string{"http": "CONNECT station.invalid:8086 ", "https": "CONNECT station.invalid:8086 ", "socks5h": "name station.invalid 8086", "socks5": "127.0.0.1 8086"}[scheme]
					if target == "http" && strings.HasPrefix(scheme, "http") {
						want = "GET http://station.invalid:8086/influx/ping " + canary
					}
					if len(dialled) == 0 || len(asked) == 0 || asked[0] != want {
						t.Errorf("asked for %q, want %q", asked, want)
					}
					if target == "https" && strings.Contains(strings.Join(asked, " "), canary) {
						t.Errorf("the proxy was told %q", asked)
					}
				})
			}
		}
	}
}

// TestProxyFaults: what a proxy refuses is said with the side and both addresses, never with its password.
func TestProxyFaults(t *testing.T) {
	lab := newAuthority(t, "lab CA")
	own := &tls.Config{Certificates: []tls.Certificate{lab.issue("127.0.0.1", nil)}}
	portal := "<html>" + strings.Repeat("buy minutes ", 20) + "</html>"
	mine := "me:" + canary
	for name, c := range map[string]struct {
		scheme, target, login string
		relay                 *relay
		kind                  mirror.Kind
		say                   []string
	}{
		"407":                         {"http", "https", "", &relay{login: mine}, mirror.Blocked, []string{"wants a user and a password; set proxy: \"http://USER:${PASSWORD}@127.0.0.1:"}},
		"407, plain":                  {"http", "http", "", &relay{login: mine}, mirror.Blocked, []string{"HTTP 407: proxy http://127.0.0.1:", "wants a user and a password"}},
		"407, wrong":                  {"http", "https", mine + "x", &relay{login: mine}, mirror.Blocked, []string{"refuses the user and password; see proxy: in the config"}},
		"407, wrong, plain":           {"http", "http", mine + "x", &relay{login: mine}, mirror.Blocked, []string{"refuses the user and password"}},
		"403":                         {"http", "https", "", &relay{refuse: 403}, mirror.Blocked, []string{"refuses a tunnel to station.invalid:443: HTTP 403; allow that address and port in the proxy"}},
		"502":                         {"http", "https", "", &relay{refuse: 502}, mirror.Unreachable, []string{"refuses a tunnel to station.invalid:443: HTTP 502; it does not reach the server"}},
		"502, plain":                  {"http", "http", "", &relay{refuse: 502}, mirror.Busy, []string{"HTTP 502: ", "or the server behind it"}},
		"302":                         {"http", "https", "", &relay{refuse: 302}, mirror.Foreign, []string{"HTTP 302; perhaps a login page"}},
		"a page for a tunnel":         {"http", "https", "", &relay{page: portal}, mirror.Unreachable, []string{"it sends a page instead of a tunnel"}},
		"a page":                      {"http", "http", "", &relay{page: portal}, mirror.Foreign, []string{"not an InfluxDB answer"}},
		"socks, login wanted":         {"socks5h", "https", "", &relay{login: mine}, mirror.Blocked, []string{"wants a user and a password; set proxy: \"socks5h://USER:${PASSWORD}@127.0.0.1:"}},
		"socks, wrong login":          {"socks5h", "http", mine + "x", &relay{login: mine}, mirror.Blocked, []string{"refuses the user and password"}},
		"socks, not needed":           {"socks5h", "http", mine, &relay{}, mirror.Blocked, []string{"refuses the user and password"}},
		"socks, not allowed":          {"socks5h", "https", "", &relay{refuse: 2}, mirror.Blocked, []string{"refuses a tunnel to station.invalid:443: not allowed by its rules"}},
		"socks, refused":              {"socks5h", "http", "", &relay{refuse: 5}, mirror.Unreachable, []string{"refuses a tunnel to station.invalid:80: connection refused"}},
		"socks, odd":                  {"socks5h", "http", "", &relay{refuse: 99}, mirror.Unreachable, []string{"it does not answer like a SOCKS 5 proxy"}},
		"socks5, no name":             {"socks5", "http", "", &relay{}, mirror.Unreachable, []string{"station.invalid has no address here; with socks5h:// the proxy looks it up"}},
		"socks to an http proxy":      {"socks5h", "http", "", &relay{}, mirror.Unreachable, []string{"to station.invalid:80: it does not answer like a SOCKS 5 proxy"}},
		"certificate of the proxy":    {"https", "https", mine, &relay{}, mirror.Blocked, []string{"proxy https://127.0.0.1:", `the certificate is not trusted: subject "CN=127.0.0.1"`, "ca_file: FILE"}},
		"a proxy without TLS":         {"https", "http", mine, &relay{}, mirror.Unreachable, []string{"proxy https://127.0.0.1:", "connection closed in the TLS handshake"}},
		"no server behind":            {"socks5h", "https", "", &relay{back: "127.0.0.1:1"}, mirror.Unreachable, []string{"connection closed in the TLS handshake"}},
		"the proxy cannot be reached": {"http", "https", mine, &relay{}, mirror.Unreachable, []string{"proxy http://127.0.0.1:1 cannot be reached: ", "connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			serve, config := serveHTTPProxy, (*tls.Config)(nil)
			if strings.HasPrefix(c.scheme, "socks") && c.relay.page == "" {
				serve = serveSOCKS
			}
			if name == "certificate of the proxy" {
				config = own
			}
			if name == "socks to an http proxy" {
				serve = func(_ *relay, conn net.Conn) { _, _ = io.WriteString(conn, page("")) }
			}
			r := newRelay(t, c.relay, serve, config)
			o := Options{Side: mirror.TargetSide, URL: &url.URL{Scheme: c.target, Host: "station.invalid"}, Org: "o", Bucket: "b",
				Login: func() (Login, error) { return Login{Token: canary}, nil }, Proxy: r.proxyURL(c.scheme, c.login)}
			if name == "the proxy cannot be reached" {
				o.Proxy.Host = "127.0.0.1:1"
			}
			end := New(o)
			defer end.Close()
			err := look(end)
			expect(t, err, c.kind, append(c.say, "target "+c.target+"://station.invalid: ping: ")...)
			if err != nil && name != "a page" && name != "no server behind" && name != "socks5, no name" && !strings.Contains(err.Error(), "proxy "+c.scheme+"://127.0.0.1:") {
				t.Errorf("the proxy is not named: %v", err)
			}
		})
	}
}

// TestSilentProxy: a proxy that never answers is given up, and so is a try whose caller has gone.
func TestSilentProxy(t *testing.T) {
	r := newRelay(t, &relay{}, func(_ *relay, conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, nil)
	for _, scheme := range []string{"http", "socks5h", "https"} {
		end := New(Options{URL: &url.URL{Scheme: "https", Host: "station.invalid"}, Proxy: r.proxyURL(scheme, "")})
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		start := time.Now()
		_, err := end.Probe(ctx)
		if cancel(); err == nil || ctx.Err() == nil || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %v after %s", scheme, err, time.Since(start))
		}
		end.Close()
	}
}
