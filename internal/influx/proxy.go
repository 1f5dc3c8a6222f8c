package influx

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"influxmirror/internal/mirror"
)

// connect returns a connection over which the server is reached: straight, or through a tunnel. Where a proxy forwards plain requests it ends at
// the proxy.
func (r *route) connect(ctx context.Context, network, address string) (net.Conn, error) {
	if r.proxy == nil {
		return r.tcp(ctx, network, address)
	}
	conn, err := r.tcp(ctx, network, hostPort(r.proxy))
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fault(mirror.Unreachable, fmt.Errorf("%s cannot be reached: %w", r.proxyName(), networkText(err)))
	}
	if conn, err = r.through(ctx, conn, address); err != nil {
		return nil, err
	}
	return conn, nil
}

// through makes the tunnel on a connection to the proxy, and closes it if there is an error.
func (r *route) through(ctx context.Context, conn net.Conn, address string) (_ net.Conn, err error) {
	base := conn
	defer func() {
		if err != nil {
			base.Close()
		}
	}()
	if r.proxy.Scheme == "https" {
		config, err := r.proxyTLS()
		if err != nil {
			return nil, fault(mirror.Blocked, err)
		}
		over, err := handshake(ctx, &idleConn{Conn: conn}, config)
		if err != nil {
			why := (*dialError)(nil)
			errors.As(tlsFault(config, err), &why)
			return nil, fault(why.kind, fmt.Errorf("%s: %w", r.proxyName(), why.error))
		}
		conn = over
	}
	if r.forwards() {
		return conn, nil
	}
	defer context.AfterFunc(ctx, func() { base.Close() })()
	if err := base.SetDeadline(time.Now().Add(firstByteTimeout)); err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.proxy.Scheme, "socks") {
		err = r.socks(ctx, conn, address)
	} else {
		err = r.ask(conn, address)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if d := (*dialError)(nil); !errors.As(err, &d) {
			err = fault(mirror.Unreachable, fmt.Errorf("%s to %s: %w", r.proxyName(), address, tunnelText(err)))
		}
		return nil, err
	}
	return conn, base.SetDeadline(time.Time{})
}

func tunnelText(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("connection closed before the tunnel was made")
	}
	return networkText(err)
}

// proxyTLS verifies a proxy by its own name; the client certificate and tls_server_name are for the server alone.
func (r *route) proxyTLS() (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.proxy.Hostname()}
	if r.tls == nil {
		return out, nil
	}
	c, err := r.tls()
	if err == nil && c != nil {
		out.RootCAs = c.RootCAs
	}
	return out, err
}

// ask makes a tunnel with CONNECT.
func (r *route) ask(conn net.Conn, target string) error {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target, Header: http.Header{"User-Agent": {"influxmirror"}}}
	if u := r.proxy.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReader(io.LimitReader(conn, maxHeader))
	resp, err := http.ReadResponse(in, req)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isNetwork(err) {
			return err
		}
		return errors.New("it does not answer like an HTTP proxy")
	}
	refused := func(kind mirror.Kind, way string) error {
		return fault(kind, fmt.Errorf("%s refuses a tunnel to %s: HTTP %d%s", r.proxyName(), target, resp.StatusCode, way))
	}
	switch {
	case resp.StatusCode == http.StatusOK && (in.Buffered() > 0 || resp.Header.Get("Content-Length") > "0"):
		return errors.New("it sends a page instead of a tunnel")
	case resp.StatusCode == http.StatusOK:
		return nil
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return fault(mirror.Blocked, proxyLogin(r.proxy))
	case resp.StatusCode >= 500:
		return refused(mirror.Unreachable, "; it does not reach the server")
	case resp.StatusCode/100 == 3:
		return refused(mirror.Foreign, "; perhaps a login page")
	case resp.StatusCode/100 == 2:
		return refused(mirror.Foreign, ", which is not the answer of a proxy")
	}
	return refused(mirror.Blocked, "; allow that address and port in the proxy")
}

func isNetwork(err error) bool {
	op := (*net.OpError)(nil)
	return errors.As(err, &op)
}

// The answers of SOCKS 5 (RFC 1928).
var socksReplies = []string{1: "general failure", 2: "not allowed by its rules", 3: "network unreachable", 4: "host unreachable", 5: "connection refused",
	6: "took too long", 7: "it makes no connections", 8: "it does not know this kind of address"}

// socks makes a tunnel with SOCKS 5. With socks5h a name goes to the proxy as it is and is looked up there; with socks5 it is looked up here.
func (r *route) socks(ctx context.Context, conn net.Conn, target string) error {
	method := byte(0)
	if r.proxy.User != nil {
		method = 2
	}
	var in [262]byte
	if _, err := conn.Write([]byte{5, 1, method}); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, in[:2]); err != nil {
		return err
	}
	switch {
	case in[0] != 5:
		return errors.New("it does not answer like a SOCKS 5 proxy")
	case in[1] == 0xff:
		return fault(mirror.Blocked, proxyLogin(r.proxy))
	case in[1] != method:
		return errors.New("it does not answer like a SOCKS 5 proxy")
	}
	if method == 2 {
		password, _ := r.proxy.User.Password()
		user := r.proxy.User.Username()
		if len(user) > 255 || len(password) > 255 {
			return fault(mirror.Blocked, fmt.Errorf("%s: SOCKS takes no user or password of more than 255 bytes", r.proxyName()))
		}
		out := append(append([]byte{1, byte(len(user))}, user...), byte(len(password)))
		if _, err := conn.Write(append(out, password...)); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, in[:2]); err != nil {
			return err
		}
		if in[1] != 0 {
			return fault(mirror.Blocked, proxyLogin(r.proxy))
		}
	}
	out, err := r.socksTarget(ctx, target)
	if err != nil {
		return err
	}
	if _, err := conn.Write(append([]byte{5, 1, 0}, out...)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, in[:5]); err != nil {
		return err
	}
	switch code := int(in[1]); {
	case in[0] != 5 || code >= len(socksReplies):
		return errors.New("it does not answer like a SOCKS 5 proxy")
	case code != 0:
		kind := mirror.Unreachable
		if code == 2 {
			kind = mirror.Blocked
		}
		return fault(kind, fmt.Errorf("%s refuses a tunnel to %s: %s", r.proxyName(), target, socksReplies[code]))
	}
	// The address it bound, which says nothing: the rest of it, and a port.
	rest, known := map[byte]int{1: 4 - 1, 3: int(in[4]), 4: 16 - 1}[in[3]]
	if !known {
		return errors.New("it does not answer like a SOCKS 5 proxy")
	}
	_, err = io.ReadFull(conn, in[:rest+2])
	return err
}

func (r *route) socksTarget(ctx context.Context, target string) ([]byte, error) {
	host, service, err := net.SplitHostPort(target)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil && r.proxy.Scheme == "socks5" {
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil || len(ips) == 0 {
			return nil, fault(mirror.Unreachable, fmt.Errorf("%s has no address here; with socks5h:// the proxy looks it up", host))
		}
		ip = ips[0]
	}
	var out []byte
	switch ip = ip.Unmap(); {
	case ip.Is4():
		out = append([]byte{1}, ip.AsSlice()...)
	case ip.Is6():
		out = append([]byte{4}, ip.AsSlice()...)
	case len(host) > 255:
		return nil, errors.New("the server's name is too long")
	default:
		out = append([]byte{3, byte(len(host))}, host...)
	}
	return binary.BigEndian.AppendUint16(out, uint16(port)), nil
}

// proxyLogin says what a proxy wants that it was not given.
func proxyLogin(u *url.URL) error {
	if u.User != nil {
		return fmt.Errorf("proxy %s refuses the user and password; see proxy: in the config", address(u))
	}
	return fmt.Errorf(`proxy %s wants a user and a password; set proxy: "%s://USER:${PASSWORD}@%s"`, address(u), u.Scheme, u.Host)
}

func (r *route) proxyName() string { return "proxy " + address(r.proxy) }

// address is where a proxy is, without user and password.
func address(u *url.URL) string { return u.Scheme + "://" + u.Host }

// hostPort is where to connect to.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "1080"
	}
	return net.JoinHostPort(u.Hostname(), port)
}
