// Package e2e drives influxmirror against real InfluxDB servers, in this process and as a process of its own, and judges the result by
// a comparison of its own.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
	"influxmirror/test/servers"
)

var shared struct {
	once     sync.Once
	dir      string
	src, dst *servers.Server
	err      error
	ctx      context.Context
}

func TestMain(m *testing.M) {
	ctx, cancel := context.WithCancel(context.Background())
	shared.ctx = ctx
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given { // most of these tests wait most of the time
		_ = flag.Set("test.parallel", "10")
	}
	code := m.Run()
	cancel()
	for _, s := range []*servers.Server{shared.src, shared.dst} {
		if s != nil {
			s.Kill()
		}
	}
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
	os.Exit(code)
}

// sharedServers runs one pair of servers for all tests that neither stop nor restart them.
func sharedServers(t *testing.T) (src, dst *servers.Server) {
	t.Helper()
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "influxmirror-e2e-"); shared.err != nil {
			return
		}
		if shared.src, shared.err = servers.Run(shared.ctx, servers.V2, shared.dir+"/source"); shared.err == nil {
			shared.dst, shared.err = servers.Run(shared.ctx, servers.V2, shared.dir+"/target")
		}
	})
	if shared.err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(shared.err)
		}
		t.Skip(shared.err)
	}
	return shared.src, shared.dst
}

// A scene is a pair of buckets of one name on two servers, and a Mirror between them.
type scene struct {
	t            *testing.T
	src, dst     *servers.Server
	bucket       string
	srcID, dstID string
	// What a test may change before start.
	srcURL, dstURL     string // through a proxy
	srcToken, dstToken string
	compress           bool
	settings           engine.Settings

	dir     string
	ledger  *ledger.Ledger
	mirror  *engine.Mirror
	pairKey string
}

// scenes numbers the buckets: a test may run several times on the shared servers.
var scenes atomic.Int64

type buckets struct{ sourceRetention, targetRetention, group time.Duration }

// newScene makes the buckets on the shared servers, named after the test.
func newScene(t *testing.T, b buckets) *scene {
	t.Helper()
	src, dst := sharedServers(t)
	return sceneOn(t, src, dst, b)
}

func sceneOn(t *testing.T, src, dst *servers.Server, b buckets) *scene {
	t.Helper()
	s := &scene{t: t, src: src, dst: dst, bucket: fmt.Sprintf("%s %d", strings.ReplaceAll(t.Name(), "/", " "), scenes.Add(1)), dir: t.TempDir(),
		srcURL: src.URL, dstURL: dst.URL, srcToken: src.Token, dstToken: dst.Token, settings: engine.Settings{Name: "m", Wait: 10 * time.Second}}
	if b.group == 0 {
		b.group = 7 * 24 * time.Hour
	}
	s.srcID = src.CreateBucket(s.bucket, b.sourceRetention, b.group)
	s.dstID = dst.CreateBucket(s.bucket, b.targetRetention, b.group)
	t.Cleanup(s.stop)
	return s
}

func options(t *testing.T, side mirror.Side, at, org, bucket, token string) influx.Options {
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	return influx.Options{Side: side, URL: u, Org: org, Bucket: bucket, Login: func() (influx.Login, error) { return influx.Login{Token: token}, nil }}
}

// start is a new process of influxmirror: nothing but the ledger is remembered.
func (s *scene) start() {
	s.t.Helper()
	s.stop()
	l, err := ledger.Open(s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	s.ledger = l
	open := func(ctx context.Context, key, _, _ string) (engine.Ledger, error) {
		s.pairKey = key
		return l.Pair(ctx, key)
	}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(s.t.Output(), nil))
	}
	source, target := options(s.t, mirror.SourceSide, s.srcURL, s.src.Org, s.bucket, s.srcToken), options(s.t, mirror.TargetSide, s.dstURL, s.dst.Org, s.bucket, s.dstToken)
	source.Compress, target.Compress = s.compress, s.compress
	s.mirror = engine.New(s.settings, influx.New(source), influx.NewTarget(target), open, log)
	s.mirror.Observe = func(e engine.Event) {
		if e.Kind == "retry" || (e.Kind == "transfer" && (e.Written > 0 || e.Err != nil)) {
			s.t.Logf("  %s %s %q %v compare %v prove %v: samples %d, written %d, %v", e.Kind, e.Transfer.Reason, e.Transfer.Chunk.Measurement, e.Transfer.Chunk.Window,
				e.Transfer.Compare, e.Transfer.Prove, e.Samples, e.Written, e.Err)
		}
	}
}

func (s *scene) stop() {
	if s.ledger != nil {
		s.ledger.Close()
		s.ledger = nil
	}
}

// forget deletes the ledger and starts anew.
func (s *scene) forget() {
	s.t.Helper()
	s.stop()
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Fatal(err)
	}
	s.start()
}

// pass is one Pass that has to end without an error.
func (s *scene) pass() engine.Report {
	s.t.Helper()
	began := time.Now()
	r, err := s.mirror.Pass(context.Background(), engine.Goal{Insist: true})
	if err != nil {
		s.t.Fatalf("pass: %v", err)
	}
	s.t.Logf("pass: %v planned %v done %d left %d live %d written %d samples %d errors %v", time.Since(began).Round(time.Millisecond), r.Reasons, r.Done, r.Left, r.Live, r.Written, r.Samples, r.Errors)
	return r
}

// settled is a Pass that proves everything.
func (s *scene) settled() engine.Report {
	s.t.Helper()
	r := s.pass()
	if !r.Complete() {
		s.t.Errorf("not complete: left %d, live %d, errors %v", r.Left, r.Live, r.Errors)
	}
	return r
}

// quiet is a Pass that finds nothing to write. The clock may close Cells of the tail meanwhile, which are proven then.
func (s *scene) quiet() engine.Report {
	s.t.Helper()
	r := s.settled()
	for why, n := range r.Reasons {
		if why != plan.Tail && why != plan.Open {
			s.t.Errorf("a pass with nothing new planned %d × %s", n, why)
		}
	}
	if r.Written != 0 {
		s.t.Errorf("a pass with nothing new wrote %d lines", r.Written)
	}
	return r
}

// verify compares everything again, through the program.
func (s *scene) verify() engine.Verdict {
	s.t.Helper()
	began := time.Now()
	v, err := s.mirror.Verify(context.Background(), true)
	if err != nil {
		s.t.Fatalf("verify: %v", err)
	}
	word, code := v.Result()
	s.t.Logf("verify: %v %s (%d) %v", time.Since(began).Round(time.Millisecond), word, code, v.Rows)
	if !v.AddsUp() {
		s.t.Errorf("the table does not add up: rows %d, union %d", v.Sum().Samples, v.Union)
	}
	return v
}

func (s *scene) verdict(want string) engine.Verdict {
	s.t.Helper()
	v := s.verify()
	if word, _ := v.Result(); word != want {
		s.t.Errorf("verify says %q, want %q; %v", word, want, v.Differences[:min(5, len(v.Differences))])
	}
	return v
}

// written is how many points the server took into the bucket since it started.
func written(t testing.TB, s *servers.Server, id string) int64 {
	t.Helper()
	n, err := s.Written(id)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
