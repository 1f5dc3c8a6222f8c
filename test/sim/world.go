package sim

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

const (
	bucket = "b"
	week   = 7 * 24 * time.Hour
	margin = 10 * time.Second
)

// world is two servers, a link, an instrument that writes, and one influxmirror.
type world struct {
	rnd       *rand.Rand
	dir       string
	src, dst  *influxtest.Server
	srcPipe   *pipe
	dstPipe   *pipe
	ledger    *ledger.Ledger
	pair      *ledger.Pair
	mirror    *engine.Mirror
	clients   []interface{ Close() }
	faults    []*influxtest.Injected
	fired     map[string]int
	log       []string
	restarted bool // the source was
	settings  engine.Settings

	mu     sync.Mutex // guards chance, which requests draw from
	chance *rand.Rand
}

// draw is for requests: what they draw, and in which order, leaves the story as it is.
func (w *world) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chance == nil {
		w.chance = rand.New(rand.NewPCG(2, 2))
	}
	return w.chance.IntN(n)
}

func newWorld(seed uint64, dir string) (*world, error) {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), dir: dir, srcPipe: newPipe(), dstPipe: newPipe(), settings: engine.Settings{Name: "m", Wait: margin}}
	// One history in eight is between servers of 1.x, one in four has one at one end.
	lines := [...][2]influxtest.Version{2: {influxtest.V1, influxtest.V2}, 5: {influxtest.V2, influxtest.V1}, 7: {influxtest.V1, influxtest.V1}}[seed%8]
	w.src = influxtest.NewServer(influxtest.Options{Listener: w.srcPipe, Seed: seed*2 + 1, Version: lines[0]})
	w.dst = influxtest.NewServer(influxtest.Options{Listener: w.dstPipe, Seed: seed*2 + 2, Version: lines[1]})
	shard := []time.Duration{week, 24 * time.Hour}[w.rnd.IntN(2)]
	w.src.CreateBucket(bucket, 0, shard)
	w.dst.CreateBucket(bucket, 0, shard)
	return w, w.start()
}

func (w *world) close() {
	w.stop()
	w.src.Close()
	w.dst.Close()
}

// start is a new process.
func (w *world) start() error {
	l, err := ledger.Open(w.dir)
	if err != nil {
		return err
	}
	w.ledger = l
	options := func(side mirror.Side, s *influxtest.Server, p *pipe) influx.Options {
		u, _ := url.Parse(s.URL)
		u.Host = string(side) + ":8086" // what a bucket of 1.x is known by; the pipe does not look at it
		return influx.Options{Side: side, URL: u, Org: s.Org, Bucket: bucket, Dial: p.dial, Login: func() (influx.Login, error) { return influx.Login{Token: s.Token}, nil }}
	}
	source := influx.New(options(mirror.SourceSide, w.src, w.srcPipe))
	target := influx.NewTarget(options(mirror.TargetSide, w.dst, w.dstPipe))
	w.clients = []interface{ Close() }{source, target.Client}
	open := func(ctx context.Context, key, _, _ string) (engine.Ledger, error) {
		p, err := l.Pair(ctx, key)
		w.pair = p
		return p, err
	}
	w.mirror = engine.New(w.settings, source, target, open, slog.New(slog.DiscardHandler))
	return nil
}

// stop is the end of a process, however it came.
func (w *world) stop() {
	for _, c := range w.clients {
		c.Close()
	}
	w.ledger.Close()
	w.pair = nil
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, time.Now().UTC().Format("01-02 15:04:05 ")+fmt.Sprintf(format, args...))
}

var weeks = mirror.NewGrid(int64(week))

// write puts a few samples into the source: now, late, long ago, ahead, or over what is there.
func (w *world) write() {
	n := 1 + w.rnd.IntN(20)
	var b strings.Builder
	kind := []string{"live", "live", "live", "late", "old", "future", "overwrite", "edge"}[w.rnd.IntN(8)]
	var have []influxtest.Sample
	if kind == "overwrite" {
		if have = w.src.Dump(bucket); len(have) == 0 {
			kind = "live"
		}
	}
	now := time.Now().UnixNano()
	for i := range n {
		t := now - int64(i)*int64(time.Second)
		switch kind {
		case "late":
			t = now - w.rnd.Int64N(int64(48*time.Hour))
		case "old":
			t = now - w.rnd.Int64N(int64(20*365*24*time.Hour))
		case "future":
			t = now + w.rnd.Int64N(int64(100*24*time.Hour))
		case "edge":
			t = []int64{mirror.MinTime + int64(2*week), mirror.MaxTime, mirror.MaxTime - 1, 0, -1}[w.rnd.IntN(5)]
		case "overwrite":
			s := have[w.rnd.IntN(len(have))]
			b.WriteString(overwrite(s, w.rnd))
			continue
		}
		m := w.rnd.IntN(3)
		fmt.Fprintf(&b, "m%d,host=h%d ", m, w.rnd.IntN(3))
		// One type per field and shard: fields of a measurement take turns by the week.
		switch k := (weeks.Group(t).Stop/int64(week) + int64(m)) & 3; {
		case m == 2 && k == 0:
			fmt.Fprintf(&b, "v=%di,ok=true", w.rnd.Int64())
		case m == 2 && k == 1:
			fmt.Fprintf(&b, "v=%q", fmt.Sprint("s", w.rnd.IntN(9)))
		case m == 2 && k == 2:
			fmt.Fprintf(&b, "v=%t", w.rnd.IntN(2) == 0)
		default:
			fmt.Fprintf(&b, "v=%v,w=%d", w.rnd.NormFloat64(), w.rnd.IntN(100))
		}
		fmt.Fprintf(&b, " %d\n", t)
	}
	w.note("write %s: %d lines", kind, n)
	w.src.Write(bucket, b.String())
}

// overwrite returns a line that gives a sample another value of the same type.
func overwrite(s influxtest.Sample, rnd *rand.Rand) string {
	m := mirror.Sample{Measurement: s.Measurement, Field: s.Field, Time: s.Time}
	for _, t := range s.Tags {
		m.Tags = append(m.Tags, mirror.Tag{Key: t.Key, Value: t.Value})
	}
	switch s.Value.(type) {
	case float64:
		m.Type, m.Bits = mirror.Float, math.Float64bits(rnd.NormFloat64())
	case int64:
		m.Type, m.Bits = mirror.Integer, rnd.Uint64()
	case bool:
		m.Type, m.Bits = mirror.Boolean, uint64(rnd.IntN(2))
	case string:
		m.Type, m.Text = mirror.String, fmt.Sprint("o", rnd.IntN(1000))
	}
	return string(lineproto.AppendLine(nil, &m))
}

// breakLink makes the next few requests of one side go wrong.
func (w *world) breakLink() {
	type named struct {
		name  string
		fault influxtest.Fault
	}
	f := []named{
		{"refuse", influxtest.Refuse()},
		{"cut", influxtest.CutAfter(w.rnd.IntN(3000))},
		{"reset after apply", influxtest.ResetAfterApply()},
		{"truncate clean", influxtest.TruncateClean(w.rnd.IntN(3000))},
		{"end by close", influxtest.EndByClose(w.rnd.IntN(3000))},
		{"html", influxtest.HTML()},
		{"redirect", influxtest.Redirect(302, "http://127.0.0.1:1")},
		{"503", influxtest.Status(503, 2*time.Second, "busy")},
		{"500", influxtest.Status(500, 0, "timeout")},
		{"204 and nothing done", influxtest.Status(204, 0, "")},
		{"stall", influxtest.Stall(0)},
		{"a part lost", influxtest.Rewrite(w.losePart)},
		{"the end lost", influxtest.Rewrite(w.loseEnd)},
	}[w.rnd.IntN(13)]
	s, side := w.src, "source"
	match := influxtest.Queries
	if w.rnd.IntN(2) == 0 {
		s, side = w.dst, "target"
		match = []func(*http.Request) bool{influxtest.Queries, influxtest.Writes, nil}[w.rnd.IntN(3)]
	}
	n := 1 + w.rnd.IntN(4)
	w.note("fault %s at the %s, %d times", f.name, side, n)
	w.faults = append(w.faults, s.Fault(match, f.fault).Times(n))
}

// parts cuts an answer to a query into its documents: one for each chunk of each statement.
func parts(body []byte) (out [][]byte) {
	for len(body) > 0 {
		rest, err := msgp.Skip(body)
		if err != nil {
			return nil
		}
		out = append(out, body[:len(body)-len(rest)])
		body = rest
	}
	return out
}

// losePart takes a document out of an answer, as a proxy may that puts it together again. It is never all that a statement found: that
// a server finds nothing is what it says when it finds nothing.
func (w *world) losePart(status int, h http.Header, body []byte) (int, []byte) {
	all := parts(body)
	if h.Get("Content-Type") != "application/x-msgpack" || len(all) < 3 {
		return status, body
	}
	i := 1 + w.draw(len(all)-2)
	return status, bytes.Join(slices.Delete(all, i, i+1), nil)
}

// loseEnd takes the last documents away.
func (w *world) loseEnd(status int, h http.Header, body []byte) (int, []byte) {
	all := parts(body)
	if h.Get("Content-Type") != "application/x-msgpack" || len(all) < 2 {
		return status, body
	}
	return status, bytes.Join(all[:len(all)-1-w.draw(min(3, len(all)-1))], nil)
}

func (w *world) mend() (fired int) {
	for _, f := range w.faults {
		fired += f.Fired()
		f.Remove()
	}
	w.faults = nil
	return fired
}

// digest is an independent Fingerprint of a window of a server.
func digest(all []influxtest.Sample, measurement string, in mirror.Window) mirror.Fingerprint {
	var fp mirror.Fingerprint
	for _, s := range all {
		if s.Measurement == measurement && in.Contains(s.Time) {
			m := sample(s)
			fp.AddHash(lineproto.HashSample(nil, &m))
		}
	}
	return fp
}

func sample(s influxtest.Sample) mirror.Sample {
	m := mirror.Sample{Measurement: s.Measurement, Field: s.Field, Time: s.Time}
	for _, t := range s.Tags {
		m.Tags = append(m.Tags, mirror.Tag{Key: t.Key, Value: t.Value})
	}
	switch v := s.Value.(type) {
	case float64:
		m.Type, m.Bits = mirror.Float, math.Float64bits(v)
	case int64:
		m.Type, m.Bits = mirror.Integer, uint64(v)
	case uint64:
		m.Type, m.Bits = mirror.Unsigned, v
	case bool:
		m.Type = mirror.Boolean
		if v {
			m.Bits = 1
		}
	case string:
		m.Type, m.Text = mirror.String, v
	}
	return m
}

// lies returns the Proofs made since the given time that are not true. Nobody wrote meanwhile.
func (w *world) lies(ctx context.Context, since int64) ([]string, error) {
	if w.pair == nil {
		return nil, nil
	}
	sums, err := w.pair.Summaries(ctx)
	if err != nil {
		return nil, err
	}
	src, dst := w.src.Dump(bucket), w.dst.Dump(bucket)
	var out []string
	for _, s := range sums {
		g, err := w.pair.Group(ctx, s.Measurement, s.Window)
		if err != nil {
			return nil, err
		}
		for _, p := range g.Proofs {
			if p.AsOf < since {
				continue
			}
			if a, b := digest(src, s.Measurement, p.Window), digest(dst, s.Measurement, p.Window); a != p.Source || b != p.Target {
				out = append(out, fmt.Sprintf("%s %s: proof %v / %v, truth %v / %v", s.Measurement, p.Window, p.Source, p.Target, a, b))
			}
		}
	}
	return out, nil
}

// missing lists samples of the source that the target does not have.
func (w *world) missing() []string {
	have := map[string]bool{}
	for _, s := range w.dst.Dump(bucket) {
		m := sample(s)
		have[string(lineproto.AppendLine(nil, &m))] = true
	}
	var out []string
	for _, s := range w.src.Dump(bucket) {
		m := sample(s)
		if line := string(lineproto.AppendLine(nil, &m)); !have[line] {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}
