package influx

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"influxmirror/influxtest"
	"influxmirror/internal/mirror"
)

// canary is part of every secret here; no message may hold it.
const canary = "hunter2"

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t}
	c := a.issue(name, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		c.NotBefore, c.NotAfter = time.Now().AddDate(-9, 0, 0), time.Now().AddDate(9, 0, 0)
	})
	a.cert, a.key = c.Leaf, c.PrivateKey.(*ecdsa.PrivateKey)
	return a
}

var serial atomic.Int64

func (a *authority) issue(name string, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(c)
	}
	parent, by := c, key
	if a.cert != nil {
		parent, by = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// lingering closes as careful servers do: what it said last arrives although the peer was still sending.
type lingering struct{ net.Listener }

type lingeringConn struct{ *net.TCPConn }

func (l lingering) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingeringConn{c.(*net.TCPConn)}, nil
}

func (c *lingeringConn) Close() error {
	_ = c.CloseWrite()
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, _ = io.Copy(io.Discard, c.TCPConn)
	return c.TCPConn.Close()
}

// terminator speaks TLS in front of an InfluxDB. Requests counts what came through.
type terminator struct {
	*influxtest.Server
	url      *url.URL
	requests atomic.Int64
}

func newTerminator(t *testing.T, config *tls.Config, prefix string) *terminator {
	t.Helper()
	s := &terminator{Server: influxtest.NewServer(influxtest.Options{})}
	s.CreateBucket("b", 0, 0)
	s.Server.Write("b", "m v=1 5\nm v=2 6")
	back, err := url.Parse(s.Server.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(back)
	forward.ErrorLog = log.New(io.Discard, "", 0)
	front := httptest.NewUnstartedServer(http.StripPrefix(prefix, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		forward.ServeHTTP(w, r)
	})))
	front.Config.ErrorLog = forward.ErrorLog
	front.Listener = lingering{front.Listener}
	if config == nil {
		front.Start()
	} else {
		front.TLS = config
		front.StartTLS()
	}
	if s.url, err = url.Parse(front.URL + prefix); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		s.Server.Close()
	})
	return s
}

func (s *terminator) options() Options {
	return Options{Side: mirror.SourceSide, URL: s.url, Org: s.Org, Bucket: "b", Login: func() (Login, error) { return Login{Token: s.Token}, nil }}
}

func fixed(c *tls.Config) func() (*tls.Config, error) {
	return func() (*tls.Config, error) { return c, nil }
}

// look probes and reads; the error is the first.
func look(c *Client) error {
	ctx := context.Background()
	if _, err := c.Probe(ctx); err != nil {
		return err
	}
	r, err := c.Read(ctx, mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}, nil)
	if err == nil && r.Total().Count != 2 {
		err = fmt.Errorf("%d samples", r.Total().Count)
	}
	return err
}

func expect(t *testing.T, err error, kind mirror.Kind, parts ...string) {
	t.Helper()
	if kind == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if mirror.KindOf(err) != kind {
		t.Errorf("%q, want %q: %v", mirror.KindOf(err), kind, err)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("it does not say %q: %v", p, err)
		}
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("a secret is shown: %v", err)
	}
}

func fingerprint(c tls.Certificate) string {
	sum := sha256.Sum256(c.Certificate[0])
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// TestTLS: what a certificate is refused for is said so that its owner can tell which one and what to do, nothing is sent to a server that was not
// verified, and nothing older or plainer is tried instead (N17, N18).
func TestTLS(t *testing.T) {
	lab, other := newAuthority(t, "lab CA"), newAuthority(t, "other CA")
	good := lab.issue("station.lab", nil)
	mine, foreign := lab.issue("mirror", nil), other.issue("stranger", nil)
	serve := func(c tls.Certificate, change func(*tls.Config)) *tls.Config {
		out := &tls.Config{Certificates: []tls.Certificate{c}}
		if change != nil {
			change(out)
		}
		return out
	}
	expired := lab.issue("station.lab", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().AddDate(-1, 0, 0), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	})
	early := lab.issue("station.lab", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Date(2200, 1, 2, 3, 4, 5, 0, time.UTC), time.Date(2201, 1, 2, 3, 4, 5, 0, time.UTC)
	})
	named := lab.issue("station.lab", func(c *x509.Certificate) { c.IPAddresses = nil })
	mutual := func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, lab.pool() }
	mutual12 := func(c *tls.Config) { mutual(c); c.MaxVersion = tls.VersionTLS12 }
	trust := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: lab.pool(), Certificates: certs}
	}
	for name, c := range map[string]struct {
		server *tls.Config
		client *tls.Config
		kind   mirror.Kind
		say    []string
	}{
		"own authority":       {serve(good, nil), trust(), "", nil},
		"not trusted":         {serve(good, nil), nil, mirror.Blocked, []string{"the certificate is not trusted: ", `subject "CN=station.lab"`, `issuer "CN=lab CA"`, "SHA-256 " + fingerprint(good), "ca_file: FILE"}},
		"another authority":   {serve(foreign, nil), trust(), mirror.Blocked, []string{"no authority in ca_file issued it", `issuer "CN=other CA"`, fingerprint(foreign)}},
		"expired":             {serve(expired, nil), trust(), mirror.Blocked, []string{"the certificate expired at 2026-01-02T03:04:05Z (the clock here says 20", "renew it", `subject "CN=station.lab"`, fingerprint(expired)}},
		"not yet valid":       {serve(early, nil), trust(), mirror.Blocked, []string{"the certificate is not valid before 2200-01-02T03:04:05Z (the clock here says 20", fingerprint(early)}},
		"another name":        {serve(named, nil), trust(), mirror.Blocked, []string{"the certificate is for station.lab, not for 127.0.0.1", fingerprint(named), "tls_server_name: NAME"}},
		"tls_server_name":     {serve(named, nil), &tls.Config{RootCAs: lab.pool(), ServerName: "station.lab"}, "", nil},
		"another server name": {serve(good, nil), &tls.Config{RootCAs: lab.pool(), ServerName: "elsewhere.lab"}, mirror.Blocked, []string{"is for station.lab, 127.0.0.1, ::1, not for elsewhere.lab"}},
		"not verified":        {serve(foreign, nil), &tls.Config{InsecureSkipVerify: true}, "", nil},
		"TLS 1.2":             {serve(good, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), trust(), "", nil},
		"TLS 1.1 only": {serve(good, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }),
			&tls.Config{RootCAs: lab.pool(), MinVersion: tls.VersionTLS10}, mirror.Blocked, []string{"the server offers no TLS 1.2 or newer; nothing older is used"}},
		"client certificate":                  {serve(good, mutual), trust(mine), "", nil},
		"client certificate, TLS 1.2":         {serve(good, mutual12), trust(mine), "", nil},
		"no client certificate":               {serve(good, mutual), trust(), mirror.Blocked, []string{"the server asks for a client certificate; set client_cert_file: FILE and client_key_file: FILE"}},
		"no client certificate, TLS 1.2":      {serve(good, mutual12), trust(), mirror.Blocked, []string{"client_cert_file"}},
		"another client certificate":          {serve(good, mutual), trust(foreign), mirror.Blocked, []string{"the server does not accept the client certificate", "client_cert_file"}},
		"another client certificate, TLS 1.2": {serve(good, mutual12), trust(foreign), mirror.Blocked, []string{"the server does not accept the client certificate"}},
		"asked for, not needed":               {serve(good, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert }), trust(), "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTerminator(t, c.server, "/influx")
			o := s.options()
			o.TLS = fixed(c.client)
			end := New(o)
			defer end.Close()
			err := look(end)
			expect(t, err, c.kind, append(c.say, "source "+s.url.String()+": ping: ")...)
			if n := s.requests.Load(); c.kind != "" && n != 0 || c.kind == "" && n == 0 {
				t.Errorf("%d requests came through", n)
			}
		})
	}
}

// TestPlainAndTLS: TLS to a port that speaks plain HTTP, and the other way round.
func TestPlainAndTLS(t *testing.T) {
	lab := newAuthority(t, "lab CA")
	s := newTerminator(t, nil, "")
	o := s.options()
	o.URL = &url.URL{Scheme: "https", Host: s.url.Host}
	end := New(o)
	defer end.Close()
	expect(t, look(end), mirror.Blocked, "the server does not speak TLS on this port; set url: http://…")

	s = newTerminator(t, &tls.Config{Certificates: []tls.Certificate{lab.issue("x", nil)}}, "/influx")
	o = s.options()
	o.URL = &url.URL{Scheme: "http", Host: s.url.Host, Path: "/influx"}
	end = New(o)
	defer end.Close()
	expect(t, look(end), mirror.Blocked, "the server speaks TLS on this port; set url: "+s.url.String())

	// One that answers with a TLS alert instead of words, and what nginx says.
	for name, c := range map[string]struct{ answer, say string }{
		"alert":                    {"\x15\x03\x01\x00\x02\x02\x46", "the server speaks TLS on this port"},
		"nginx, plain":             {page("<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"), "the server speaks TLS on this port"},
		"nginx, no certificate":    {page("<html><title>400 No required SSL certificate was sent</title></html>"), "client_cert_file"},
		"nginx, wrong certificate": {page("<html><title>400 The SSL certificate error</title></html>"), "does not accept the client certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l = lingering{l}
			defer l.Close()
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = http.ReadRequest(bufio.NewReader(conn))
					_, _ = io.WriteString(conn, c.answer)
					conn.Close()
				}
			}()
			o.URL = &url.URL{Scheme: "http", Host: l.Addr().String()}
			end := New(o)
			defer end.Close()
			expect(t, look(end), mirror.Blocked, c.say)
		})
	}
}

func page(html string) string {
	return fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(html), html)
}

// TestRenewal: certificates that are renewed while a Client lives count at its next connection: nothing has to be accepted or started again.
func TestRenewal(t *testing.T) {
	old, young := newAuthority(t, "old CA"), newAuthority(t, "new CA")
	var served, shown atomic.Pointer[tls.Certificate]
	var trusted, clients atomic.Pointer[x509.CertPool]
	put := func(a *authority) {
		c, m := a.issue("station.lab", nil), a.issue("mirror", nil)
		served.Store(&c)
		shown.Store(&m)
		clients.Store(a.pool())
	}
	put(old)
	trusted.Store(old.pool())
	s := newTerminator(t, &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return &tls.Config{Certificates: []tls.Certificate{*served.Load()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.Load()}, nil
	}}, "")
	o := s.options()
	o.TLS = func() (*tls.Config, error) {
		return &tls.Config{RootCAs: trusted.Load(), Certificates: []tls.Certificate{*shown.Load()}}, nil
	}
	end := New(o)
	defer end.Close()
	expect(t, look(end), "")
	mine := *shown.Load()
	put(young)
	shown.Store(&mine)
	end.Close() // as when the link went away
	expect(t, look(end), mirror.Blocked, "no authority in ca_file issued it", `issuer "CN=new CA"`)
	trusted.Store(young.pool())
	expect(t, look(end), mirror.Blocked, "the server does not accept the client certificate")
	renewed := young.issue("mirror", nil)
	shown.Store(&renewed)
	expect(t, look(end), "")

	// A file that cannot be read is an error and no connection.
	end.Close()
	before := s.requests.Load()
	o.TLS = func() (*tls.Config, error) { return nil, errors.New("ca_file: gone") }
	broken := New(o)
	defer broken.Close()
	expect(t, look(broken), mirror.Blocked, "ca_file: gone")
	if s.requests.Load() != before {
		t.Error("something was sent")
	}
}

// TestPrefixAndHeaders: requests go under the path of the URL, IPv6 hosts and escapes included, with the extra headers, which are asked for again each time.
func TestPrefixAndHeaders(t *testing.T) {
	back := influxtest.NewServer(influxtest.Options{})
	defer back.Close()
	back.CreateBucket("b", 0, 0)
	back.Write("b", "m v=1 5\nm v=2 6")
	to, _ := url.Parse(back.URL)
	forward := httputil.NewSingleHostReverseProxy(to)
	var wrong atomic.Pointer[string]
	var want atomic.Pointer[string]
	first, second := canary+"-1", canary+"-2"
	want.Store(&first)
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	front := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/a%2Fb/influx/")
		if !ok || r.Header.Get("Cf-Access-Client-Secret") != *want.Load() || r.Host != l.Addr().String() {
			text := r.URL.EscapedPath() + " " + r.Host
			wrong.Store(&text)
		}
		r.URL.Path, r.URL.RawPath = "/"+path, ""
		forward.ServeHTTP(w, r)
	})}}
	front.Start()
	defer front.Close()
	u, err := url.Parse("http://" + l.Addr().String() + "/a%2Fb/influx")
	if err != nil {
		t.Fatal(err)
	}
	end := New(Options{Side: mirror.SourceSide, URL: u, Org: back.Org, Bucket: "b", Login: func() (Login, error) { return Login{Token: back.Token}, nil },
		Headers: func() (http.Header, error) { return http.Header{"Cf-Access-Client-Secret": {*want.Load()}}, nil }})
	defer end.Close()
	expect(t, look(end), "")
	want.Store(&second)
	expect(t, look(end), "")
	if w := wrong.Load(); w != nil {
		t.Errorf("a request went to %s", *w)
	}
	before, err := end.Probe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	o := end.o
	o.URL = to // the same bucket at its own address
	o.Headers = nil
	straight := New(o)
	defer straight.Close()
	if p, err := straight.Probe(context.Background()); err != nil || p.Identity != before.Identity {
		t.Errorf("%s, want %s: %v", p.Identity, before.Identity, err)
	}
	// A zone is no part of the name that a certificate is for.
	r := newRoute(Options{URL: &url.URL{Scheme: "https", Host: "[fe80::1%25lo]:8086"}}, nil)
	if c, err := r.config("[fe80::1%lo]:8086"); err != nil || c.ServerName != "fe80::1" {
		t.Errorf("%v %v", c, err)
	}
}

// TestRedirectsAreWorded: a redirect is never followed; one that keeps the path names the address that belongs into the config (N12, X6).
func TestRedirectsAreWorded(t *testing.T) {
	for _, c := range []struct {
		location string
		kind     mirror.Kind
		say      string
	}{
		{"https://influx.lab/db/ping", mirror.Blocked, "redirects to https://influx.lab/db; put that address in the config"},
		{"/db/ping", mirror.Blocked, "/db; put that address in the config"},
		{"https://u:" + canary + "@influx.lab/ping?token=" + canary, mirror.Blocked, "redirects to https://influx.lab; put"},
		{"http://portal.hotel/login?" + canary, mirror.Foreign, "redirects to http://portal.hotel/login, which is not followed"},
		{"", mirror.Foreign, "redirects elsewhere"},
		{"//portal.hotel/%1b[31m", mirror.Foreign, "redirects to http://portal.hotel/%1b"},
	} {
		asked := 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			if c.location != "" {
				w.Header().Set("Location", c.location)
			}
			w.WriteHeader(http.StatusMovedPermanently)
		}))
		u, _ := url.Parse(s.URL)
		end := New(Options{Side: mirror.SourceSide, URL: u, Login: func() (Login, error) { return Login{Token: canary}, nil }})
		err := look(end)
		expect(t, err, c.kind, c.say)
		if asked != 1 || strings.ContainsRune(err.Error(), '\x1b') {
			t.Errorf("%d requests, %q", asked, err)
		}
		end.Close()
		s.Close()
	}
}

// TestFarAway: bodies are packed where a ping takes longer than a server on this machine would.
func TestFarAway(t *testing.T) {
	c := New(Options{URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}})
	for _, step := range []struct {
		took time.Duration
		want bool
	}{{0, false}, {40 * time.Millisecond, true}, {300 * time.Microsecond, false}} {
		c.route.near.Store(int64(step.took))
		if c.compress() != step.want {
			t.Errorf("a ping of %s: packed %t", step.took, c.compress())
		}
	}
	s := newTerminator(t, nil, "")
	near := New(s.options())
	defer near.Close()
	expect(t, look(near), "")
	if near.route.near.Load() == 0 {
		t.Error("no ping was measured")
	}
}

// TestFailedHandshakesLeaveNothing: a server that is never trusted, tried again and again, costs neither goroutines nor connections.
func TestFailedHandshakesLeaveNothing(t *testing.T) {
	lab := newAuthority(t, "lab CA")
	s := newTerminator(t, &tls.Config{Certificates: []tls.Certificate{lab.issue("station.lab", nil)}}, "")
	before := goleak.IgnoreCurrent()
	o := s.options()
	var open atomic.Int64
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		open.Add(1)
		return &closing{Conn: conn, open: &open}, nil
	}
	end := New(o)
	for range 200 {
		if err := look(end); mirror.KindOf(err) != mirror.Blocked {
			t.Fatal(err)
		}
	}
	end.Close()
	if n := open.Load(); n != 0 {
		t.Errorf("%d connections are left open", n)
	}
	goleak.VerifyNone(t, before)
}

// closing counts connections that are open.
type closing struct {
	net.Conn
	once sync.Once
	open *atomic.Int64
}

func (c *closing) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}
