package config

import (
	"crypto/tls"
	"net/url"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

// Endpoint is a server and what is needed to use it. Its methods may be called from any goroutine.
type Endpoint struct {
	Name string
	URL  *url.URL // http or https, without user, query, fragment and last slash; not to be changed; nil for an archive
	Dir  string   // of an archive, absolute; "" for a server
	Org  string   // "" for InfluxDB 1.x
	User string   // "" where a token is used

	tokenFile string // as the file writes it; "" where the token or the password is in the file or in a variable
	dir       string // of the file
	env       func(string) (string, bool)

	security    security
	proxy       Secret // the whole address; zero: none
	headersFile string

	mu       sync.Mutex
	token    Secret // or the password
	verified *tls.Config
	headers  map[string][]Secret
}

func (e *Endpoint) kind() secretKind {
	if e.User != "" {
		return passwordSecret
	}
	return tokenSecret
}

// Token returns the token, or the password of User, as it is now: a token_file or password_file is read again at each call. Where that file cannot be read, is
// empty or readable by everyone, the token read last is returned; Watcher reports such a file.
func (e *Endpoint) Token() Secret {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tokenFile != "" {
		if t, _, err := newFiles(e.env).secret(e.tokenFile, e.dir, e.kind()); err == nil && !t.Equal(e.token) {
			e.token = t
		}
	}
	return e.token
}

// Login returns the user's name with the password, or "" with the token, as they are now.
func (e *Endpoint) Login() (user string, secret Secret) { return e.User, e.Token() }

// Address is where it is, without secrets: a URL, or dir: and a path.
func (e *Endpoint) Address() string {
	if e.Dir != "" {
		return "dir:" + e.Dir
	}
	return e.URL.String()
}

// String is the name and the address.
func (e *Endpoint) String() string { return e.Name + " (" + e.Address() + ")" }

// identity is the same for two endpoints that lead to the same buckets, as far as a config can tell.
func (e *Endpoint) identity() string {
	if e.Dir != "" {
		return e.Address()
	}
	return normal(e.URL) + "\n" + e.Org
}

// Same reports whether both lead to the same buckets, as far as a config can tell.
func (e *Endpoint) Same(other *Endpoint) bool {
	return e == other || e.identity() == other.identity()
}

var (
	endpointKeys = []string{"url", "org", "token", "token_file", "username", "password", "password_file",
		"ca_file", "client_cert_file", "client_key_file", "tls_server_name", "insecure_skip_verify", "headers_file", "proxy"}
	endpointLater = map[string]later{
		"link": {hint: "leave it out: the link is used as it is"},
	}
	// Words that begin an address of another kind.
	reservedNames = []string{"dir", "profile", "http", "https"}
)

func (d *decoder) readEndpoints(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.source.hide(n)
		d.node(n, "", "endpoints: names with their servers expected, found %s", kind(n))
		return
	}
	for _, e := range d.pairs(n) {
		d.places[e.key] = e.at
		d.endpoints[e.key] = nil
		if hint := wrongName(e.key); hint != "" {
			d.node(e.at, hint, "%s: not a name for an endpoint", name(e.key))
		}
		if contains(reservedNames, e.key) {
			d.node(e.at, "choose another name", "%s: begins addresses of another kind", e.key)
		}
		if p := d.readEndpoint(e); p != nil {
			d.endpoints[e.key] = p
			d.cfg.Endpoints = append(d.cfg.Endpoints, p)
		}
	}
	if len(d.places) == 0 {
		d.node(n, emptyHint, "endpoints: none defined")
	}
}

// wrongName returns what a name of an endpoint or a mirror looks like, or "" if s is one.
func wrongName(s string) string {
	for i, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || i > 0 && strings.ContainsRune("_-.", r)
		if !ok || i >= 64 {
			return "letters, digits, and after the first also _ - and . (64 at most)"
		}
	}
	if s == "" {
		return "at least one letter"
	}
	return ""
}

// readEndpoint returns nil where something is wrong.
func (d *decoder) readEndpoint(e entry) *Endpoint {
	before, what := len(d.list), "endpoint "+name(e.key)
	s, ok := d.section(e.value, what, endpointKeys, endpointLater)
	if !ok {
		return nil
	}
	p := &Endpoint{Name: e.key, dir: d.dir, env: d.env}
	if v, at, ok := d.text(s, "url"); ok {
		p.URL = d.readURL(at, v)
	} else if !s.has("url") {
		d.node(e.at, "such as url: http://10.8.0.2:8086", "%s: url is missing", what)
	}
	d.readLogin(e, s, p)
	d.readTLS(e, s, p)
	d.readHeaders(e, s, p)
	d.readProxy(e, s, p)
	if len(d.list) > before {
		return nil
	}
	return p
}
