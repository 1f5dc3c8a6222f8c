package config

import (
	"errors"
	"fmt"
	"strings"
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

// ServerAt returns an endpoint for the address of a server that has no name in the config. Without tokenFile the token is the value of the
// variable named, if it is set.
func (c *Config) ServerAt(address, org, tokenFile, base, variable string, env func(string) (string, bool)) (*Endpoint, error) {
	u, err := parseURL(strings.TrimSpace(address))
	if err != nil {
		return nil, err
	}
	e := &Endpoint{Name: u.Host, URL: u, Org: org, env: env}
	if tokenFile != "" {
		return e.WithTokenFile(tokenFile, base)
	}
	if v, _ := env(variable); v != "" {
		if err := checkSecret(strings.TrimSpace(v)); err != nil {
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
		e.token = NewSecret(strings.TrimSpace(v))
	}
	return e, nil
}
