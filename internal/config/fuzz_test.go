package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

// FuzzLoad: no text makes Load panic or hang; what is refused names its place, shows no variable's value and no
// control character; what is accepted is whole.
func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(paths) == 0 {
		f.Fatal(err)
	}
	for _, p := range paths {
		f.Add(string(readArchive(f, p).Files[0].Data))
	}
	f.Add(full)
	f.Add(small)
	f.Add(old)
	f.Add(many)
	f.Add(settings)
	for _, keys := range []string{"    ca_file: ca.pem\n    tls_server_name: a.example\n", "    client_cert_file: c.pem\n    client_key_file: k.pem\n    insecure_skip_verify: true\n",
		"    proxy: \"socks5h://me:${X}@p:1080\"\n", "    proxy: env\n", "    headers_file: h\n", "    proxy: http://me:pass@p/path\n"} {
		f.Add(secureConfig(keys))
	}
	cert, key := keyPair(f, "one", time.Now().AddDate(1, 0, 0))
	dir := write(f, "station.token", "st-4711", "home.token", "ho-4711", "ca.pem", cert, "c.pem", cert, "k.pem", key, "h", "X-A: 1\n")
	path := filepath.Join(dir, "influxmirror.yaml")
	const value = "v\x1bariable==/9f28"
	vars := map[string]string{"HOME": "/home/u", "CREDENTIALS_DIRECTORY": "/nonexistent"}
	for _, key := range []string{"T", "TOKEN", "HOME_TOKEN", "URL", "WAIT", "REF", "FILE", "ORG", "X"} {
		vars[key] = value
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path, environ(vars))
		if err == nil {
			checkWhole(t, c)
			return
		}
		errs := (*Errors)(nil)
		if !errors.As(err, &errs) || len(errs.Problems) == 0 || c != nil {
			t.Fatalf("%v %v", c, err)
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + 2
		for _, p := range errs.Problems {
			if p.Message == "" || p.Line < 0 || p.Line > lines || p.Column < 0 {
				t.Errorf("%+v", p)
			}
		}
		shown := err.Error()
		if strings.Contains(shown, "9f28") && !strings.Contains(text, "9f28") {
			t.Errorf("the value of a variable is shown: %s", shown)
		}
		for _, r := range shown {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%q in %q", r, shown)
			}
		}
	})
}

func checkWhole(t *testing.T, c *Config) {
	if c.StateDir == "" || len(c.Mirrors) == 0 || len(c.Endpoints) == 0 {
		t.Errorf("%+v", c)
	}
	for _, e := range c.Endpoints {
		if p := e.Proxy(); p != nil && (p.Host == "" || p.Path != "") {
			t.Errorf("a proxy %v", p)
		}
		if h, err := e.Headers(); err != nil || h.Get("Host") != "" || h.Get("Content-Length") != "" {
			t.Errorf("headers %v, %v", h, err)
		}
		if c, err := e.TLS(); err != nil || c != nil && c.MinVersion < 0x0303 {
			t.Errorf("TLS %+v, %v", c, err)
		}
		if e.Dir != "" || e.URL == nil || e.URL.User != nil || e.URL.Host == "" || c.Endpoint(e.Name) != e {
			t.Errorf("%+v", e)
		}
		if secret := !e.Token().IsZero(); (e.Org != "" || e.User != "") != secret || e.Org != "" && e.User != "" {
			t.Errorf("half a login: %+v", e)
		}
	}
	for _, m := range c.Mirrors {
		for _, r := range []Ref{m.From, m.To} {
			if (r.Bucket == "") != m.IsPattern() && r.Endpoint.Dir == "" || r.Endpoint.Dir != "" && (!filepath.IsAbs(r.Endpoint.Dir) || r.Endpoint.URL != nil) {
				t.Errorf("%+v", r)
			}
		}
		if m.From.IsZero() || m.To.IsZero() || m.Name == "" || m.Wait < minimumWait || c.Mirror(m.Name) != m || m.From.Same(m.To) {
			t.Errorf("%+v", m)
		}
	}
}
