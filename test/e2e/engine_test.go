package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
	"influxmirror/test/servers"
)

const week = 7 * 24 * time.Hour

type pair struct {
	t        *testing.T
	src, dst *servers.Server
	ledger   *ledger.Ledger
	mirror   *engine.Mirror
}

func options(t *testing.T, side mirror.Side, s *servers.Server, bucket string) influx.Options {
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return influx.Options{Side: side, URL: u, Org: s.Org, Bucket: bucket, Token: func() (string, error) { return s.Token, nil }}
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, src: servers.Start(t, servers.V2), dst: servers.Start(t, servers.V2)}
	p.src.CreateBucket("b", 0, week)
	p.dst.CreateBucket("b", 0, week)
	p.restart(t.TempDir())
	return p
}

// restart is a new process of influxmirror.
func (p *pair) restart(dir string) {
	l, err := ledger.Open(dir)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { l.Close() })
	p.ledger = l
	open := func(ctx context.Context, key, source, target string) (engine.Ledger, error) { return l.Pair(ctx, key) }
	p.mirror = engine.New(engine.Settings{Name: "b", Wait: 10 * time.Second}, influx.New(options(p.t, mirror.SourceSide, p.src, "b")),
		influx.NewTarget(options(p.t, mirror.TargetSide, p.dst, "b")), open, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

func (p *pair) pass() engine.Report {
	p.t.Helper()
	r, err := p.mirror.Pass(context.Background(), engine.Goal{Insist: true})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Logf("pass: planned %v done %d left %d live %d written %d samples %d errors %v", r.Reasons, r.Done, r.Left, r.Live, r.Written, r.Samples, r.Errors)
	return r
}

func TestThinPath(t *testing.T) {
	p := newPair(t)
	var b strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&b, "cpu,host=h%d load=%d.5,n=%di %d\n", i%5, i, i, 1700000000000000000+int64(i)*60e9)
	}
	fmt.Fprintf(&b, "cpu,host=h load=1 %d\n", time.Now().Add(-time.Minute).UnixNano())
	p.src.Write("b", b.String())
	r := p.pass()
	if !r.Complete() {
		t.Errorf("%+v", r)
	}
	r = p.pass()
	if r.Written > 0 || r.Planned > 1 {
		t.Errorf("second pass: %+v", r)
	}
	p.src.Write("b", "cpu,host=h1 load=77.5 1700000000000000001\ncpu,host=h1 load=78.5 "+"1700000060000000000")
	work, _, err := p.mirror.Plan(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range work {
		t.Log(w.Reason, w.Chunk, w.Compare, w.Prove, w.Samples)
	}
	r = p.pass()
	if r.Written != 2 {
		t.Errorf("wrote %d lines, want 2", r.Written)
	}
	_ = plan.Late
	a, b2 := p.src.Query("b", "SELECT * FROM cpu"), p.dst.Query("b", "SELECT * FROM cpu")
	if a != b2 {
		t.Errorf("differ: %d and %d bytes", len(a), len(b2))
	}
}
