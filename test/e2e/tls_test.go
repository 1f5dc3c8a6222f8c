package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// issue makes a certificate, by itself or by an authority, in PEM.
func issue(t *testing.T, name string, by *tls.Certificate) (cert, key []byte, pair tls.Certificate) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: by == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	parent, signer := c, any(private)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &private.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if pair, err = tls.X509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	return cert, key, pair
}

// socks is a SOCKS 5 proxy with a login that knows one name.
type socks struct {
	login, name, at string
	tunnels         atomic.Int64
	wrong           atomic.Int64
}

func (s *socks) serve(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				s.tunnel(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

func (s *socks) tunnel(conn net.Conn) {
	in := bufio.NewReader(conn)
	next := func(n byte) string {
		b := make([]byte, n)
		_, _ = io.ReadFull(in, b)
		return string(b)
	}
	text := func() string { return next(next(1)[0]) }
	if next(1) != "\x05" || text() != "\x02" {
		s.wrong.Add(1)
		return
	}
	_, _ = conn.Write([]byte{5, 2})
	next(1)
	if user := text(); user+":"+text() != s.login {
		s.wrong.Add(1)
		return
	}
	_, _ = conn.Write([]byte{1, 0})
	if next(4) != "\x05\x01\x00\x03" || text() != s.name {
		s.wrong.Add(1)
		return
	}
	next(2)
	back, err := net.Dial("tcp", s.at)
	if err != nil {
		return
	}
	defer back.Close()
	s.tunnels.Add(1)
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go func() { // ended by the close of both
		_, _ = io.Copy(back, in)
		back.Close()
	}()
	_, _ = io.Copy(conn, back)
}

// A source behind a proxy that speaks TLS with an authority of its own, wants a client certificate and a header and serves it under a path; a target that only a SOCKS proxy
// knows: the whole of a sync and of its verification goes these ways, and no secret is said.
func TestThroughTLSAndSOCKS(t *testing.T) {
	t.Parallel()
	s := sceneOfProcess(t)
	history(s, 14)
	dir := filepath.Dir(s.dir)
	ca, _, authority := issue(t, "lab CA", nil)
	_, _, served := issue(t, "station.lab", &authority)
	clientCert, clientKey, _ := issue(t, "mirror", &authority)
	clients := x509.NewCertPool()
	clients.AddCert(authority.Leaf)

	back, err := url.Parse(s.src.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(back) }, FlushInterval: -1}
	var requests, strays atomic.Int64
	front := httptest.NewUnstartedServer(http.StripPrefix("/db/influx", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1); r.Header.Get("X-Gate") != "canary-gate" {
			strays.Add(1)
		}
		forward.ServeHTTP(w, r)
	})))
	front.TLS = &tls.Config{Certificates: []tls.Certificate{served}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	front.StartTLS()
	defer front.Close()
	home, err := url.Parse(s.dst.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &socks{login: "me:canary@proxy:", name: "home.invalid", at: home.Host}
	at := proxy.serve(t)

	for name, text := range map[string]string{"ca.pem": string(ca), "client.pem": string(clientCert), "client.key": string(clientKey), "gate": "X-Gate: canary-gate\n",
		"source.token": s.srcToken, "target.token": s.dstToken, "influxmirror.yaml": fmt.Sprintf(`endpoints:
  station:
    url: %s/db/influx
    org: %q
    token_file: source.token
    ca_file: ca.pem
    client_cert_file: client.pem
    client_key_file: client.key
    tls_server_name: station.lab
    headers_file: gate
  home:
    url: http://home.invalid:8086
    org: %q
    token_file: target.token
    proxy: "socks5h://me:${PROXY_PASSWORD}@%s"
mirrors:
  - {name: m, from: "station:%s", to: "home:%s", wait: 1s}
log_bucket: none
state_dir: %q
`, front.URL, s.src.Org, s.dst.Org, at, s.bucket, s.bucket, s.dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want int, args ...string) string {
		t.Helper()
		cmd := exec.Command(built(t), append([]string{"--config", filepath.Join(dir, "influxmirror.yaml"), "--log-format", "text", "-v"}, args...)...)
		cmd.Env = append(os.Environ(), "PROXY_PASSWORD=canary@proxy:")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("%s: exit %d, want %d: %v\n%s", strings.Join(args, " "), code, want, err, out.String())
		}
		for _, secret := range []string{"canary", s.srcToken, s.dstToken, "PRIVATE KEY"} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%s shows %q:\n%s", strings.Join(args, " "), secret, out.String())
			}
		}
		return out.String()
	}
	run(0, "sync")
	s.identical(always)
	if out := run(0, "verify", "--full"); !strings.Contains(out, "IDENTICAL") || strings.Contains(out, "NOT IDENTICAL") {
		t.Errorf("verify says\n%s", out)
	}
	if requests.Load() < 10 || strays.Load() > 0 || proxy.tunnels.Load() == 0 || proxy.wrong.Load() > 0 {
		t.Errorf("%d requests, %d without the header, %d tunnels, %d wrong", requests.Load(), strays.Load(), proxy.tunnels.Load(), proxy.wrong.Load())
	}

	// Another authority: nothing is sent, and the message says which certificate and what to set.
	other, _, _ := issue(t, "other CA", nil)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), other, 0o600); err != nil {
		t.Fatal(err)
	}
	before := requests.Load()
	if out := run(8, "sync"); !strings.Contains(out, "the certificate is not trusted: subject \"CN=station.lab\", issuer \"CN=lab CA\"") || !strings.Contains(out, "ca_file") || requests.Load() != before {
		t.Errorf("%d requests; sync says\n%s", requests.Load()-before, out)
	}
	// It is mended by the file alone.
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o600); err != nil {
		t.Fatal(err)
	}
	run(0, "sync")
}
