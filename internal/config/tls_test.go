package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// keyPair returns a certificate that signs itself and its key, in PEM.
func keyPair(t testing.TB, name string, until time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().AddDate(-9, 0, 0), NotAfter: until, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", private)
}

func secureConfig(keys string) string {
	return "endpoints:\n  a:\n    url: https://a\n    org: o\n    token: \"${T}\"\n" + keys + "  b: {url: http://b, org: o, token: \"${T}\"}\nmirrors:\n  - {name: m, from: a:x, to: b:x}\n"
}

// TestTLSFiles: what is wrong with a file of certificates is said with file, line and caret when the config is read, and nothing of a key is shown.
func TestTLSFiles(t *testing.T) {
	later := time.Now().AddDate(1, 0, 0)
	cert, key := keyPair(t, "one", later)
	otherCert, otherKey := keyPair(t, "two", later)
	pastCert, pastKey := keyPair(t, "past", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	files := []string{"ca.pem", cert + otherCert, "cert.pem", cert, "key.pem", key, "other.key", otherKey, "past.pem", pastCert, "past.key", pastKey,
		"both.pem", cert + key, "empty.pem", "", "text.pem", "hunter2", "broken.pem", strings.Replace(cert, "MII", "MIX", 1), "public.key", key, "loose.pem", cert,
		"sealed.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n", "half.key", strings.Replace(key, "MIG", "AAA", 1),
		"good.headers", "# for the gate\nCF-Access-Client-Id: me\ncf-access-client-secret: hunter2\n", "auth.headers", "Authorization: Basic hunter2\n",
		"host.headers", "X-A: hunter2\nHost: hunter2\n", "odd.headers", "X-A hunter2\n", "empty.headers", "#\n", "proxy.headers", "Proxy-Authorization: hunter2", "public.headers", "X-A: hunter2\n"}
	for _, c := range []struct{ keys, want string }{
		{"ca_file: ca.pem", ""},
		{"ca_file: ca.pem\nclient_cert_file: cert.pem\nclient_key_file: key.pem\ntls_server_name: station", ""},
		{"client_cert_file: both.pem", ""},
		{"ca_file: gone.pem", "6:14: ca_file of endpoint a: DIR/gone.pem: no such file"},
		{"ca_file: empty.pem", "6:14: ca_file of endpoint a: DIR/empty.pem: it holds no certificate in PEM"},
		{"ca_file: text.pem", "it holds no certificate in PEM"},
		{"ca_file: broken.pem", "its certificate 1 cannot be read"},
		{"ca_file: both.pem", "it holds a private key; only the certificate of the authority belongs there"},
		{"ca_file: loose.pem", "everyone can write to it (mode 0606)"},
		{"client_cert_file: cert.pem", "6:23: client_cert_file of endpoint a: DIR/cert.pem: it holds no private key, and no client_key_file is given"},
		{"client_key_file: key.pem", "6:5: endpoint a: client_key_file without client_cert_file"},
		{"client_cert_file: cert.pem\nclient_key_file: other.key", "7:22: client_key_file of endpoint a: DIR/other.key: it is not the key of the certificate in client_cert_file"},
		{"client_cert_file: key.pem\nclient_key_file: key.pem", "6:23: client_cert_file of endpoint a: DIR/key.pem: it holds no certificate in PEM"},
		{"client_cert_file: broken.pem\nclient_key_file: key.pem", "its certificate cannot be read"},
		{"client_cert_file: cert.pem\nclient_key_file: sealed.key", "it holds no private key in PEM that is not encrypted"},
		{"client_cert_file: cert.pem\nclient_key_file: half.key", "it cannot be used with the certificate"},
		{"client_cert_file: cert.pem\nclient_key_file: public.key", "it holds a secret and is readable by everyone (mode 0644)"},
		{"client_cert_file: past.pem\nclient_key_file: past.key", "warning: endpoint a: the client certificate in client_cert_file expired at 2026-01-02T03:04:05Z; renew it"},
		{"insecure_skip_verify: true", "warning: endpoint a: insecure_skip_verify is true: its certificate is not verified"},
		{"insecure_skip_verify: perhaps", "6:27: insecure_skip_verify of endpoint a: neither true nor false"},
		{"insecure_skip_verify: true\nca_file: ca.pem", "6:5: endpoint a: ca_file and insecure_skip_verify are both given"},
		{"headers_file: good.headers", ""},
		{"headers_file: gone", "6:19: headers_file of endpoint a: DIR/gone: no such file"},
		{"headers_file: auth.headers", "line 1: Authorization carries the token or the password of this endpoint already"},
		{"headers_file: host.headers", "line 2: Host cannot be set"},
		{"headers_file: proxy.headers", "line 1: Proxy-Authorization cannot be set"},
		{"headers_file: odd.headers", "line 1 is not NAME: VALUE"},
		{"headers_file: empty.headers", "it holds no header"},
		{"headers_file: public.headers", "it holds a secret and is readable by everyone"},
		{`headers_file: "X-A: hunter2"`, "6:19: headers_file of endpoint a: this looks like a header, not like a file"},
		{"proxy: none", ""},
		{"proxy: env", ""},
		{"proxy: socks5h://127.0.0.1:1080", ""},
		{`proxy: "http://me:${T}@p:3128"`, ""},
		{"proxy: 10.0.0.1:3128", "6:12: proxy of endpoint a: must begin with http://, https://, socks5:// or socks5h://"},
		{"proxy: ftp://me:hunter2@p", "must begin with http://"},
		{"proxy: http://me:hunter2@", "must name a host"},
		{"proxy: http://me:hunter2@p/x", "must hold no path"},
		{"proxy: http://:hunter2@p", "a password needs a user"},
	} {
		var keys strings.Builder
		for line := range strings.Lines(c.keys) {
			keys.WriteString("    " + strings.TrimSuffix(line, "\n") + "\n")
		}
		dir := write(t, append([]string{"influxmirror.yaml", secureConfig(keys.String())}, files...)...)
		for name, mode := range map[string]os.FileMode{"public.key": 0o644, "public.headers": 0o644, "loose.pem": 0o606, "ca.pem": 0o644, "cert.pem": 0o644} {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
		cfg, err := Load(filepath.Join(dir, "influxmirror.yaml"), environ(map[string]string{"T": "hunter2-token", "HOME": "/h"}))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			for _, w := range cfg.Warnings {
				got += "warning: " + w + "\n"
			}
		}
		got = strings.ReplaceAll(got, dir, "DIR")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.HasPrefix(c.want, "warning") != strings.HasPrefix(got, "warning") {
			t.Errorf("%s: want %q, got\n%s", c.keys, c.want, got)
		}
		if strings.Contains(got, "hunter2") || strings.Contains(got, "MI") {
			t.Errorf("%s: a secret is shown:\n%s", c.keys, got)
		}
		if err == nil && strings.Contains(c.keys, "_file") && !strings.Contains(c.keys, "headers") {
			if tls, err := cfg.Endpoint("a").TLS(); err != nil || tls.MinVersion < 0x0303 || tls.RootCAs == nil && len(tls.Certificates) == 0 {
				t.Errorf("%s: %v, %v", c.keys, tls, err)
			}
		}
	}
}

// TestTLSFilesChange: files that are renewed count at once, and one that is broken leaves the one before in force and is reported.
func TestTLSFilesChange(t *testing.T) {
	later := time.Now().AddDate(1, 0, 0)
	cert, key := keyPair(t, "one", later)
	next, nextKey := keyPair(t, "two", later)
	dir := write(t, "influxmirror.yaml", secureConfig("    ca_file: ca.pem\n    client_cert_file: cert.pem\n    client_key_file: key.pem\n    headers_file: h\n"),
		"ca.pem", cert, "cert.pem", cert, "key.pem", key, "h", "X-A: 1\n")
	p := poll{t, NewWatcher(filepath.Join(dir, "influxmirror.yaml"), environ(map[string]string{"T": "t", "HOME": "/h"})), dir}
	e := p.expect(true, "").Endpoint("a")
	now := func() string {
		c, err := e.TLS()
		if err != nil {
			t.Fatal(err)
		}
		h, err := e.Headers()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(c.Certificates[0].Leaf.Subject.CommonName, " ", h["X-A"])
	}
	for _, step := range []struct{ file, text, want, problem string }{
		{"h", "X-A: 2\n", "one [2]", ""},
		{"h", "X-A\n", "one [2]", "line 1 is not NAME: VALUE"},
		{"h", "X-A: 3\n", "one [3]", ""},
		{"cert.pem", next, "one [3]", "it is not the key of the certificate"},
		{"key.pem", nextKey, "two [3]", ""},
		{"ca.pem", "gone", "two [3]", "it holds no certificate"},
		{"ca.pem", next, "two [3]", ""},
	} {
		p.put(step.file, step.text)
		if got := now(); got != step.want {
			t.Errorf("%s: %s, want %s", step.file, got, step.want)
		}
		p.expect(step.problem == "", step.problem)
	}
}

func TestProxyPasswords(t *testing.T) {
	for _, c := range []struct {
		proxy string
		mode  os.FileMode
		ok    bool
		pass  string
	}{
		{"http://me:hunter2@p:3128", 0o600, true, "hunter2"},
		{"http://me:hunter2@p:3128", 0o644, false, ""},
		{"http://me:${P}@p:3128", 0o644, true, "a@b:c/%"},
		{"${URL}", 0o644, true, "hunter2"},
		{"http://me@p:3128", 0o644, true, ""},
	} {
		dir := write(t, "influxmirror.yaml", secureConfig("    proxy: \""+c.proxy+"\"\n"))
		path := filepath.Join(dir, "influxmirror.yaml")
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(path, environ(map[string]string{"T": "t", "P": "a@b:c/%", "URL": "socks5h://me:hunter2@p:1", "HOME": "/h"}))
		if (err == nil) != c.ok || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.proxy, err)
			continue
		}
		if err == nil {
			u := cfg.Endpoint("a").Proxy()
			if pass, _ := u.User.Password(); pass != c.pass || u.User.Username() != "me" || !strings.HasPrefix(u.Host, "p:") {
				t.Errorf("%s: %v", c.proxy, u)
			}
		}
	}
}

func TestProxyOfEnvironment(t *testing.T) {
	for _, c := range []struct{ url, no, want string }{
		{"https://station", "", "HTTPS_PROXY"},
		{"http://station", "", "http_proxy"},
		{"http://localhost", "", ""},
		{"https://127.0.0.1:8086", "", ""},
		{"https://[::1]:8086", "", ""},
		{"https://a.lab.org", "lab.org", ""},
		{"https://lab.org", "lab.org", ""},
		{"https://lab.org", ".lab.org", ""},
		{"https://mylab.org", "lab.org", "HTTPS_PROXY"},
		{"https://LAB.org:8086", "x, lab.org:8086", ""},
		{"https://lab.org:8086", "lab.org:443", "HTTPS_PROXY"},
		{"https://lab.org", "*", ""},
		{"https://10.8.0.2", "10.0.0.0/8", ""},
		{"https://11.8.0.2", "10.0.0.0/8", "HTTPS_PROXY"},
		{"https://10.8.0.2", "8.0.2", "HTTPS_PROXY"},
		{"https://[fd00::2]:8086", "fd00::/8", ""},
		{"https://[fd00::2]:8086", "[fd00::2]:8086", ""},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := proxyOf(u, environ(map[string]string{"HTTPS_PROXY": "s", "http_proxy": "p", "NO_PROXY": c.no}))
		if got != c.want {
			t.Errorf("%s without %q: %q, want %q", c.url, c.no, got, c.want)
		}
	}
}
