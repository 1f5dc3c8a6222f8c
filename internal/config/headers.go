package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const maxHeaders = 100

// ownHeaders are those that the client itself sets, or that would change how a message is read or where it goes.
var ownHeaders = []string{"Accept", "Accept-Encoding", "Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Date", "Expect",
	"Host", "Keep-Alive", "Range", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// Headers returns the lines of headers_file as they are now, nil if there is none. A file that cannot be used any more leaves what it said
// last in force; Watcher reports it. The values are secrets.
func (e *Endpoint) Headers() (http.Header, error) {
	if e.headersFile == "" {
		return nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if h, _, err := newFiles(e.env).headers(e.headersFile, e.dir, e.loginHeader()); err == nil {
		e.headers = headerSecrets(h)
	}
	out := http.Header{}
	for k, v := range e.headers {
		for _, one := range v {
			out[k] = append(out[k], one.Reveal())
		}
	}
	return out, nil
}

// loginHeader reports whether the header Authorization is taken by a token or a password.
func (e *Endpoint) loginHeader() bool { return e.User != "" || e.token.Reveal() != "" }

// headerSecrets keeps values where no way to print an Endpoint shows them.
func headerSecrets(h http.Header) map[string][]Secret {
	out := map[string][]Secret{}
	for k, v := range h {
		for _, one := range v {
			out[k] = append(out[k], NewSecret(one))
		}
	}
	return out
}

// headers reads a file of headers. Errors hold names and no values.
func (f *files) headers(file, dir string, login bool) (_ http.Header, path string, err error) {
	text, path, err := f.pem(file, dir, true)
	if err != nil {
		return nil, path, err
	}
	h, err := parseHeaders(string(text), login)
	return h, path, err
}

// parseHeaders reads lines NAME: VALUE; empty lines and those that begin with # are passed over.
func parseHeaders(text string, login bool) (http.Header, error) {
	out, n := http.Header{}, 0
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !ok || value == "" || !isHeaderName(key) {
			return nil, fmt.Errorf("line %d is not NAME: VALUE", i+1)
		}
		key = http.CanonicalHeaderKey(key)
		switch {
		case slices.Contains(ownHeaders, key) || strings.HasPrefix(key, "Proxy-"):
			return nil, fmt.Errorf("line %d: %s cannot be set", i+1, key)
		case key == "Authorization" && login:
			return nil, fmt.Errorf("line %d: Authorization carries the token or the password of this endpoint already", i+1)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }):
			return nil, fmt.Errorf("line %d: the value of %s holds a character that no header has", i+1, key)
		}
		out[key] = append(out[key], value)
		if n++; n > maxHeaders {
			return nil, fmt.Errorf("it holds more than %d headers", maxHeaders)
		}
	}
	if n == 0 {
		return nil, errors.New("it holds no header")
	}
	return out, nil
}

func isHeaderName(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)) {
			return false
		}
	}
	return true
}

// readHeaders reads headers_file. The login was read before.
func (d *decoder) readHeaders(e entry, s section, p *Endpoint) {
	v, at, ok := d.text(s, "headers_file")
	if !ok {
		return
	}
	what := "endpoint " + name(e.key)
	if strings.Contains(v, ":") && !strings.ContainsAny(v, `/\`) {
		d.source.hide(at)
		d.node(at, "put the headers into a file of their own and write that file's name here", "headers_file of %s: this looks like a header, not like a file", what)
		return
	}
	h, path, err := d.files.headers(v, d.dir, p.loginHeader())
	if err != nil {
		path = d.shown(at, path)
		hint := "a header a line: NAME: VALUE"
		if errors.As(err, new(publicError)) {
			hint = "chmod o-rwx " + path
		} else if errors.Is(err, fs.ErrNotExist) {
			hint = "make that file, with a header a line: NAME: VALUE"
		}
		d.node(at, hint, "headers_file of %s: %s: %s", what, path, reasonText(err))
		return
	}
	p.headersFile, p.headers = v, maps.Clone(headerSecrets(h))
}
