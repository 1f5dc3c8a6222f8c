package e2e

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"influxmirror/internal/engine"
)

// blocked is a Pass that has to be refused in words that hold all of want.
func (s *scene) blocked(want ...string) {
	s.t.Helper()
	before := written(s.t, s.dst, s.dstID)
	for range 2 {
		_, err := s.mirror.Pass(s.t.Context(), engine.Goal{Insist: true})
		if b := (*engine.Blocked)(nil); !errors.As(err, &b) {
			s.t.Fatalf("not blocked: %v", err)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				s.t.Errorf("%q does not say %q", err, w)
			}
		}
	}
	if n := written(s.t, s.dst, s.dstID) - before; n != 0 {
		s.t.Errorf("%d points were written although the mirror is blocked", n)
	}
}

// An emptied source is an alarm until its owner says that it is a fact; the target keeps everything either way.
func TestEmptiedSource(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	now := time.Now().UnixNano()
	var points []string
	for w := range 20 {
		for i := range 10 {
			points = append(points, point("old", []string{"h", "1"}, []string{"v", "1.5", "s", text("x")}, monday(now)-int64(w+2)*week+int64(i)*12*hour))
		}
	}
	load(s.src, s.bucket, points)
	s.start()
	s.settled()
	all := s.identical(always)
	if a, err := s.src.Do("POST", "/api/v2/delete?org="+s.src.Org+"&bucket="+s.srcID, `{"start":"1677-09-21T00:12:43.145224194Z","stop":"2262-04-11T23:47:16.854775806Z"}`, "Content-Type", "application/json"); err != nil || a.Status != 204 {
		t.Fatal(a.Status, string(a.Body), err)
	}
	s.blocked("is empty now", "influxmirror accept m")
	s.start()
	s.blocked("is empty now", "influxmirror accept m")
	if _, target := s.contents(always); !compare(all, target).None() {
		t.Error("the target lost something")
	}
	if err := s.mirror.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.settled()
	s.quiet()
	if _, target := s.contents(always); !compare(all, target).None() {
		t.Error("the target lost something")
	}
	s.proofs(1)
	// Life goes on, and the next time it is an alarm again.
	load(s.src, s.bucket, []string{point("old", nil, []string{"v", "1"}, monday(now)-3*week)})
	if r := s.settled(); r.Written != 1 {
		t.Errorf("wrote %d lines for a new one", r.Written)
	}
}

// A bucket that the old script filled is left alone until its owner decides.
func TestOldScript(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	base := monday(time.Now().UnixNano()) - 8*week
	load(s.src, s.bucket, []string{point("cryo", []string{"host", "a"}, []string{"n", "7i", "ok", "true"}, base)})
	load(s.dst, s.bucket, []string{point("cryo", []string{"host", "a", "_start", "2021-01-01", "_stop", "2026-01-01", "table", "0", "result", "_result"}, []string{"n", "7"}, base)})
	s.start()
	s.blocked("old script", "influxmirror accept m")
	if err := s.mirror.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := s.settled() // the boolean arrives, the integer is refused: a float is there
	if r.Totals.Excepted != 1 || r.Totals.Samples != 1 {
		t.Errorf("%+v", r.Totals)
	}
	s.quiet()
}

// Source and target given the wrong way round.
func TestSwappedEnds(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	load(s.dst, s.bucket, []string{point("m", nil, []string{"v", "7i"}, 1)})
	s.start()
	s.blocked("swapped", "influxmirror accept m")
}

// A token that may read the one bucket, and one that may read and write the other, are enough.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	history(s, 14)
	s.srcToken = s.src.CreateToken([]string{s.srcID}, nil)
	s.dstToken = s.dst.CreateToken([]string{s.dstID}, []string{s.dstID})
	s.start()
	s.settled()
	s.identical(always)
	s.quiet()
	s.verdict("IDENTICAL")
}

// A token without rights is an error that names the side; it is never an empty bucket.
func TestNoRights(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	load(s.src, s.bucket, []string{point("m", nil, []string{"v", "7i"}, 1)})
	other := s.src.CreateBucket(s.bucket+" other", 0, 0)
	for _, c := range []struct{ name, src, dst, want string }{
		{"source", s.src.CreateToken([]string{other}, nil), s.dst.Token, "source"},
		{"target hidden", s.src.Token, s.dst.CreateToken([]string{s.dst.BucketID}, nil), "target"},
		{"target read only", s.src.Token, s.dst.CreateToken([]string{s.dstID}, nil), "target"},
		{"target write only", s.src.Token, s.dst.CreateToken(nil, []string{s.dstID}), "target"},
		{"nonsense", "nonsense", s.dst.Token, "source"},
	} {
		s.srcToken, s.dstToken = c.src, c.dst
		s.start()
		r, err := s.mirror.Pass(t.Context(), engine.Goal{Insist: true})
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, report %+v", c.name, err, r)
		}
		if len(s.recorded()) > 0 {
			t.Errorf("%s: a proof without rights", c.name)
		}
	}
}

// A proxy that answers in the server's place refuses no sample for good.
func TestForeignAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, path string
		status     int
		kind, body string
	}{
		{"bad request", "/api/v2/write", 400, "text/html", "<html><title>400 Bad Request</title></html>"},
		{"unprocessable", "/api/v2/write", 422, "text/plain", "no"},
		{"portal", "/api/v2/write", 200, "text/html", "<html>Welcome</html>"},
		{"created", "/api/v2/write", 201, "application/json", `{"dropped":1}`},
		{"no content from elsewhere", "/query", 204, "", ""},
		{"empty", "/query", 200, "application/x-msgpack", ""},
		{"bad gateway", "/query", 502, "text/html", "<html>502</html>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, buckets{})
			load(s.src, s.bucket, []string{point("m", nil, []string{"v", "7i"}, 1)})
			to, err := url.Parse(s.dst.URL)
			if err != nil {
				t.Fatal(err)
			}
			pass := httputil.NewSingleHostReverseProxy(to)
			var foreign atomic.Int64
			var good atomic.Bool
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != c.path || good.Load() {
					pass.ServeHTTP(w, r)
					return
				}
				foreign.Add(1)
				if c.kind != "" {
					w.Header().Set("Content-Type", c.kind)
				}
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer front.Close()
			s.dstURL = front.URL
			s.start()
			r, err := s.mirror.Pass(t.Context(), engine.Goal{Insist: true})
			if err == nil && r.Complete() {
				t.Errorf("taken for an answer: %+v", r)
			}
			if foreign.Load() == 0 {
				t.Fatal("the proxy never answered")
			}
			if list := s.recorded(); len(list) > 0 {
				t.Errorf("proofs: %v", list)
			}
			good.Store(true)
			s.until(time.Minute, nil)
			s.identical(always)
			s.verdict("IDENTICAL")
		})
	}
}
