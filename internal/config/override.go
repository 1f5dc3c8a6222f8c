package config

import (
	"errors"
	"fmt"
)

// WithTokenFile returns the endpoint with another token, or password of its User, read from a file as a token_file is, at each call of Token.
// A relative path starts at base.
func (e *Endpoint) WithTokenFile(path, base string) (*Endpoint, error) {
	if e.Dir != "" {
		return nil, errors.New("a directory takes no token")
	}
	if e.kind() == tokenSecret && looksLikeToken(path) {
		return nil, errors.New("this looks like a token, not like a file; it is not shown")
	}
	other := &Endpoint{Name: e.Name, URL: e.URL, Org: e.Org, User: e.User, tokenFile: path, dir: base, env: e.env}
	secret, at, err := newFiles(e.env).secret(path, base, other.kind())
	if err != nil {
		return nil, fmt.Errorf("%s: %s; %s", name(at), reasonText(err), secretHint(other.kind(), path, name(at), err))
	}
	other.token = secret
	return other, nil
}
