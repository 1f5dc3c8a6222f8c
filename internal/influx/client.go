package influx

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"influxmirror/internal/mirror"
)

// Limits of what is taken from a peer and of how long it may take.
const (
	dialTimeout      = 10 * time.Second
	firstByteTimeout = 30 * time.Second
	idleTimeout      = 60 * time.Second
	maxHeader        = 64 << 10
	maxSmallAnswer   = 16 << 20 // everything that is not a read of samples
	maxAnswer        = 4 << 30  // unpacked bytes of one read
)

// Options say which bucket of which server, and how to get there.
type Options struct {
	Side   mirror.Side
	URL    *url.URL // scheme, host, path prefix
	Org    string
	Bucket string
	// Login returns what to log in with now; it is asked again before a 401 is believed. nil: nothing is sent.
	Login func() (Login, error)
	// TLS says how the server is verified and what is shown to it; it is asked at each new connection, so that files that were
	// renewed count from then on. nil, or a nil Config: the system's authorities. Nothing older than TLS 1.2 is spoken.
	TLS func() (*tls.Config, error)
	// Headers are sent to the server, never to a proxy, with each request. nil: none.
	Headers func() (http.Header, error)
	// Proxy is http://, https://, socks5:// or socks5h:// with a host and perhaps a user; nil: none, whatever the environment says.
	Proxy *url.URL
	// AddTags are added to every series that is read, by key: what is handed on, lines and Fingerprints, has them. A series that has such a tag is an
	// error of kind Blocked. A Target with AddTags takes lines that have them, and writes them without.
	AddTags []mirror.Tag
	// Only leaves nothing of the bucket to be seen but the series with all of these tags, which several sources share.
	Only []mirror.Tag
	// Wants reports whether a measurement is mirrored; nil: all are. Others may have the tags of AddTags.
	Wants func(measurement string) bool
	// Dial replaces net.Dialer, for tests and wrapped connections.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Compress packs what is sent and asks for packed answers: worth it on any link slower than the server's compressor. Without it that is
	// done only where answers are slow to come, as through a tunnel whose near end is on this machine.
	Compress bool
}

// Login is what a server lets in: a token, or a name and password. The zero Login is for servers that ask for none.
type Login struct{ Token, User, Password string }

// set puts the Login where it belongs: into a header and nowhere else.
func (l Login) set(h http.Header) {
	switch {
	case l.Token != "":
		h.Set("Authorization", "Token "+l.Token)
	case l.User != "":
		h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(l.User+":"+l.Password)))
	}
}

// Client reads one bucket. It is safe for concurrent use.
type Client struct {
	o     Options
	sent  secrets // that came in requests so far
	route *route
	http  *http.Client
	dials atomic.Int64
	wire  atomic.Int64 // bytes of answers, as sent

	mu       sync.Mutex
	probe    mirror.Probe // the last full one
	probedAt time.Time
	probedOn int64 // dials at that time
	series   map[string]float64
	conflict map[string][]mirrorField // measurements with a field of several types; nil: not asked yet
	old      database                 // where the bucket is on a 1.x server; the zero value: the server is another
	tells    way                      // how a 1.x server tells its write counters
	known    bool                     // it is known what the server is, so that old says it
	window   string                   // why a 1.x policy is not written to; "" for all others
	unsigned string                   // why this server takes no unsigned integers, once it has said so

}

// New returns a Client; nothing is sent before its first method is called.
func New(o Options) *Client {
	c := &Client{o: o, series: map[string]float64{}}
	c.route = newRoute(o, &c.dials)
	if o.Proxy != nil && o.Proxy.User != nil {
		password, _ := o.Proxy.User.Password()
		c.sent.add(password, base64.StdEncoding.EncodeToString([]byte(o.Proxy.User.Username()+":"+password)))
	}
	c.http = &http.Client{Transport: c.route.transport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// URL returns the address without anything secret.
func (c *Client) URL() string { return c.o.URL.String() }

// WireBytes returns how many bytes of answers came so far, as sent over the link.
func (c *Client) WireBytes() int64 { return c.wire.Load() }

type request struct {
	op     string
	method string
	path   string
	query  url.Values
	form   url.Values
	body   []byte
	gzip   bool // body is compressed
	accept string
	write  bool
	limit  int64
}

type answer struct {
	status int
	header http.Header
	body   io.ReadCloser
	date   int64
}

func (c *Client) fail(r *request, kind mirror.Kind, status int, err error) *mirror.Error {
	return &mirror.Error{Kind: kind, Side: c.o.Side, URL: c.URL(), Op: r.op, Status: status, Err: c.sent.safe(err)}
}

// do sends r and returns an answer with a 2xx status. Its body ends with an error unless it came whole.
func (c *Client) do(ctx context.Context, r *request) (*answer, error) {
	a, err := c.once(ctx, r)
	if e := (*mirror.Error)(nil); errors.As(err, &e) && e.Status == http.StatusUnauthorized {
		// The token may just have been rotated: read it once more before believing the answer.
		return c.once(ctx, r)
	}
	return a, err
}

func (c *Client) once(ctx context.Context, r *request) (*answer, error) {
	u := *c.o.URL
	if u.RawPath != "" {
		u.RawPath = strings.TrimSuffix(u.RawPath, "/") + r.path
	}
	u.Path = strings.TrimSuffix(u.Path, "/") + r.path
	u.RawQuery = r.query.Encode()
	body := r.body
	if r.form != nil {
		body = []byte(r.form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, c.fail(r, mirror.Foreign, 0, errors.New("unusable address"))
	}
	req.GetBody = nil // one request is one attempt: the transport may not repeat a write
	if r.form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if r.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if c.compress() && !r.write {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	req.Header.Set("Cache-Control", "no-cache")
	req.Header.Set("User-Agent", "influxmirror")
	var login Login
	if c.o.Login != nil {
		if login, err = c.o.Login(); err != nil {
			return nil, c.fail(r, mirror.Rights, 0, err)
		}
		login.set(req.Header)
	}
	var extra http.Header
	if c.o.Headers != nil {
		if extra, err = c.o.Headers(); err != nil {
			return nil, c.fail(r, mirror.Rights, 0, err)
		}
		maps.Copy(req.Header, extra)
	}
	c.sent.sent(login, extra)
	if r.path == "/ping" {
		req = c.timed(req)
	}
	asked := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.classify(ctx, r, err)
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if t, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.date = t.UnixNano()
	}
	limit := r.limit
	if limit == 0 {
		limit = maxSmallAnswer
	}
	a.body = &wholeBody{c: c, r: r, ctx: ctx, closer: resp.Body, limit: limit, src: &counting{Reader: resp.Body, n: &c.wire}}
	if resp.Header.Get("Content-Encoding") == "gzip" {
		a.body.(*wholeBody).packed = true
	}
	if resp.StatusCode != http.StatusNoContent && resp.ContentLength < 0 && resp.ProtoMajor == 1 && !chunked(resp) {
		defer a.body.Close()
		if resp.StatusCode == http.StatusBadRequest {
			if err := c.refusal(r, resp, a); mirror.KindOf(err) == mirror.Blocked {
				return nil, err // so says a server that is asked for plain HTTP where it speaks TLS
			}
		}
		return nil, c.fail(r, mirror.Foreign, resp.StatusCode, errors.New("the server or a proxy does not mark the end of its answers"))
	}
	if why := cached(resp.Header, time.Since(asked)); why != "" && (resp.StatusCode/100 == 2 || resp.StatusCode/100 == 4) {
		a.body.Close()
		return nil, c.fail(r, mirror.Blocked, resp.StatusCode, fmt.Errorf("a cache on the way answers in the server's place (%s); let it pass on everything of this server, or put an address into url that leads past it", why))
	}
	if resp.StatusCode/100 != 2 {
		defer a.body.Close()
		return nil, c.refusal(r, resp, a)
	}
	return a, nil
}

func chunked(resp *http.Response) bool {
	return len(resp.TransferEncoding) > 0 && resp.TransferEncoding[0] == "chunked"
}

// wholeBody is the body of an answer: it unpacks, caps, counts, and turns an early end into an error of kind Broken.
type wholeBody struct {
	c      *Client
	r      *request
	ctx    context.Context
	src    *counting
	closer io.Closer
	packed bool
	zip    *gzip.Reader
	limit  int64
	read   int64
}

func (b *wholeBody) Read(p []byte) (int, error) {
	src := io.Reader(b.src)
	if b.packed {
		if b.zip == nil {
			z, err := gzip.NewReader(b.src)
			if err != nil {
				return 0, b.broken(err)
			}
			b.zip = z
		}
		src = b.zip
	}
	n, err := src.Read(p)
	b.read += int64(n)
	if b.read > b.limit {
		return 0, b.c.fail(b.r, mirror.TooLarge, 0, fmt.Errorf("answer larger than %d MiB", b.limit>>20))
	}
	if err == io.EOF {
		b.c.route.packets.passed(b.src.all)
	} else if err != nil {
		err = b.broken(err)
	}
	return n, err
}

func (b *wholeBody) broken(err error) error {
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	if t := net.Error(nil); errors.As(err, &t) && t.Timeout() {
		b.c.silent()
		err = errSilent
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("answer cut off")
	}
	return b.c.fail(b.r, mirror.Broken, 0, fmt.Errorf("%w after %d bytes", err, b.read))
}

func (b *wholeBody) Close() error { return b.closer.Close() }

// counting counts the bytes of an answer as they come.
type counting struct {
	io.Reader
	n   *atomic.Int64
	all int64
}

func (r *counting) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	r.all += int64(n)
	return n, err
}
