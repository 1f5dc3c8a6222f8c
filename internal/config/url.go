package config

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// readURL returns nil after noting why a url cannot be used. The problem does not hold what is in the url.
func (d *decoder) readURL(n *yaml.Node, text string) *url.URL {
	if strings.Contains(text, "@") {
		d.source.hide(n)
	}
	u, err := parseURL(strings.TrimSpace(text))
	if err != nil {
		d.node(n, "such as http://10.8.0.2:8086 or http://[2001:db8::2]:8086/influx", "url: %v", err)
		return nil
	}
	return u
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if strings.Contains(text, "@") {
		return nil, errors.New("must hold no user and no password; the token has a key of its own")
	}
	switch {
	case err != nil && strings.Count(text, ":") > 2 && !strings.Contains(text, "["):
		return nil, errors.New("an IPv6 address must stand in brackets")
	case err != nil && !strings.Contains(text, "://"), err == nil && u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with http:// or https://")
	case err != nil:
		return nil, errors.New("not an address")
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#"):
		return nil, errors.New("must hold no ? and no #; only scheme, host, port and path")
	case u.Hostname() == "":
		return nil, errors.New("must name a host")
	case strings.Contains(u.Hostname(), ":") && net.ParseIP(strings.Split(u.Hostname(), "%")[0]) == nil:
		return nil, errors.New("not an IPv6 address")
	case strings.ContainsAny(u.Hostname(), " \t\"'<>\\^`{|}*,;$!") || strings.HasSuffix(u.Host, ":"):
		return nil, errors.New("not an address")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.Atoi(p); err != nil || n < 1 || n > 65535 {
			return nil, errors.New("a port is a number from 1 to 65535")
		}
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// normal returns what two addresses of one server have in common: lower case, without default port and last slash.
func normal(u *url.URL) string {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host + ":" + port + strings.TrimRight(u.EscapedPath(), "/")
}
