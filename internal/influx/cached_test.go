package influx

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/mirror"
)

// TestCachedAnswers: an answer that a cache had ready is no answer of the server, to a read or to a write; one that only passed a cache is (S13).
func TestCachedAnswers(t *testing.T) {
	for said, blocked := range map[string]bool{
		"Age: 1": true, "Age: 86400": true, "Age: 0": false, "Age: never": false, "Age: -5": false,
		"X-Cache: HIT": true, "X-Cache: Hit from cloudfront": true, "X-Cache: HIT, MISS": true, "X-Cache: HIT from proxy.lab": true, "X-Cache: TCP_MEM_HIT": true,
		"X-Cache: MISS": false, "X-Cache: Miss from cloudfront": false, "X-Cache: RefreshHit from cloudfront": false, "X-Cache: TCP_REFRESH_HIT": false, "X-Cache: white": false, "X-Cache: ": false,
		"X-Cache-Status: HIT": true, "X-Cache-Status: STALE": true, "X-Cache-Status: BYPASS": false,
		"Cache-Status: lab; hit; ttl=30": true, "Cache-Status: lab; fwd=miss, \"far\";hit": true, "Cache-Status: lab; fwd=uri-miss; stored": false,
		"Cache-Control: max-age=60": false,
	} {
		t.Run(said, func(t *testing.T) {
			s := influxtest.NewServer(influxtest.Options{})
			defer s.Close()
			s.CreateBucket("b", 0, 0)
			s.Write("b", "m v=1 5\nm v=2 6")
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			end := NewTarget(Options{Side: mirror.TargetSide, URL: u, Org: s.Org, Bucket: "b", Login: func() (Login, error) { return Login{Token: s.Token}, nil }})
			defer end.Close()
			ctx := context.Background()
			if _, err := end.Probe(ctx); err != nil {
				t.Fatal(err)
			}
			name, value, _ := strings.Cut(said, ": ")
			f := s.Fault(nil, influxtest.Rewrite(func(status int, h http.Header, body []byte) (int, []byte) {
				h.Set(name, value)
				return status, body
			}))
			chunk := mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}
			_, reading := end.Read(ctx, chunk, nil)
			w, err := end.Open(ctx, chunk)
			if err != nil {
				t.Fatal(err)
			}
			writing := w.Write([]byte("m v=3 7\n"))
			if writing == nil {
				_, writing = w.Close()
			}
			_, probing := end.Probe(ctx)
			if f.Fired() < 3 {
				t.Errorf("void: %d answers were changed", f.Fired())
			}
			for what, err := range map[string]error{"read": reading, "write": writing, "probe": probing} {
				switch {
				case !blocked && err != nil:
					t.Errorf("%s: %v", what, err)
				case blocked && (mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), "a cache on the way") || !strings.Contains(err.Error(), name)):
					t.Errorf("%s: taken for an answer: %v", what, err)
				}
			}
		})
	}
	if why := cached(http.Header{"Age": {"2"}}, 3*time.Second); why != "" {
		t.Errorf("an answer that was made while it was waited for: %s", why)
	}
}

// TestCachesAreAskedNotToAnswer: each request says that nobody but the server is meant (S13).
func TestCachesAreAskedNotToAnswer(t *testing.T) {
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	s.CreateBucket("b", 0, 0)
	s.Write("b", "m v=1 5")
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	s.Fault(func(r *http.Request) bool {
		if asked++; r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s %s does not ask for no-cache", r.Method, r.URL.Path)
		}
		return false
	}, influxtest.Refuse())
	end := New(Options{Side: mirror.SourceSide, URL: u, Org: s.Org, Bucket: "b", Login: func() (Login, error) { return Login{Token: s.Token}, nil }})
	defer end.Close()
	if _, err := end.Probe(context.Background()); err != nil || asked < 3 {
		t.Errorf("%d requests, %v", asked, err)
	}
}
