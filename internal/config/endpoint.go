package config

import (
	"errors"
	"io/fs"
	"net/url"
	"path/filepath"
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

	tokenFile string // as the file writes it; "" where the token is in the file or in a variable
	dir       string // of the file
	env       func(string) (string, bool)

	mu    sync.Mutex
	token Secret
}

// Token returns the token as it is now: a token_file is read again at each call. Where that file cannot be read, is
// empty or readable by everyone, the token read last is returned; Watcher reports such a file.
func (e *Endpoint) Token() Secret {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tokenFile != "" {
		if t, _, err := newFiles(e.env).secret(e.tokenFile, e.dir); err == nil && !t.Equal(e.token) {
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

const tlsLater = "certificates of the system's authorities work with url: https://…; leave this out"

var (
	endpointKeys  = []string{"url", "org", "token", "token_file", "proxy"}
	endpointLater = map[string]later{
		"link":                 {hint: "leave it out: the link is used as it is"},
		"ca_file":              {hint: tlsLater},
		"client_cert_file":     {hint: tlsLater},
		"client_key_file":      {hint: tlsLater},
		"tls_server_name":      {hint: tlsLater},
		"insecure_skip_verify": {hint: tlsLater},
		"headers_file":         {hint: "leave it out: the only header sent to log in is Authorization"},
		"username":             version1,
		"password":             version1,
		"password_file":        version1,
	}
	version1 = later{
		hint:    "InfluxDB 2 logs in with org and token_file",
		message: "InfluxDB 1.x endpoints are not supported yet",
		secret:  true,
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
	if v, ok := s.entries["proxy"]; ok && v.value.Value != "none" {
		d.source.hide(v.value)
		d.node(v.at, "leave it out or write none", "proxy: not supported by this version")
	}
	for _, key := range s.after {
		if endpointLater[key] == version1 {
			return nil // and no word about org and token
		}
	}
	if v, at, ok := d.text(s, "url"); ok {
		p.URL = d.readURL(at, v)
	} else if !s.has("url") {
		d.node(e.at, "such as url: http://10.8.0.2:8086", "%s: url is missing", what)
	}
	if v, _, ok := d.text(s, "org"); ok {
		p.Org = v
	} else if !s.has("org") {
		d.node(e.at, "the organisation's name, as influx org list shows it", "%s: org is missing", what)
	}
	d.readToken(e, s, p)
	if len(d.list) > before {
		return nil
	}
	return p
}

func (d *decoder) readToken(e entry, s section, p *Endpoint) {
	what := "endpoint " + name(e.key)
	switch {
	case s.has("token") && s.has("token_file"):
		d.node(s.entries["token_file"].at, "keep token_file", "%s: token and token_file are both given", what)
	case s.has("token"):
		v, at, ok := d.text(s, "token")
		if !ok {
			return
		}
		d.secretInFile = d.secretInFile || holdsLiteral(at.Value)
		v = strings.TrimSpace(v)
		if err := checkSecret(v); err != nil {
			d.node(at, "", "token of %s: %v", what, err)
		}
		p.token = NewSecret(v)
	case s.has("token_file"):
		v, at, ok := d.text(s, "token_file")
		if !ok {
			return
		}
		if looksLikeToken(v) {
			d.source.hide(at)
			d.node(at, "put the token into a file of its own and write that file's name here", "token_file of %s: this looks like a token, not like a file", what)
			return
		}
		t, path, err := d.files.secret(v, d.dir)
		if err != nil {
			path = d.shown(at, path)
			d.node(at, secretHint(v, path, err), "token_file of %s: %s: %s", what, path, reasonText(err))
			return
		}
		p.token, p.tokenFile = t, v
	default:
		d.node(e.at, `token_file: FILE with the token in it, or token: "${NAME}"`, "%s: token_file is missing", what)
	}
}

// looksLikeToken knows the tokens that InfluxDB makes: 88 characters of base64 that end in ==.
func looksLikeToken(s string) bool {
	return strings.HasSuffix(s, "==") || len(s) >= 40 && !strings.ContainsAny(s, "/.\\")
}

func secretHint(file, path string, err error) string {
	switch {
	case errors.As(err, new(publicError)):
		return "chmod o-rwx " + path
	case strings.HasPrefix(file, "~"):
		return "~ is not expanded: write ${HOME}"
	case errors.Is(err, fs.ErrNotExist) && !filepath.IsAbs(file):
		return "make that file, with the token and nothing else in it; relative names are looked for in $CREDENTIALS_DIRECTORY, then beside the config"
	case errors.Is(err, fs.ErrNotExist):
		return "make that file, with the token and nothing else in it"
	case errors.Is(err, fs.ErrPermission):
		return "let the user that runs influxmirror read it"
	}
	return "it must hold the token and nothing else"
}

func reasonText(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return "no such file"
	}
	return err.Error()
}
