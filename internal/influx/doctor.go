package influx

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"

	"influxmirror/internal/mirror"
)

// Contact is how a server was reached. After an error it holds what was found until then.
type Contact struct {
	Addresses []string             // of the host's name; none where it is an address itself, or a proxy looks it up
	Remote    string               // the address that answered: the server's, or a proxy's
	Dial      time.Duration        // until it was connected
	TLS       *tls.ConnectionState // nil: plain
	RoundTrip time.Duration        // median of three pings on an open connection
	Product   string               // as in a Probe
	Version   string
	Offset    time.Duration // the server's clock less this machine's, give or take half a second; 0 where the server does not tell
}

// pings is how many round trips Contact takes the median of.
const pings = 3

// Contact reaches the server as every other method does, and tells how. It asks for no bucket.
func (c *Client) Contact(ctx context.Context) (Contact, error) {
	c.http.CloseIdleConnections()
	seen := &witness{begun: time.Now()}
	a, err := c.do(seen.watch(ctx), &request{op: "ping", method: http.MethodGet, path: "/ping"})
	out := seen.contact()
	if err != nil {
		return out, err
	}
	a.body.Close()
	var p mirror.Probe
	err = c.identify(ctx, &p)
	if out.Product, out.Version = p.Product, p.Version; err != nil {
		return out, err
	}
	type ping struct{ took, offset time.Duration }
	var all []ping
	for range pings {
		start := time.Now()
		if err := c.ping(ctx, &p); err != nil {
			return out, err
		}
		took := time.Since(start)
		// A Date is cut to the second, and was written about half way.
		all = append(all, ping{took, time.Unix(0, p.Date).Add(time.Second / 2).Sub(start.Add(took / 2))})
	}
	slices.SortFunc(all, func(a, b ping) int { return int(a.took - b.took) })
	out.RoundTrip, out.Offset = all[pings/2].took, all[0].offset
	if p.Date == 0 {
		out.Offset = 0
	}
	return out, nil
}

// witness notes how a connection comes about; its callbacks run on the transport's goroutines, some of them after the request.
type witness struct {
	begun time.Time

	mu  sync.Mutex
	out Contact // guarded by mu
}

func (w *witness) contact() Contact {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out
}

func (w *witness) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone: func(i httptrace.DNSDoneInfo) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.out.Addresses = nil
			for _, a := range i.Addrs {
				w.out.Addresses = append(w.out.Addresses, a.String())
			}
		},
		ConnectDone: func(_, address string, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if err == nil && w.out.Remote == "" {
				w.out.Remote, w.out.Dial = address, time.Since(w.begun)
			}
		},
		TLSHandshakeDone: func(s tls.ConnectionState, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if err == nil {
				w.out.TLS = &s
			}
		},
	})
}

// MayCreate reports whether this login may make buckets, as far as can be known without making one. No is certain. Yes is certain on 1.x; on
// 2.x it says only that the token sees the organisation, without which it could not.
func (c *Client) MayCreate(ctx context.Context) (bool, error) {
	_, old, err := c.whichServer(ctx)
	if err != nil {
		return false, err
	}
	if old {
		_, err = c.ask(ctx, "ask whether databases may be made", "SHOW USERS") // for admins only
	} else {
		_, err = c.orgID(ctx)
	}
	if mirror.KindOf(err) == mirror.Rights {
		return false, nil
	}
	return err == nil, err
}
