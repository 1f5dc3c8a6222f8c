package config

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Proxy returns the proxy to the endpoint with its user and password, or nil.
func (e *Endpoint) Proxy() *url.URL {
	if e.proxy.IsZero() {
		return nil
	}
	u, err := parseProxy(e.proxy.Reveal())
	if err != nil {
		return nil // cannot be: it was parsed when the config was read
	}
	return u
}

// readProxy reads none, env or an address. p.URL was read before.
func (d *decoder) readProxy(e entry, s section, p *Endpoint) {
	if s.has("proxy") && strings.Contains(s.entries["proxy"].value.Value, "@") {
		d.source.hide(s.entries["proxy"].value)
	}
	v, at, ok := d.text(s, "proxy")
	switch {
	case !ok || v == "none":
		return
	case v == "env" && p.URL == nil:
		return
	case v == "env":
		name, v := proxyOf(p.URL, d.env)
		if v == "" {
			return
		}
		if !strings.Contains(v, "://") {
			v = "http://" + v
		}
		if _, err := parseProxy(v); err != nil {
			d.node(at, proxyHint, "proxy of endpoint %s: the variable %s: %v", nameOf(e), name, err)
			return
		}
		p.proxy = NewSecret(v)
		return
	}
	if _, err := parseProxy(v); err != nil {
		d.node(at, proxyHint, "proxy of endpoint %s: %v", nameOf(e), err)
		return
	}
	d.secretInFile = d.secretInFile || proxyPassword(at)
	p.proxy = NewSecret(v)
}

func nameOf(e entry) string { return name(e.key) }

const proxyHint = `none, env, or an address such as socks5h://127.0.0.1:1080; a password stands in a variable: "http://USER:${PASSWORD}@proxy:3128"`

// proxyPassword reports whether a password stands in the file itself.
func proxyPassword(at *yaml.Node) bool {
	text := at.Value
	i := strings.LastIndexByte(text, '@')
	if i < 0 {
		return false
	}
	if _, after, ok := strings.Cut(text[:i], "://"); ok {
		text, i = after, len(after)
	}
	_, password, ok := strings.Cut(withoutVariables(text[:i]), ":")
	return ok && password != ""
}

func withoutVariables(s string) string { return fromEnv.ReplaceAllString(s, "") }

// parseProxy reads an address of a proxy. What stands before the last @ is a user and a password as they are, or with %xx. Errors hold nothing of it.
func parseProxy(text string) (*url.URL, error) {
	scheme, rest, ok := strings.Cut(strings.TrimSpace(text), "://")
	scheme = strings.ToLower(scheme)
	if !ok || !contains([]string{"http", "https", "socks5", "socks5h"}, scheme) {
		return nil, errors.New("must begin with http://, https://, socks5:// or socks5h://")
	}
	var login *url.Userinfo
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		user, password, _ := strings.Cut(rest[:i], ":")
		rest = rest[i+1:]
		plain := func(s string) string {
			if t, err := url.PathUnescape(s); err == nil {
				return t
			}
			return s
		}
		if user, password = plain(user), plain(password); user == "" {
			return nil, errors.New("a password needs a user")
		}
		if strings.ContainsAny(user+password, "\r\n\x00") {
			return nil, errors.New("user or password hold a control character")
		}
		login = url.UserPassword(user, password)
	}
	u, err := parseURL("http://" + strings.TrimRight(rest, "/"))
	switch {
	case err != nil:
		return nil, err
	case u.Path != "":
		return nil, errors.New("must hold no path; only scheme, user, password, host and port")
	}
	u.Scheme, u.User = scheme, login
	return u, nil
}

// proxyOf returns what the environment says about a proxy for u, and which variable did: as curl and most programs read it. This machine is
// always reached without a proxy.
func proxyOf(u *url.URL, env func(string) (string, bool)) (variable, value string) {
	get := func(names ...string) (string, string) {
		for _, n := range names {
			if v, _ := env(n); v != "" {
				return n, v
			}
		}
		return "", ""
	}
	variable, value = get("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
	if u.Scheme == "http" {
		variable, value = get("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	ip, err := netip.ParseAddr(host)
	if host == "localhost" || err == nil && ip.IsLoopback() {
		return "", ""
	}
	_, except := get("no_proxy", "NO_PROXY")
	for _, x := range strings.FieldsFunc(strings.ToLower(except), func(r rune) bool { return r == ',' || r == ' ' }) {
		if h, p, err := net.SplitHostPort(x); err == nil {
			if p != port {
				continue
			}
			x = h
		}
		x = strings.Trim(x, "[]")
		if prefix, bad := netip.ParsePrefix(x); bad == nil && err == nil && prefix.Contains(ip.WithZone("")) {
			return "", ""
		}
		bare := strings.TrimPrefix(strings.TrimPrefix(x, "*"), ".")
		if x == "*" || bare != "" && (host == bare && !strings.HasPrefix(x, "*") || strings.HasSuffix(host, "."+bare) && err != nil) {
			return "", ""
		}
	}
	return variable, value
}
