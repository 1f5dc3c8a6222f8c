package influx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// flushSize is how much line protocol is handed on at a time, in bytes.
const flushSize = 256 << 10

// wideAt is the number of values per series below which rows with tags as columns beat GROUP BY * (facts 6).
const wideAt = 250

// Sink takes what a read finds. The slice is reused after the call. A nil Sink reads for the Fingerprints only.
type Sink = func(lines []byte) error

// Read reads all Samples of the Chunk to a proven end and returns the Fingerprint of each Cell, or an error and nothing.
// Canonical lines go to sink as they come: they are not proven before Read has returned. The error is of kind
// mirror.MultiShard if the window lies in more than one shard; nothing went to sink then.
func (c *Client) Read(ctx context.Context, chunk mirror.Chunk, sink Sink) (mirror.Reading, error) {
	if chunk.Window.Start < oldestReach {
		if r, hidden, err := c.readHidden(ctx, chunk, sink); hidden || err != nil {
			return r, err
		}
	}
	form, err := c.form(ctx, chunk)
	if err != nil {
		return mirror.Reading{}, err
	}
	from := " FROM " + ident(chunk.Measurement) + " WHERE " + c.where(chunk.Window)
	sel := "SELECT *::field" + from + " GROUP BY *"
	if form.wide {
		sel = "SELECT *::field, *::tag" + from
	}
	count := "SELECT count(*::field)" + from
	r := &reading{chunk: chunk, sink: sink, mapping: c.mapping(), wide: form.wide, cells: make([]mirror.Fingerprint, chunk.Cells()), cellStop: math.MinInt64}
	op := "read " + strconv.Quote(chunk.Measurement) + " " + chunk.Window.String()
	err = c.query(ctx, op, []string{"EXPLAIN " + sel, count, sel, count}, maxAnswer, func(d *decoder, n int, a *answer) error {
		r.d, r.date = d, a.date
		if err := d.run(n, r.head, r.row); err != nil {
			return err
		}
		if r.plan.shards > 1 {
			return errShards
		}
		return r.flush(0)
	})
	if errors.Is(err, errShards) {
		if _, old := c.database(); old {
			return c.readShards(ctx, chunk, sink, op)
		}
		return mirror.Reading{}, &mirror.Error{Kind: mirror.MultiShard, Side: c.o.Side, URL: c.URL(), Op: op, Err: errShards}
	}
	if err != nil {
		return mirror.Reading{}, err
	}
	got := r.total()
	if r.counts[0] != r.counts[1] {
		return mirror.Reading{Cells: r.cells, Date: r.date, Live: true, Points: r.points, Unwritable: r.unwritable()}, nil
	}
	if got != r.counts[0] {
		return mirror.Reading{}, &mirror.Error{Kind: mirror.Broken, Side: c.o.Side, URL: c.URL(), Op: op,
			Err: fmt.Errorf("%d samples came, the server counts %d", got, r.counts[0])}
	}
	c.learn(chunk.Measurement, r.series, got)
	return mirror.Reading{Cells: r.cells, Date: r.date, Points: r.points, Unwritable: r.unwritable()}, nil
}

// errShards: the types of a field may differ between shards, and a read of several would convert some of them (facts 1 to 3).
var errShards = errors.New("the window lies in several shards")

type form struct{ wide bool }

// form chooses between the two forms of a read by the values per series seen lately. The choice shows in no result.
func (c *Client) form(ctx context.Context, chunk mirror.Chunk) (form, error) {
	c.mu.Lock()
	per, known := c.series[chunk.Measurement]
	c.mu.Unlock()
	if !known {
		t, err := c.ask(ctx, "explain "+strconv.Quote(chunk.Measurement),
			"EXPLAIN SELECT *::field FROM "+ident(chunk.Measurement)+" WHERE "+c.where(chunk.Window),
			"SELECT count(*::field) FROM "+ident(chunk.Measurement)+" WHERE "+c.where(chunk.Window))
		if err != nil {
			return form{}, err
		}
		p := parsePlan(t)
		var n uint64
		for _, t := range t {
			if t.Statement == 1 {
				n += sumCounts(t)
			}
		}
		per = float64(n) / float64(max(p.series, 1))
		c.learn(chunk.Measurement, p.series, n)
	}
	return form{wide: per < wideAt}, nil
}

func (c *Client) learn(measurement string, series int, samples uint64) {
	if series == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.series) > 100_000 {
		clear(c.series)
	}
	c.series[measurement] = float64(samples) / float64(series)
}

// field is a column of values.
type field struct {
	name string
	typ  mirror.Type
	hash []byte // its part of the hashed form
	key  []byte // its part of the line
	bad  string // why no line can carry it
}

// series is what all Samples of one series share.
type series struct {
	hash     []byte
	key      []byte
	bad      string
	misleads bool // lineproto.MisleadsKey
}

// value is one value of the row being read.
type value struct {
	set        bool
	bits       uint64
	start, end int // of a string in reading.texts
}

// reading is one read in progress.
type reading struct {
	d     *decoder
	chunk mirror.Chunk
	sink  Sink
	mapping
	wide bool
	date int64

	// A read of the whole axis for the sake of its oldest group: rows outside the window are only counted.
	oldest    bool
	elsewhere uint64

	// A read of several shards, in none of which a field has another type.
	several   bool
	rowAt     int64
	rowSeries int
	had       []bool

	plan     plan
	misleads bool // a field key does
	fields   []field
	tags     []string // of the wide form
	counts   [2]uint64
	series   int
	points   int64

	cells    []mirror.Fingerprint
	cell     int
	cellFrom int64
	cellStop int64

	cur    *series
	single series
	known  map[string]*series // of the wide form, by tag values
	weight int                // of known, in bytes
	key    []byte
	values []value
	texts  []byte
	hash   []byte
	lines  []byte
	bad    map[badKey]*mirror.Exception
}

type badKey struct {
	cell   int
	field  string
	reason string
}

// What bounds the memory of the wide form's series: how many, and how many bytes of tag values.
const (
	maxKnown  = 60_000
	maxWeight = 16 << 20
)

const (
	explainStatement = 0
	beforeStatement  = 1
	selectStatement  = 2
	afterStatement   = 3
)

func (r *reading) head(b *block) error {
	if b.Statement != selectStatement {
		return nil
	}
	if r.fields == nil {
		if r.plan.shards == 0 {
			return fmt.Errorf("%w: rows without a plan", errGrammar)
		}
		if r.plan.shards > 1 && !r.oldest && !r.several {
			return errShards
		}
		for _, f := range r.plan.fields {
			r.fields = append(r.fields, field{name: f.name, typ: f.typ, hash: lineproto.AppendField(nil, f.name, f.typ),
				key: lineproto.AppendFieldKey(nil, f.name), bad: lineproto.UnwritableField(f.name)})
			r.misleads = r.misleads || lineproto.MisleadsField(f.name)
		}
		r.values = make([]value, len(r.fields))
	}
	if b.Name != r.chunk.Measurement || len(b.Columns) == 0 || b.Columns[0] != "time" {
		return fmt.Errorf("%w: rows of another measurement", errGrammar)
	}
	if r.wide {
		if len(b.Columns) != 1+len(r.fields)+len(r.plan.tags) {
			return fmt.Errorf("%w: %d columns for %d fields and %d tags", errGrammar, len(b.Columns), len(r.fields), len(r.plan.tags))
		}
		if r.known == nil {
			r.known = map[string]*series{}
		}
		return nil
	}
	if len(b.Columns) != 1+len(r.fields) {
		return fmt.Errorf("%w: %d columns for %d fields", errGrammar, len(b.Columns), len(r.fields))
	}
	for i, f := range r.fields {
		if b.Columns[1+i] != f.name {
			return fmt.Errorf("%w: column %q where the plan says %q", errGrammar, b.Columns[1+i], f.name)
		}
	}
	tags := b.Tags
	if r.maps {
		var err error
		if tags, err = r.tagged(r.chunk.Measurement, tags); err != nil {
			return err
		}
	}
	key := lineproto.AppendSeries(r.key[:0], r.chunk.Measurement, tags)
	if !slices.Equal(key, r.single.hash) {
		r.series++
		r.single = series{hash: slices.Clone(key), key: lineproto.AppendKey(nil, r.chunk.Measurement, tags),
			bad: lineproto.UnwritableSeries(r.chunk.Measurement, tags)}
		r.single.misleads = lineproto.MisleadsKey(r.single.key)
	}
	r.key = key
	r.use(&r.single)
	return nil
}

func (r *reading) use(s *series) {
	r.cur = s
	r.hash = append(r.hash[:0], s.hash...)
}

func (r *reading) row(n uint32) error {
	switch st := r.d.block.Statement; st {
	case selectStatement:
		return r.sample(int(n))
	case beforeStatement, afterStatement:
		var row table
		row.Columns = r.d.block.Columns
		var cells []cell
		for range n {
			v, err := r.d.value()
			if err != nil {
				return err
			}
			cells = append(cells, v)
		}
		row.Rows = [][]cell{cells}
		r.counts[(st-beforeStatement)/2] += sumCounts(row)
		return nil
	case explainStatement:
		v, err := r.d.value()
		if err != nil {
			return err
		}
		return r.plan.line(v.Text)
	default:
		for range n {
			if err := r.d.r.Skip(); err != nil {
				return err
			}
		}
		return nil
	}
}

// except remembers a Sample that no line can carry.
func (r *reading) except(f *field, why string, hi, lo uint64, t int64) {
	k := badKey{r.cell, f.name, why}
	if r.bad == nil {
		r.bad = map[badKey]*mirror.Exception{}
	}
	e := r.bad[k]
	if e == nil {
		e = &mirror.Exception{Class: mirror.Unwritable, Window: r.chunk.Cell(r.cell), Field: f.name, Type: f.typ, Reason: why,
			Example: printable(string(r.cur.key), 200) + " " + mirror.FormatTime(t)}
		r.bad[k] = e
	}
	e.Samples.AddHash(hi, lo)
}

func (r *reading) unwritable() []mirror.Exception {
	var out []mirror.Exception
	for _, e := range r.bad {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b mirror.Exception) int {
		if a.Window.Start != b.Window.Start {
			return int(min(1, max(-1, a.Window.Start-b.Window.Start)))
		}
		return strings.Compare(a.Field+a.Reason, b.Field+b.Reason)
	})
	return out
}

func (r *reading) flush(at int) error {
	if len(r.lines) <= at || r.sink == nil {
		return nil
	}
	err := r.sink(r.lines)
	r.lines = r.lines[:0]
	return err
}

func (r *reading) total() (n uint64) {
	for _, c := range r.cells {
		n += c.Count
	}
	return n
}
