package main

import (
	"context"
	"net"
	"net/url"
	"strings"
	"time"

	"influxmirror/internal/config"
)

// lookupWait is how long status waits for a name's addresses. It works offline too: what is not known by then is left to doctor.
const lookupWait = 500 * time.Millisecond

// exposed warns of each endpoint the token or password of which goes over the Internet as it is.
func exposed(ctx context.Context, cfg *config.Config) (out []string) {
	ctx, cancel := context.WithTimeout(ctx, lookupWait)
	defer cancel()
	for _, e := range cfg.Endpoints {
		if e.Dir != "" || e.URL.Scheme == "https" {
			continue
		}
		var addresses []string
		if host := e.URL.Hostname(); net.ParseIP(host) == nil && host != "localhost" {
			list, err := net.DefaultResolver.LookupIPAddr(ctx, host)
			if err != nil {
				continue
			}
			for _, a := range list {
				addresses = append(addresses, a.String())
			}
		}
		if what := plainSecret(e, addresses); what != "" {
			out = append(out, "endpoint "+e.Name+": "+e.Address()+" is not encrypted: the "+what+" can be read by everyone on the way; "+encrypt)
		}
	}
	return out
}

// encrypt is what ends it.
const encrypt = "url: https://…, or a VPN or ssh tunnel between"

// plainSecret is what everyone on the way to an endpoint can read, "token" or "password", or "": it has none, it is encrypted, or it stays among private
// addresses. A proxy is taken for one that its owner chose.
func plainSecret(e *config.Endpoint, addresses []string) string {
	user, secret := e.Login()
	switch {
	case e.URL.Scheme == "https", secret.IsZero(), e.Proxy() != nil, private(e.URL, addresses):
		return ""
	case user != "":
		return "password"
	}
	return "token"
}

// private reports whether a server is on this machine or in a network that is not the Internet, as far as addresses tell.
func private(u *url.URL, resolved []string) bool {
	host, _, _ := strings.Cut(u.Hostname(), "%")
	if host == "localhost" {
		return true
	}
	if net.ParseIP(host) != nil {
		resolved = []string{host}
	}
	for _, a := range resolved {
		a, _, _ = strings.Cut(a, "%")
		ip := net.ParseIP(a)
		if ip == nil || !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() && !shared.Contains(ip) {
			return false
		}
	}
	return len(resolved) > 0
}

// shared is 100.64.0.0/10 (RFC 6598), where VPNs put their machines.
var shared = &net.IPNet{IP: net.IPv4(100, 64, 0, 0).To4(), Mask: net.CIDRMask(10, 32)}
