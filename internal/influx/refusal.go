package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"influxmirror/internal/mirror"
)

// classify says what an error of the transport means.
func (c *Client) classify(ctx context.Context, r *request, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err // its text holds the query
	}
	kind := mirror.Broken
	if r.write {
		kind = mirror.Unknown
	}
	d := (*dialError)(nil)
	switch {
	case errors.As(err, &d) && d.late && r.write:
		return c.fail(r, mirror.Unknown, 0, d.error)
	case d != nil && d.kind != "":
		return c.fail(r, d.kind, 0, d.error)
	case d != nil:
		return c.fail(r, mirror.Unreachable, 0, networkText(d.error))
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`): // a TLS alert
		return c.fail(r, mirror.Blocked, 0, c.wantsTLS())
	}
	if t := net.Error(nil); errors.As(err, &t) && t.Timeout() {
		c.silent()
		err = errSilent
		if kind == mirror.Broken {
			kind = mirror.Unreachable
		}
	}
	return c.fail(r, kind, 0, err)
}

// silent tells the route that a request was sent and nothing was heard. Connections that are open are not used again: they may be like that one.
func (c *Client) silent() {
	c.route.packets.silent()
	c.http.CloseIdleConnections()
}

func (c *Client) wantsTLS() error {
	u := *c.o.URL
	u.Scheme = "https"
	return fmt.Errorf("the server speaks TLS on this port; set url: %s", u.String())
}

// What servers in front of InfluxDB say with status 400, in HTML or plain text.
var (
	plainToTLS  = []string{"HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port", "speaking plain HTTP to an SSL-enabled"}
	noOwnCert   = "No required SSL certificate was sent"
	wrongClient = "The SSL certificate error"
)

// refusal says what a status other than 2xx means.
func (c *Client) refusal(r *request, resp *http.Response, a *answer) error {
	body, _ := io.ReadAll(io.LimitReader(a.body, 64<<10))
	text, ours := message(bytes.NewReader(body), c.sent.hide)
	if resp.StatusCode/100 == 3 {
		return c.redirected(r, resp)
	}
	e := c.fail(r, mirror.Broken, resp.StatusCode, errors.New(text))
	switch resp.StatusCode {
	case 401, 403:
		e.Kind = mirror.Rights
	case 404:
		e.Kind = mirror.Missing
	case 407:
		e.Kind = mirror.Busy
		if c.route.forwards() {
			e.Kind, e.Err = mirror.Blocked, proxyLogin(c.o.Proxy)
		}
	case 429, 502, 503, 504:
		e.Kind = mirror.Busy
		if c.route.forwards() && !ours {
			e.Err = fmt.Errorf("%w; proxy %s or the server behind it", e.Err, address(c.o.Proxy))
		}
	case 413:
		e.Kind = mirror.TooLarge
	case 400, 422:
		// Only the server itself can refuse a line for good; what a proxy says is no answer to it.
		if e.Kind = mirror.Foreign; ours {
			e.Kind = mirror.Rejected
		}
		has := func(part string) bool { return bytes.Contains(body, []byte(part)) }
		switch {
		case ours:
		case c.o.URL.Scheme == "http" && (has(plainToTLS[0]) || has(plainToTLS[1]) || has(plainToTLS[2])):
			e.Kind, e.Err = mirror.Blocked, c.wantsTLS()
		case has(noOwnCert):
			e.Kind, e.Err = mirror.Blocked, errNoCertificate
		case has(wrongClient):
			e.Kind, e.Err = mirror.Blocked, errOtherCertificate
		}
	default:
		if r.write {
			e.Kind = mirror.Unknown
		}
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 && e.Kind == mirror.Busy {
		e.After = min(time.Duration(s)*time.Second, 10*time.Minute)
	}
	return e
}

// redirected says where an answer points. It is never followed: neither the token nor data go where the config does not say.
func (c *Client) redirected(r *request, resp *http.Response) error {
	to, err := c.o.URL.Parse(resp.Header.Get("Location"))
	if err != nil || to.Host == "" || resp.Header.Get("Location") == "" {
		return c.fail(r, mirror.Foreign, resp.StatusCode, errors.New("redirects elsewhere; does something else listen there"))
	}
	to.User, to.RawQuery, to.Fragment, to.RawFragment = nil, "", "", ""
	where := printable(c.sent.hide(to.String()), 200)
	if base, same := strings.CutSuffix(where, r.path); same && base != c.o.URL.String() {
		return c.fail(r, mirror.Blocked, resp.StatusCode, fmt.Errorf("redirects to %s; put that address in the config", base))
	}
	return c.fail(r, mirror.Foreign, resp.StatusCode, fmt.Errorf("redirects to %s, which is not followed; a login page, or the address in the config is not the server's", where))
}

// cached returns what in the head of an answer says that it was made before the request was sent, took ago: it says nothing about now.
// "" if nothing does. An Age that is not greater than took was made after the request, by whatever passes answers on.
func cached(h http.Header, took time.Duration) string {
	for _, v := range h.Values("Age") {
		if age, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64); err == nil && float64(age) > took.Seconds() {
			return fmt.Sprintf("Age: %d", age)
		}
	}
	for _, name := range []string{"X-Cache", "X-Cache-Status", "Cache-Status"} {
		for _, v := range h.Values(name) {
			for one := range strings.SplitSeq(v, ",") {
				if isHit(one) {
					return printable(name+": "+strings.TrimSpace(one), 100)
				}
			}
		}
	}
	return ""
}

// isHit reports whether a cache says that it did not ask the server: "HIT from proxy", "TCP_MEM_HIT", "cdn; hit" (RFC 9211).
func isHit(said string) bool {
	name, rest, _ := strings.Cut(said, ";")
	for one := range strings.SplitSeq(rest, ";") {
		if strings.EqualFold(strings.TrimSpace(one), "hit") {
			return true
		}
	}
	words := strings.Fields(strings.ToUpper(name))
	return len(words) > 0 && (words[0] == "HIT" || words[0] == "STALE" || strings.HasPrefix(words[0], "TCP_") && strings.HasSuffix(words[0], "_HIT") && !strings.Contains(words[0], "REFRESH"))
}
