package influx

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	// Shorter values are no secrets worth the name, and hiding them would tear words apart.
	shortestSecret = 8
	// sentSecrets is how many forms of secrets are remembered: those of some logins, for they may be rotated.
	sentSecrets = 400
	redacted    = "REDACTED"
)

// secrets are what was sent to a peer and must not come back in its words: a server, or a proxy before it, may repeat a request in its errors.
type secrets struct {
	mu    sync.Mutex
	known []string // what was added, newest last
	forms []string // of all of it, longest first
}

// add remembers values.
func (s *secrets) add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if len(v) < shortestSecret || slices.Contains(s.known, v) {
			continue
		}
		if len(s.known) >= sentSecrets {
			s.known = s.known[len(s.known)/2:]
		}
		s.known = append(s.known, v)
		s.forms = s.forms[:0]
		for _, k := range s.known {
			s.forms = append(s.forms, formsOf(k)...)
		}
		slices.SortFunc(s.forms, func(a, b string) int { return len(b) - len(a) })
		s.forms = slices.Compact(s.forms)
	}
}

// sent remembers the secrets in the headers of a request: all that another than this package chose.
func (s *secrets) sent(login Login, extra http.Header) {
	values := []string{login.Token, login.Password}
	if login.User != "" {
		values = append(values, base64.StdEncoding.EncodeToString([]byte(login.User+":"+login.Password)))
	}
	for _, list := range extra {
		for _, v := range list {
			values = append(values, v)
			if _, word, ok := strings.Cut(v, " "); ok { // Bearer …
				values = append(values, word)
			}
		}
	}
	s.add(values...)
}

// formsOf are the ways in which a peer may write a value into a text.
func formsOf(v string) []string {
	quoted := strconv.Quote(v)
	return []string{v, quoted[1 : len(quoted)-1], url.QueryEscape(v), url.PathEscape(v), base64.StdEncoding.EncodeToString([]byte(v)), base64.RawStdEncoding.EncodeToString([]byte(v)),
		base64.RawURLEncoding.EncodeToString([]byte(v)), hex.EncodeToString([]byte(v))}
}

// hide takes the secrets out of a text.
func (s *secrets) hide(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.forms {
		text = strings.ReplaceAll(text, f, redacted)
	}
	return text
}

// maxErrorText bounds the text of one error.
const maxErrorText = 4000

// safeError is an error whose own text holds a secret, or what a terminal would obey.
type safeError struct {
	text string
	error
}

func (e *safeError) Error() string { return e.text }
func (e *safeError) Unwrap() error { return e.error }

// safe returns err, with a text that can be shown.
func (s *secrets) safe(err error) error {
	was := err.Error()
	if text := printable(s.hide(was), maxErrorText); text != was {
		return &safeError{text, err}
	}
	return err
}
