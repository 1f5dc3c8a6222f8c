package influx

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"influxmirror/internal/mirror"
)

// route is how connections to one server are made: straight or through a proxy, plain or TLS. Each is HTTP/1.1.
type route struct {
	url   *url.URL
	proxy *url.URL // nil: straight
	tls   func() (*tls.Config, error)
	tcp   func(ctx context.Context, network, address string) (net.Conn, error)
	dials *atomic.Int64
	near  atomic.Int64 // the shortest time a ping took, in ns; 0: none was measured

	packets packets
}

func newRoute(o Options, dials *atomic.Int64) *route {
	r := &route{url: o.URL, proxy: o.Proxy, tls: o.TLS, tcp: o.Dial, dials: dials}
	if r.tcp == nil {
		r.tcp = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second, Control: r.packets.control}).DialContext
	}
	return r
}

func (r *route) transport() *http.Transport {
	t := &http.Transport{
		DialContext:            r.dialPlain,
		DialTLSContext:         r.dialTLS,
		DisableCompression:     true,
		ResponseHeaderTimeout:  firstByteTimeout,
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        45 * time.Second,
		ReadBufferSize:         64 << 10,
		WriteBufferSize:        64 << 10,
	}
	if r.forwards() {
		// dialPlain makes the connection to the proxy, TLS and all; the transport only writes whole addresses into its requests.
		near := &url.URL{Scheme: "http", Host: hostPort(r.proxy), User: r.proxy.User}
		t.Proxy = func(*http.Request) (*url.URL, error) { return near, nil }
	}
	return t
}

// forwards reports whether plain requests are handed to an HTTP proxy, which needs no tunnel for them.
func (r *route) forwards() bool {
	return r.proxy != nil && r.url.Scheme == "http" && strings.HasPrefix(r.proxy.Scheme, "http")
}

// dialPlain returns a connection for requests that are not encrypted.
func (r *route) dialPlain(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := r.connect(ctx, network, address)
	if err != nil {
		return nil, asDialError(err)
	}
	r.dials.Add(1)
	return &idleConn{Conn: conn}, nil
}

// dialTLS returns a connection to a server whose certificate was verified. Nothing was sent to the server but the handshake.
func (r *route) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	config, err := r.config(address)
	if err != nil {
		return nil, &dialError{kind: mirror.Blocked, error: err}
	}
	conn, err := r.connect(ctx, network, address)
	if err != nil {
		return nil, asDialError(err)
	}
	out, err := handshake(ctx, &idleConn{Conn: conn}, config)
	if err != nil {
		conn.Close()
		if t := net.Error(nil); errors.As(err, &t) && t.Timeout() && ctx.Err() == nil {
			r.packets.silent()
		}
		return nil, tlsFault(config, err)
	}
	if t := httptrace.ContextClientTrace(ctx); t != nil && t.TLSHandshakeDone != nil {
		t.TLSHandshakeDone(out.ConnectionState(), nil) // the transport does not see that it is TLS
	}
	r.dials.Add(1)
	return out, nil
}

// config returns the TLS configuration for a new connection to address.
func (r *route) config(address string) (*tls.Config, error) {
	config := &tls.Config{}
	if r.tls != nil {
		c, err := r.tls()
		if err != nil {
			return nil, err
		}
		if c != nil {
			config = c.Clone()
		}
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	config.NextProtos = nil
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		config.ServerName, _, _ = strings.Cut(host, "%") // a zone is no part of a name
	}
	return config, nil
}

// secured is a TLS connection that knows whether a client certificate was asked for: with TLS 1.3 a server refuses one, or the lack of one,
// only after the client's handshake.
type secured struct {
	*tls.Conn
	asked, shown bool
	heard        atomic.Bool // something came after the handshake
}

func handshake(ctx context.Context, conn net.Conn, config *tls.Config) (*secured, error) {
	out := &secured{}
	own := config.Certificates
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		out.asked = true
		if len(own) == 0 {
			return &tls.Certificate{}, nil
		}
		out.shown = true
		return &own[0], nil
	}
	out.Conn = tls.Client(conn, config)
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return out, out.HandshakeContext(ctx)
}

func (c *secured) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(true)
	}
	return n, c.explain(err)
}

func (c *secured) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.explain(err)
}

// explain says of a connection that ended before its first answer that the client certificate is to blame.
func (c *secured) explain(err error) error {
	if err == nil || !c.asked || c.heard.Load() || errors.Is(err, net.ErrClosed) {
		return err
	}
	if t := net.Error(nil); errors.As(err, &t) && t.Timeout() {
		return err
	}
	if why := alertText(err); why != "" {
		return &dialError{mirror.Blocked, errors.New(why), true}
	}
	if c.shown {
		return fmt.Errorf("%w (the server asked for a client certificate; perhaps it does not accept the one in client_cert_file)", err)
	}
	return &dialError{mirror.Blocked, errNoCertificate, true}
}

// dialError is a connection that did not come about. Where kind is "" err is the network's.
type dialError struct {
	kind mirror.Kind
	error
	late bool // it came about, and the server ended it before its first answer
}

func (e *dialError) Unwrap() error { return e.error }

func fault(kind mirror.Kind, err error) error { return &dialError{kind: kind, error: err} }

func asDialError(err error) error {
	if d := (*dialError)(nil); errors.As(err, &d) {
		return err
	}
	return &dialError{error: err}
}

// networkText is what a network's error says, without addresses, which the message has already.
func networkText(err error) error {
	if t := net.Error(nil); errors.As(err, &t) && t.Timeout() {
		return errors.New("no answer in time")
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

// farAway is how long a ping takes at least where packing pays although the address is this machine's: a server that really runs here answers
// sooner, and behind a tunnel that is as quick as this nothing is gained by packing.
const farAway = 5 * time.Millisecond

// timed measures how long the answer to a ping takes on an open connection.
func (c *Client) timed(req *http.Request) *http.Request {
	var sent time.Time
	return req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent = time.Now() },
		GotFirstResponseByte: func() {
			took := max(1, int64(time.Since(sent)))
			if near := c.route.near.Load(); near == 0 || took < near {
				c.route.near.Store(took)
			}
		},
	}))
}

// compress reports whether bodies are packed. The address alone does not tell: a port of this machine may be the near end of a tunnel.
func (c *Client) compress() bool { return c.o.Compress || c.route.near.Load() > int64(farAway) }
