package verifier

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
)

var (
	howMany = flag.Int("edits", 200, "how many edits are made at the servers in memory; a quarter as many at InfluxDB 1.x, a tenth at a real server")
	seed    = flag.Uint64("seed", 1, "what the edits are drawn with")
)

// pair is a mirror of two ends.
type pair struct {
	*engine.Mirror
	t        *testing.T
	src, dst end
}

func newPair(t *testing.T, src, dst end) *pair {
	t.Helper()
	return newPairIn(t, t.TempDir(), src, dst)
}

// newPairIn keeps its ledger in dir.
func newPairIn(t *testing.T, dir string, src, dst end) *pair {
	t.Helper()
	l, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &pair{t: t, src: src, dst: dst}
	p.Mirror = p.like(func(ctx context.Context, key, source, target string) (engine.Ledger, error) {
		return l.PairFrom(ctx, key, source, target)
	})
	return p
}

// like is a Mirror of the same ends with another ledger.
func (p *pair) like(open func(ctx context.Context, key, source, target string) (engine.Ledger, error)) *engine.Mirror {
	p.t.Helper()
	options := func(side mirror.Side, e end) influx.Options {
		u, err := url.Parse(e.url())
		if err != nil {
			p.t.Fatal(err)
		}
		org, token := e.login()
		return influx.Options{Side: side, URL: u, Org: org, Bucket: bucket, Login: func() (influx.Login, error) { return influx.Login{Token: token}, nil }}
	}
	source, target := influx.New(options(mirror.SourceSide, p.src)), influx.NewTarget(options(mirror.TargetSide, p.dst))
	p.t.Cleanup(source.Close)
	p.t.Cleanup(target.Close)
	return engine.New(engine.Settings{Name: "m", Wait: 10 * time.Second}, source, target, open, slog.New(slog.DiscardHandler))
}

// sync proves everything.
func (p *pair) sync() {
	p.t.Helper()
	r, err := p.Pass(p.t.Context(), engine.Goal{Insist: true})
	if err == nil && !r.Complete() {
		err = fmt.Errorf("left %d, live %d, %v", r.Left, r.Live, r.Errors)
	}
	if err != nil {
		p.t.Fatalf("pass: %v", err)
	}
}

// table is what verify says: which samples stand where.
type table struct {
	samples  map[engine.Row]uint64
	windows  map[engine.Row]int
	places   map[engine.Row][]string
	named    []string // the samples that differ, both sides
	sum      uint64
	code     int
	complete bool // every window of a Row is named
}

// expected works out what verify has to say of two ends.
func expected(src, dst oracle.Contents) table {
	out := table{samples: map[engine.Row]uint64{}, windows: map[engine.Row]int{}, places: map[engine.Row][]string{}, complete: true}
	worst := map[string]engine.Row{}
	stands := func(p oracle.Place, r engine.Row) {
		out.samples[r]++
		out.sum++
		if c := where(p.Measurement, slot(p.Time), slot(p.Time)+cell); worst[c] != engine.Different && r != engine.Identical || worst[c] == "" {
			worst[c] = r
		}
	}
	for p, v := range src {
		w, there := dst[p]
		if v == w {
			stands(p, engine.Identical)
			continue
		}
		stands(p, engine.Different)
		other := ""
		if there {
			other = line(p, w)
		}
		out.named = append(out.named, line(p, v)+" / "+other)
	}
	for p := range dst {
		if _, there := src[p]; !there {
			stands(p, engine.Kept)
		}
	}
	for c, r := range worst {
		if out.windows[r]++; r != engine.Identical {
			out.places[r] = append(out.places[r], c)
		}
	}
	for _, l := range out.places {
		slices.Sort(l)
	}
	slices.Sort(out.named)
	if out.samples[engine.Different] > 0 {
		out.code = 4
	}
	return out
}

// said is what verify says.
func said(v engine.Verdict) table {
	out := table{samples: map[engine.Row]uint64{}, windows: map[engine.Row]int{}, places: map[engine.Row][]string{}, sum: v.Sum().Samples, complete: true}
	for r, t := range v.Rows {
		if t.Samples > 0 {
			out.samples[r] = t.Samples
		}
		if t.Windows > 0 {
			out.windows[r] = t.Windows
		}
		out.complete = out.complete && (r == engine.Identical || len(t.Places) == t.Windows)
		for _, p := range t.Places {
			out.places[r] = append(out.places[r], where(p.Measurement, p.Window.Start, p.Window.Stop))
		}
		slices.Sort(out.places[r])
	}
	for _, d := range v.Differences {
		out.named = append(out.named, d.Source+" / "+d.Target)
	}
	slices.Sort(out.named)
	_, out.code = v.Result()
	return out
}

func where(measurement string, start, stop int64) string {
	return fmt.Sprintf("%s %d %d", measurement, start, stop)
}

// wrong says what of a table is not as it should be, "" if nothing is.
func (got table) wrong(want table) string {
	switch {
	case !maps.Equal(got.samples, want.samples):
		return fmt.Sprintf("samples %v, want %v", got.samples, want.samples)
	case got.sum != want.sum:
		return fmt.Sprintf("sum %d, want %d", got.sum, want.sum)
	case !maps.Equal(got.windows, want.windows):
		return fmt.Sprintf("windows %v, want %v", got.windows, want.windows)
	case !got.complete || !maps.EqualFunc(got.places, want.places, slices.Equal):
		return fmt.Sprintf("places %v, want %v", got.places, want.places)
	case !slices.Equal(got.named, want.named):
		return fmt.Sprintf("named %q, want %q", got.named, want.named)
	case got.code != want.code:
		return fmt.Sprintf("exit %d, want %d", got.code, want.code)
	}
	return ""
}

// TestEdits: whatever single thing is changed on a target that is fully proven, verify --full finds it, says in which row and in which Cell, and names
// nothing else.
func TestEdits(t *testing.T) {
	for _, c := range []struct {
		name  string
		edits int
		ends  func(t *testing.T) (src, dst end)
	}{
		{"2.x in memory", *howMany, func(t *testing.T) (src, dst end) {
			return newInMemory(t, influxtest.V2), newInMemory(t, influxtest.V2)
		}},
		{"1.x in memory", *howMany / 4, func(t *testing.T) (src, dst end) {
			return newInMemory(t, influxtest.V2), newInMemory(t, influxtest.V1)
		}},
		{"InfluxDB 2.7.12", *howMany / 10, func(t *testing.T) (src, dst end) {
			return newInMemory(t, influxtest.V2), newReal(t)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			src, dst := c.ends(t)
			r := rand.New(rand.NewPCG(*seed, 1))
			laid := lay(r, dataset.Monday(time.Now().UnixNano())-10*dataset.Week)
			put(t, src, nil, laid)
			p := newPair(t, src, dst)
			p.sync()
			made := map[string]int{}
			for i := range c.edits {
				p.edit(r, edits[i%len(edits)], made)
				if t.Failed() {
					t.Fatalf("edit %d of seed %d", i, *seed)
				}
			}
			if len(made) != min(len(edits), c.edits) {
				t.Errorf("void: %d kinds of edits were made, of %d: %v", len(made), len(edits), made)
			}
		})
	}
}

// edit makes one edit, sees whether it is found, and undoes it or lets the mirror repair it.
func (p *pair) edit(r *rand.Rand, e edit, made map[string]int) {
	p.t.Helper()
	laid := p.src.contents(p.t)
	changed := laid.Clone()
	for try := 0; ; try++ {
		if e.do(r, changed) {
			break
		}
		if changed = laid.Clone(); try == 100 {
			p.t.Fatalf("%s: void: there is no place for it", e.name)
		}
	}
	put(p.t, p.dst, laid, changed)
	if now := p.dst.contents(p.t); !maps.Equal(now, changed) || maps.Equal(now, laid) {
		p.t.Fatalf("%s: void: the target does not hold what it was given", e.name)
	}
	made[e.name]++
	v, err := p.Verify(p.t.Context(), true)
	if err != nil {
		p.t.Fatalf("%s: verify: %v", e.name, err)
	}
	if wrong := said(v).wrong(expected(laid, changed)); wrong != "" {
		p.t.Errorf("%s: %s", e.name, wrong)
	}
	if !v.AddsUp() {
		p.t.Errorf("%s: the table does not add up: %d, %d", e.name, v.Sum().Samples, v.Union)
	}
	if e.retyped || r.IntN(2) == 0 {
		put(p.t, p.dst, changed, laid)
		p.sync()
	} else {
		p.sync() // the mirror repairs what it can, and keeps what is only on the target
		held := p.dst.contents(p.t)
		for q, v := range laid {
			if held[q] != v {
				p.t.Errorf("%s: not repaired: %v is %s, at the source %s", e.name, q, oracle.ShowValue(held[q]), oracle.ShowValue(v))
			}
		}
		if !maps.Equal(held, laid) {
			put(p.t, p.dst, held, laid)
			p.sync()
		}
	}
	if now := p.dst.contents(p.t); !maps.Equal(now, laid) {
		oracle.Compare(laid, now).Report(p.t, laid, now)
	}
}
