package process

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// mine counts the calls that a Mirror makes and has a bug at one of them. Every method that could be called is a place for it.
type mine struct {
	mu sync.Mutex // guards all below
	n  int
	at int // 0: nowhere
}

// canary stands for what must not be told.
const canary = "c4n4ry-0f-a-t0k3n"

func (m *mine) step() {
	m.mu.Lock()
	m.n++
	hit := m.n == m.at
	m.mu.Unlock()
	if hit {
		panic("the token is " + canary)
	}
}

type minedSource struct {
	*influx.Client
	*mine
}

func (s minedSource) Probe(ctx context.Context) (mirror.Probe, error) {
	s.step()
	return s.Client.Probe(ctx)
}

func (s minedSource) Survey(ctx context.Context, r mirror.SurveyRequest, fn func(mirror.Count) error) error {
	s.step()
	return s.Client.Survey(ctx, r, func(c mirror.Count) error { s.step(); return fn(c) })
}

func (s minedSource) Read(ctx context.Context, c mirror.Chunk, sink func([]byte) error) (mirror.Reading, error) {
	s.step()
	if sink == nil {
		return s.Client.Read(ctx, c, nil)
	}
	return s.Client.Read(ctx, c, func(lines []byte) error { s.step(); return sink(lines) })
}

type minedTarget struct {
	minedSource
	target *influx.Target
}

func (t minedTarget) Open(ctx context.Context, c mirror.Chunk) (engine.Writer, error) {
	t.step()
	w, err := t.target.Open(ctx, c)
	return minedWriter{w, t.mine}, err
}

type minedWriter struct {
	engine.Writer
	*mine
}

func (w minedWriter) Write(lines []byte) error { w.step(); return w.Writer.Write(lines) }

func (w minedWriter) Close() (mirror.Refusals, error) {
	w.step()
	defer w.step()
	return w.Writer.Close()
}

type minedLedger struct {
	*ledger.Pair
	*mine
}

func (l minedLedger) Summaries(ctx context.Context) ([]mirror.Summary, error) {
	l.step()
	return l.Pair.Summaries(ctx)
}

func (l minedLedger) Group(ctx context.Context, m string, w mirror.Window) (mirror.Group, error) {
	l.step()
	return l.Pair.Group(ctx, m, w)
}

func (l minedLedger) Record(ctx context.Context, g mirror.Group) error {
	l.step()
	defer l.step()
	return l.Pair.Record(ctx, g)
}

func (l minedLedger) SetState(ctx context.Context, name string, v any) error {
	l.step()
	return l.Pair.SetState(ctx, name, v)
}

// mined runs a Mirror of the place in this process until it is in step or has met its bug, and returns what it said.
func (p *place) mined(m *mine) (r engine.Report, said string, err error) {
	p.t.Helper()
	l, err := ledger.Open(p.state)
	if err != nil {
		p.t.Fatal(err)
	}
	defer l.Close()
	options := func(side mirror.Side, at, token string) influx.Options {
		u, _ := url.Parse(at)
		return influx.Options{Side: side, URL: u, Org: "lab", Bucket: bucket, Login: func() (influx.Login, error) { return influx.Login{Token: token}, nil }}
	}
	source, target := influx.New(options(mirror.SourceSide, p.taps[0].server.URL, p.src.Token)), influx.NewTarget(options(mirror.TargetSide, p.taps[1].server.URL, p.dst.Token))
	defer source.Close()
	defer target.Close()
	open := func(ctx context.Context, key, from, to string) (engine.Ledger, error) {
		m.step()
		pair, err := l.PairFrom(ctx, key, from, to)
		if err == nil {
			err = pair.SetName(ctx, "lab", "station:lab", "home:lab")
		}
		return minedLedger{pair, m}, err
	}
	var log strings.Builder
	run := engine.New(engine.Settings{Name: "lab", Wait: time.Second}, minedSource{source, m}, minedTarget{minedSource{target.Client, m}, target}, open, slog.New(slog.NewTextHandler(&log, nil)))
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	run.Observe = func(e engine.Event) {
		if e.Kind == "pass" {
			if r = *e.Report; e.Err == nil && r.Complete() {
				cancel()
			}
		}
	}
	err = run.Run(ctx)
	if ctx.Err() == nil {
		cancel()
	} else if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		p.t.Errorf("it hangs behind a bug at call %d of %d:\n%s", m.at, m.n, log.String())
	}
	return r, log.String(), err
}

// P4: a bug that panics, at any call of a Mirror, blocks that Mirror. It says where and no value, what is claimed is so, and the next start goes on.
func TestBug(t *testing.T) {
	all := mine{}
	p := newPlace(t, 0)
	if _, _, err := p.mined(&all); err != nil {
		t.Fatal(err)
	}
	p.settles()
	behind := mine{}
	p.edit()
	if _, _, err := p.mined(&behind); err != nil {
		t.Fatal(err)
	}
	p.settles()
	met := 0
	for n := range *faults {
		p := newPlace(t, uint64(4000+n))
		of := all.n
		if n%2 == 1 {
			p.want(0, "sync")
			p.edit()
			of = behind.n
		}
		m := mine{at: 1 + p.rnd.IntN(of)}
		_, said, err := p.mined(&m)
		p.quiet()
		if m.n < m.at {
			continue
		}
		met++
		b, c := (*engine.Blocked)(nil), (*mirror.Panic)(nil)
		if !errors.As(err, &b) || !errors.As(err, &c) || len(c.Stack) < 2 || !strings.HasSuffix(err.Error(), "influxmirror sync lab") {
			t.Errorf("call %d: %v", m.at, err)
		}
		if !strings.Contains(said, "report it") || !strings.Contains(said, ".go:") {
			t.Errorf("call %d: it says only:\n%s", m.at, said)
		}
		if strings.Contains(said+err.Error(), canary) {
			t.Errorf("call %d: it tells a secret:\n%s%v", m.at, said, err)
		}
		if n == 0 {
			t.Logf("%v\n%s", err, said)
		}
		p.untrue(p.changed, p.claims())
		p.honest()
		p.settles()
		if t.Failed() {
			t.Fatalf("bug at call %d", m.at)
		}
	}
	t.Logf("met %d bugs among %d calls of a first copy and %d behind changes", met, all.n, behind.n)
	if met*2 < *faults {
		t.Errorf("only %d bugs were met", met)
	}
}
