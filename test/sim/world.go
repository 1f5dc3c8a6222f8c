package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

const (
	bucket = "b"
	week   = 7 * 24 * time.Hour
	day    = 24 * time.Hour
	margin = 10 * time.Second
)

var writePath = &url.URL{Path: "/api/v2/write"}

// world is two servers, a link, an instrument that writes, and one influxmirror.
type world struct {
	rnd      *rand.Rand
	dir      string // of the state; "": nothing but the book remembers
	disk     *disk  // below dir
	src, dst *influxtest.Server
	srcPipe  *pipe
	dstPipe  *pipe
	ledger   *ledger.Ledger
	pair     *ledger.Pair // nil without a ledger, and before the first probe
	book     *book
	mirror   *engine.Mirror
	clients  []interface{ Close() }
	log      []string
	trace    trace
	seen     [2]*state // the newest of each side
	texts    []int64   // when another hand wrote a text into v of m1: the shard takes no other type any more, though the text be deleted
	settings engine.Settings
	compress bool
	tokens   [2]atomic.Pointer[string] // what influxmirror logs in with, of each side
	wrap     [2]func(net.Conn) net.Conn

	// Of histories.
	faults    []injected
	counts    map[string]int
	checked   map[slot][]mirror.Proof // found true
	proofs    int
	restarted bool // the source was
	blind     bool // something was overwritten in a way that counts do not show
	offset    [2]time.Duration
	kept      [2]time.Duration // retention
	old       [2]bool          // InfluxDB 1.x
	eras      []int64
	odd       bool // samples at the ends of the axis too
	hidden    *hiddenShards
	pending   [2]string // tokens that influxmirror is not told of yet
	backup    *backup
	earlier   []influxtest.Sample // what the target held some time ago
	strangers atomic.Int64        // connections to another host
	expected  bool                // what the book says is to be in the ledger, after an outage
	wrong     []string            // what a ledger did wrong

	mu     sync.Mutex // guards chance, which requests draw from, and meddle
	chance *rand.Rand
	meddle func(side int) // somebody writes between two statements of a request
}

// draw is for requests: what they draw, and in which order, leaves the story as it is.
func (w *world) draw(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.chance == nil {
		w.chance = rand.New(rand.NewPCG(2, 2))
	}
	return w.chance.IntN(max(n, 1))
}

func (w *world) close() {
	w.stop()
	if w.disk != nil {
		w.disk.leave()
	}
	w.src.Close()
	w.dst.Close()
}

func (w *world) count(what string, n int) {
	if w.counts == nil {
		w.counts = map[string]int{}
	}
	w.counts[what] += n
}

// start is a new process.
func (w *world) start() error {
	if w.book == nil {
		w.book = newBook()
	}
	w.book.trace = &w.trace
	if w.dir != "" {
		if w.disk == nil {
			w.disk = watch(w.dir)
		}
		l, err := ledger.Open(w.dir)
		if err != nil {
			return err
		}
		w.ledger = l
	}
	options := func(side mirror.Side, s *influxtest.Server, p *pipe) influx.Options {
		i := 0
		if side == mirror.TargetSide {
			i = 1
		}
		if w.tokens[i].Load() == nil {
			w.tokens[i].Store(&s.Token)
		}
		u, _ := url.Parse(s.URL)
		u.Host = string(side) + ":8086" // what a bucket of 1.x is known by
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != u.Host {
				w.strangers.Add(1) // nobody told it to go there
			}
			c, err := p.dial(ctx, network, address)
			if err == nil && w.wrap[i] != nil {
				if c = w.wrap[i](c); c == nil { // it does not come about
					err = &net.OpError{Op: "dial", Net: network, Addr: addr{}, Err: net.ErrClosed}
				}
			}
			return c, err
		}
		return influx.Options{Side: side, URL: u, Org: s.Org, Bucket: bucket, Dial: dial, Compress: w.compress,
			Login: func() (influx.Login, error) { return influx.Login{Token: *w.tokens[i].Load()}, nil }}
	}
	source := influx.New(options(mirror.SourceSide, w.src, w.srcPipe))
	target := influx.NewTarget(options(mirror.TargetSide, w.dst, w.dstPipe))
	w.clients = []interface{ Close() }{source, target.Client}
	w.mirror = engine.New(w.settings, source, target, w.open, slog.New(slog.DiscardHandler))
	return nil
}

// open finds what is remembered of the pair, as the command does.
func (w *world) open(ctx context.Context, key, source, target string) (engine.Ledger, error) {
	if w.ledger == nil {
		return w.book, nil
	}
	p, err := w.ledger.PairFrom(ctx, key, source, target)
	if err != nil {
		return nil, err
	}
	stale, err := p.Stale(ctx)
	if err == nil && stale {
		w.count("an older ledger was noticed", 1)
		err = p.SetState(ctx, "seen", nil)
	}
	w.pair, w.book.behind = p, p
	if err == nil && w.expected {
		err = w.recollect(ctx)
	}
	return w.book, err
}

// stop is the end of a process.
func (w *world) stop() {
	for _, c := range w.clients {
		c.Close()
	}
	if w.ledger != nil {
		_ = w.ledger.Close()
	}
	if w.pair = nil; w.book != nil {
		w.book.behind = nil
	}
}

// kill is the end of a process that was not asked: what it was about to write to its ledger is not there.
func (w *world) kill() error {
	w.stop()
	w.book.fail = nil
	return w.start()
}

func (w *world) note(format string, args ...any) {
	line := time.Now().UTC().Format("01-02 15:04:05 ") + fmt.Sprintf(format, args...)
	w.log = append(w.log, line)
	if w.dir != "" {
		line = strings.ReplaceAll(line, w.dir, "state") // another one each time
	}
	w.trace.said(line)
}

// ended notes how a Pass ended. What the many that were at work say when their process is killed is not the same each time, and no part of the trace.
func (w *world) ended(ctx context.Context, text string) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		w.note("%s", text)
		return
	}
	w.log = append(w.log, time.Now().UTC().Format("01-02 15:04:05 ")+text)
	w.trace.said("killed")
	time.Sleep(time.Second - time.Duration(time.Now().Nanosecond())) // nor is the nanosecond at which the last of them ends
}

var weeks = mirror.NewGrid(int64(week))

// side names the servers by number: 0 is the source.
func (w *world) side(i int) (*influxtest.Server, string) {
	if i == 0 {
		return w.src, "source"
	}
	return w.dst, "target"
}

// clock is the time a server has.
func (w *world) clock(i int) int64 { return time.Now().Add(w.offset[i]).UnixNano() }

// keptFrom is from when on both servers are sure to keep what they have for another hour.
func (w *world) keptFrom() int64 {
	from := int64(mirror.MinTime)
	for i, kept := range w.kept {
		if kept > 0 {
			from = max(from, w.clock(i)-int64(kept)+int64(time.Hour))
		}
	}
	return from
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

// source is everything the source has, shown or not.
func (w *world) source() []influxtest.Sample {
	all := w.src.Dump(bucket)
	if w.hidden != nil {
		all = append(slices.Clone(w.hidden.samples), all...)
		slices.SortStableFunc(all, func(a, b influxtest.Sample) int { return bytes.Compare([]byte(a.Measurement), []byte(b.Measurement)) })
	}
	return all
}

func (w *world) now() moment {
	for i, all := range [][]influxtest.Sample{w.source(), w.dst.Dump(bucket)} {
		// Until something is written a Dump is the same one.
		if s := &w.seen[i]; *s == nil || len((*s).all) != len(all) || len(all) > 0 && &(*s).all[0] != &all[0] {
			*s = stateOf(all)
		}
	}
	return moment{w.seen[0], w.seen[1]}
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
	now := w.now()
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
			if a, b := now.src.in(s.Measurement, p.Window), now.dst.in(s.Measurement, p.Window); a != sumOf(p.Source) || b != sumOf(p.Target) {
				out = append(out, fmt.Sprintf("%s %s: proof %v / %v, truth %v / %v", s.Measurement, p.Window, p.Source, p.Target, a, b))
			}
		}
	}
	return out, nil
}

// missing lists samples of the source that the target does not have.
func (w *world) missing() []string {
	have := stateOf(w.dst.Dump(bucket)).values()
	var out []string
	for _, s := range w.src.Dump(bucket) {
		if have[place(s)] != value(s.Value) {
			out = append(out, lineOf(s))
		}
	}
	slices.Sort(out)
	return out
}

// owed lists the samples that the target has to have had since before: not those that it refuses for their type or its age, and without
// values only those of which it has nothing at all.
func (w *world) owed(before int64, values bool) []string {
	all := w.dst.Dump(bucket)
	have := stateOf(all).values()
	type field struct {
		measurement, name string
		group             int64
	}
	types := map[field]string{}
	groups := w.dst.Shards(bucket)
	groupOf := func(t int64) int64 {
		for _, g := range groups {
			if !time.Unix(0, t).Before(g.Start) && time.Unix(0, t).Before(g.End) {
				return int64(g.ID)
			}
		}
		return 0
	}
	for _, t := range w.texts {
		types[field{"m1", "v", groupOf(t)}] = "string"
	}
	for _, s := range all {
		types[field{s.Measurement, s.Field, groupOf(s.Time)}] = fmt.Sprintf("%T", s.Value)
	}
	floor := w.keptFrom()
	var out []string
	for _, s := range w.src.Dump(bucket) {
		got, known := have[place(s)]
		if got == value(s.Value) || known && !values || s.Time >= before || s.Time < floor {
			continue
		}
		if is, some := types[field{s.Measurement, s.Field, groupOf(s.Time)}]; some && is != fmt.Sprintf("%T", s.Value) {
			continue
		}
		if _, unsigned := s.Value.(uint64); unsigned && w.old[1] {
			continue
		}
		out = append(out, lineOf(s))
		if w.note("owed: %s %s, the target has %q", place(s), value(s.Value), got); len(out) > 20 {
			break
		}
	}
	slices.Sort(out)
	return out
}

// stateDir is a place for state that no disk slows down, where there is one.
func stateDir(fallback string) (string, error) {
	if dir, err := os.MkdirTemp("/dev/shm", "influxmirror-sim"); err == nil {
		return dir, nil
	}
	return os.MkdirTemp(fallback, "state")
}
