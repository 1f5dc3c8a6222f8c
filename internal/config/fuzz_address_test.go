package config

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

const fuzzPassword = "hunter2x9f28"

// FuzzText: every text that people write into addresses, durations, variables, proxies, headers and patterns is taken as another reader takes it, or refused
// in words that can be shown and hold no password.
func FuzzText(f *testing.F) {
	for _, s := range []string{
		"http://10.8.0.2:8086::lab", "https://[2001:db8::2%25eth0]/influx::a::b", "https://[::1]:8086/x/::lab", "http://2001:db8::2:8086::lab", "http://me:PASSWORD@h::b", "http://h::b@c", "http://h/PASSWORD@x::b",
		"dir:/backup/lab", "dir:rel/../x", "dir:~/x", "dir:", "profile:home:lab", "profile:gone:lab", "station:lab", "station:", "statoin:lab", "nothing:x", "http://h:0::b", "http://h:99999::b", "HTTP://h::b", "http://h?x=PASSWORD::b", "http://h::b\x1b[31m",
		"30s", "1h30m", "2w3d", "1.5h", "0s", "-5m", "5", "10 MB/s", "9223372036854775807ns", "9223372036854775808ns", "106751d", "1µs", "1μs", "0.1ns", "1h1h", "1e3s", "292y",
		"${X}", "$${X}", "$$${X}", "a${X:-b}c${EMPTY:-d}", "${X:?why}", "${GONE:?why\x07}", "${", "${}", "${X", "${X:}", "${X:-${X}}", "$", "${1}",
		"http://me:PASSWORD@p:3128", "socks5h://127.0.0.1:1080", "socks5://me:a@b:c/%40PASSWORD@[::1]:1/", "https://p/path", "http://:PASSWORD@p", "ftp://p", "http://me%0a:PASSWORD@p",
		"X-A: 1\nX-B: 2\n", "# c\n\nCF-Access-Client-Id: PASSWORD\r\nx-a: 3\nX-A: 4", "Host: x", "X-A:", "X-A: \x00", "Authorization: Bearer PASSWORD", "X A: 1", "Proxy-Authorization: PASSWORD", "X-A: ü",
		"a*b?c", "*", "**", "?", "a*a*a*a*b", "[a]", "\\*", "é?", "\xff*",
	} {
		f.Add(s, "aab")
	}
	f.Add("*ab", "aab")
	f.Add("a*ba?a", "abababa")
	dir := write(f, "influxmirror.yaml", small, "configs", "[home]\n  url = \"http://10.8.0.2:8086\"\n  token = \"tok-1\"\n  org = \"lab\"\n", "station.token", "st-4711", "home.token", "ho-4711")
	vars := map[string]string{"HOME": dir, "INFLUX_CONFIGS_PATH": filepath.Join(dir, "configs"), "X": fuzzPassword, "EMPTY": "", "T": "t", "TOKEN": "t"}
	cfg, err := Load(filepath.Join(dir, "influxmirror.yaml"), environ(vars))
	if err != nil {
		f.Fatal(err)
	}
	r := Resolver{Config: cfg, Env: environ(vars)}
	f.Fuzz(func(t *testing.T, text, other string) {
		if len(text) > 5000 || len(other) > 300 || strings.Contains(text, fuzzPassword) {
			return
		}
		text = strings.ReplaceAll(text, "PASSWORD", fuzzPassword)
		words := func(what string, err error) {
			t.Helper()
			if err != nil && (!utf8.ValidString(err.Error()) || strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) })) {
				t.Errorf("%s: a terminal would obey %q", what, err)
			}
			if err != nil && strings.Contains(err.Error(), fuzzPassword) && what != "address" {
				t.Errorf("%s: a password is shown: %v", what, err)
			}
		}
		checkAddress(t, r, text, words)
		checkDuration(t, text, words)
		checkExpand(t, text, environ(vars), words)
		checkProxy(t, text, words)
		checkHeaders(t, text, words)
		checkGlob(t, text, other)
	})
}

func checkAddress(t *testing.T, r Resolver, text string, words func(string, error)) {
	if !IsAddress(text) {
		return
	}
	ref, err := r.Resolve(text, Credentials{})
	words("address", err)
	if err != nil {
		if at := strings.LastIndexByte(text, '@'); at >= 0 && strings.Contains(text[:at], fuzzPassword) && strings.HasPrefix(text, "http") && strings.Contains(err.Error(), fuzzPassword) {
			t.Errorf("a password is shown: %v", err)
		}
		return
	}
	e := ref.Endpoint
	switch {
	case e.Dir != "":
		if !filepath.IsAbs(e.Dir) || e.URL != nil {
			t.Fatalf("%q is %+v", text, ref)
		}
		return
	case ref.Bucket == "" || strings.ContainsFunc(ref.Bucket, func(r rune) bool { return !unicode.IsPrint(r) }) || e.URL == nil || e.URL.User != nil || e.URL.Host == "" || e.URL.RawQuery != "" || !isPort(e.URL.Port()):
		t.Fatalf("%q is %+v of %+v", text, ref, e.URL)
	case NeedsConfig(text) != (r.Config.Endpoint(e.Name) == e):
		t.Fatalf("%q needs a config, or not: %+v", text, ref)
	}
	if strings.HasPrefix(text, "http") && !NeedsConfig(text) && !strings.HasSuffix(e.URL.Path, ":") { // a:::b is a and :b
		again, err := r.Resolve(e.Address()+"::"+ref.Bucket, Credentials{})
		if err != nil || again.Bucket != ref.Bucket || !again.Endpoint.Same(e) || again.Endpoint.Address() != e.Address() {
			t.Fatalf("%q is %q and %q, which is %v: %v", text, e.Address(), ref.Bucket, again, err)
		}
	}
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return s == "" || err == nil && n > 0 && n < 1<<16
}

var goDuration = regexp.MustCompile(`^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`)

func checkDuration(t *testing.T, text string, words func(string, error)) {
	d, err := ParseDuration(text)
	words("duration", err)
	if err == nil && d <= 0 {
		t.Fatalf("%q is %v", text, d)
	}
	if plain := strings.TrimSpace(text); goDuration.MatchString(plain) {
		want, bad := time.ParseDuration(plain)
		if off := d - want; (err == nil) != (bad == nil && want > 0) && !(bad == nil && want >= 1<<62) && d > 1 || err == nil && bad == nil && (off > time.Duration(len(plain)) || off < -time.Duration(len(plain))) {
			t.Fatalf("%q is %v, %v; Go takes it for %v, %v", text, d, err, want, bad)
		}
	}
}

func checkExpand(t *testing.T, text string, env func(string) (string, bool), words func(string, error)) {
	got, err := expand(text, env)
	words("variables", withoutArg(err))
	if !strings.Contains(text, "${") && (err != nil || got != text) {
		t.Fatalf("%q became %q, %v", text, got, err)
	}
	if got, err := expand(strings.ReplaceAll(text, "${", "$${"), env); err != nil || got != text {
		t.Fatalf("%q, escaped, became %q, %v", text, got, err)
	}
	if err == nil && !holdsLiteral(text) && strings.TrimSpace(strings.NewReplacer("${X}", "", "${EMPTY}", "").Replace(text)) == "" && strings.TrimSpace(strings.ReplaceAll(got, fuzzPassword, "")) != "" {
		t.Fatalf("%q holds nothing itself, and became %q", text, got)
	}
}

// withoutArg: the words behind :? are the file's own.
func withoutArg(err error) error {
	if err != nil && strings.Contains(err.Error(), ": ") {
		return nil
	}
	return err
}

func checkProxy(t *testing.T, text string, words func(string, error)) {
	u, err := parseProxy(text)
	words("proxy", err)
	if err != nil {
		return
	}
	if u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || !contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) || u.User != nil && u.User.Username() == "" {
		t.Fatalf("%q is %+v", text, u)
	}
	again, err := parseProxy((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
	if err != nil || again.Host != u.Host {
		t.Fatalf("%q is at %q, which is %v: %v", text, u.Host, again, err)
	}
}

func checkHeaders(t *testing.T, text string, words func(string, error)) {
	h, err := parseHeaders(text, true)
	words("headers", err)
	if err != nil {
		return
	}
	req, err := http.NewRequest(http.MethodGet, "http://station.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range h {
		if strings.ContainsFunc(strings.Join(v, ""), func(r rune) bool { return r > '~' }) {
			t.Fatalf("%q is more than ASCII", v)
		}
		req.Header[k] = v
	}
	var wire bytes.Buffer
	if err := req.Write(&wire); err != nil {
		t.Fatalf("%q cannot be sent: %v", h, err)
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil || got.Host != "station.example" || got.ContentLength != 0 || len(got.TransferEncoding) > 0 || got.Header.Get("Authorization") != "" {
		t.Fatalf("%q makes a request %+v: %v", h, got, err)
	}
	if h.Get("User-Agent") == "" {
		got.Header.Del("User-Agent")
	}
	want := http.Header{}
	for k, list := range h {
		for i, v := range list {
			if i == 0 || k != "User-Agent" { // of which one is sent
				want.Add(k, v)
			}
		}
	}
	if !reflect.DeepEqual(got.Header, want) {
		t.Fatalf("%q arrives as %q", h, got.Header)
	}
}

func checkGlob(t *testing.T, pattern, s string) {
	if len(pattern) > 200 || !utf8.ValidString(pattern) || !utf8.ValidString(s) {
		_ = Glob(pattern).Match(s)
		return
	}
	want := regexp.MustCompile(`(?s)^` + strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern)) + `$`).MatchString(s)
	if Glob(pattern).Match(s) != want {
		t.Fatalf("%q matches %q: %v", pattern, s, !want)
	}
}
