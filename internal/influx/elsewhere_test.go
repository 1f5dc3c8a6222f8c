package influx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/mirror"
)

// other is a server that nobody may ask anything.
type other struct {
	*httptest.Server
	mu    sync.Mutex
	asked []string
}

func newOther(t *testing.T) *other {
	o := &other{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.asked = append(o.asked, fmt.Sprint(r.Method, " ", r.URL, " ", r.Header))
	}))
	t.Cleanup(o.Close)
	return o
}

// TestNoAddressOfAServerIsFollowed: whatever request is made, an address that a server answers with is not asked for, nor is the login sent anywhere but to the
// host of the config: not after a redirect of any kind, not to the next page of a listing, not to what a header names, and not in plain after TLS (X6, N12).
func TestNoAddressOfAServerIsFollowed(t *testing.T) {
	chunk := mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}
	axis := mirror.SurveyRequest{Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}
	calls := map[string]func(ctx context.Context, c *Target) error{
		"probe":   func(ctx context.Context, c *Target) error { _, err := c.Probe(ctx); return err },
		"contact": func(ctx context.Context, c *Target) error { _, err := c.Contact(ctx); return err },
		"buckets": func(ctx context.Context, c *Target) error { _, err := c.Buckets(ctx); return err },
		"name": func(ctx context.Context, c *Target) error {
			_, err := c.BucketName(ctx, "0123456789abcdef")
			return err
		},
		"read": func(ctx context.Context, c *Target) error { _, err := c.Read(ctx, chunk, nil); return err },
		"survey": func(ctx context.Context, c *Target) error {
			return c.Survey(ctx, axis, func(mirror.Count) error { return nil })
		},
		"locate": func(ctx context.Context, c *Target) error {
			_, err := c.Locate(ctx, map[mirror.Window][]string{chunk.Window: {"m"}})
			return err
		},
		"tags":     func(ctx context.Context, c *Target) error { _, err := c.TagKeys(ctx); return err },
		"rights":   func(ctx context.Context, c *Target) error { _, err := c.CanWrite(ctx); return err },
		"may make": func(ctx context.Context, c *Target) error { _, err := c.MayCreate(ctx); return err },
		"make":     func(ctx context.Context, c *Target) error { return c.CreateBucket(ctx, 0, 0) },
		"append":   func(ctx context.Context, c *Target) error { return c.Append(ctx, []byte("m v=1 1\n")) },
		"write": func(ctx context.Context, c *Target) error {
			w, err := c.Open(ctx, chunk)
			if err == nil {
				if err = w.Write([]byte("m v=3 7\n")); err == nil {
					_, err = w.Close()
				}
			}
			return err
		},
	}
	for _, version := range []influxtest.Version{influxtest.V2, influxtest.V1} {
		for _, secure := range []bool{false, true} {
			for what, call := range calls {
				for i, status := range []int{301, 307, 302, 303, 308, 300, 305, 201, 202} {
					if secure && i > 1 {
						continue
					}
					t.Run(fmt.Sprintf("%s %s %d tls %v", version, what, status, secure), func(t *testing.T) {
						away := newOther(t)
						s := influxtest.NewServer(influxtest.Options{Version: version})
						defer s.Close()
						s.CreateBucket("b", 0, 0)
						s.Write("b", "m v=1 5\n")
						var mu sync.Mutex
						var turned []string
						turning := false
						inner := s.Handler()
						handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
							mu.Lock()
							on := turning
							if on {
								turned = append(turned, r.Method+" "+r.URL.Path)
							}
							mu.Unlock()
							if !on {
								inner.ServeHTTP(w, r)
								return
							}
							to := away.URL + r.URL.RequestURI()
							w.Header().Set("Location", to)
							w.Header().Set("Content-Location", to)
							w.Header().Set("Refresh", "0; url="+to)
							w.Header().Set("Link", "<"+to+`>; rel="next"`)
							w.Header().Set("Alt-Svc", `h2="`+strings.TrimPrefix(away.URL, "http://")+`"`)
							w.Header().Set("Content-Type", "application/json")
							w.WriteHeader(status)
							fmt.Fprintf(w, `{"links":{"next":%q,"self":%[1]q},"location":%[1]q,"url":%[1]q}`, to)
						})
						front := httptest.NewUnstartedServer(handler)
						front.Start()
						o := Options{Side: mirror.TargetSide, Org: s.Org, Bucket: "b", Login: func() (Login, error) {
							return Login{Token: s.Token, User: map[bool]string{true: "u"}[s.Token == ""], Password: "secret"}, nil
						}}
						if secure {
							front.Close()
							front = httptest.NewTLSServer(handler)
							roots := x509.NewCertPool()
							roots.AddCert(front.Certificate())
							o.TLS = fixed(&tls.Config{RootCAs: roots})
						}
						defer front.Close()
						u, err := url.Parse(front.URL)
						if err != nil {
							t.Fatal(err)
						}
						o.URL = u
						c := NewTarget(o)
						defer c.Close()
						ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
						defer cancel()
						if _, err := c.Probe(ctx); err != nil {
							t.Fatal(err)
						}
						mu.Lock()
						turning = true
						mu.Unlock()
						err = call(ctx, c)
						mu.Lock()
						defer mu.Unlock()
						if len(turned) == 0 && !(version == influxtest.V1 && what == "name") {
							t.Errorf("void: nothing was asked: %v", err)
						}
						away.mu.Lock()
						defer away.mu.Unlock()
						if len(away.asked) > 0 {
							t.Errorf("another was asked: %v", away.asked)
						}
					})
				}
			}
		}
	}
}

// TestPagesAreAskedByNumber: a listing of several pages is asked for page by page at the host of the config, whatever it says where the next one is.
func TestPagesAreAskedByNumber(t *testing.T) {
	away := newOther(t)
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	for i := range 250 {
		s.CreateBucket(fmt.Sprint("b", i), 0, 0)
	}
	pages := 0
	inner := s.Handler()
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v2/buckets" {
			inner.ServeHTTP(w, r)
			return
		}
		pages++
		rec := httptest.NewRecorder()
		inner.ServeHTTP(rec, r)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Link", "<"+away.URL+`/api/v2/buckets?after=x>; rel="next"`)
		_, _ = w.Write([]byte(`{"links":{"next":"` + away.URL + `/api/v2/buckets"},` + strings.TrimPrefix(strings.TrimSpace(rec.Body.String()), "{")))
	}))
	defer front.Close()
	u, err := url.Parse(front.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Side: mirror.SourceSide, URL: u, Org: s.Org, Bucket: "b1", Login: func() (Login, error) { return Login{Token: s.Token}, nil }})
	defer c.Close()
	all, err := c.Buckets(t.Context())
	if err != nil || len(all) < 250 || pages < 3 {
		t.Errorf("%d buckets of %d pages: %v", len(all), pages, err)
	}
	if len(away.asked) > 0 {
		t.Errorf("another was asked: %v", away.asked)
	}
}
