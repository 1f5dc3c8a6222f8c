package influx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"influxmirror/internal/mirror"
)

const (
	day = 24 * 60 * 60 * int64(1e9)
	// surveyBatch is how many statements go into one request.
	surveyBatch = 400
	// surveySteps is the most steps one grouped statement is asked for; finer surveys first look where there is anything.
	surveySteps = 120_000
)

// systemNames are measurements that servers list if someone wrote them, and refuse to read (influxql.IsSystemName).
var systemNames = []string{"_fieldKeys", "_measurements", "_name", "_series", "_tagKey", "_tagKeys", "_tags"}

// unreadable says why a measurement cannot be asked for, or "".
func unreadable(name string, conflicts []mirrorField) string {
	if slices.Contains(systemNames, name) {
		return "the server refuses to read measurements of this name"
	}
	if !askable(name) {
		return "InfluxQL cannot say a name with a carriage return, a NUL or bytes that are not UTF-8"
	}
	for _, f := range conflicts {
		if !askable(f.name) {
			return "InfluxQL cannot say the name of its field " + strconv.Quote(f.name) + ", which has to be named because fields of the measurement have several types"
		}
	}
	return ""
}

// askable reports whether a statement can hold a name: the server's scanner reads a carriage return as a newline, takes a NUL for the end of
// the text, and replaces what is not UTF-8 (influxql/scanner.go).
func askable(name string) bool { return utf8.ValidString(name) && !strings.ContainsAny(name, "\r\x00") }

// Survey calls fn with every step of req that holds anything: by measurement, then by time.
//
// A survey of the whole axis is checked: the counts of all steps lie between a count before and a count after, or it is asked again.
// Points at the very ends of the axis, which GROUP BY time() leaves out, are counted apart (facts 9).
func (c *Client) Survey(ctx context.Context, req mirror.SurveyRequest, fn func(mirror.Count) error) error {
	names := req.Measurements
	if len(names) == 0 {
		all, err := c.measurements(ctx)
		if err != nil {
			return err
		}
		names = all
	}
	conflicts, err := c.conflicts(ctx, len(req.Measurements) == 0)
	if err != nil {
		return err
	}
	if req.Width < day && req.Window.Width()/uint64(req.Width) > surveySteps {
		return c.narrow(ctx, req, names, fn)
	}
	s := &survey{c: c, req: req, conflicts: conflicts}
	for len(names) > 0 {
		n := 0
		for s.begin(); n < len(names) && len(s.statements) < surveyBatch; n++ {
			if why := unreadable(names[n], conflicts[names[n]]); why != "" {
				if err := fn(mirror.Count{Measurement: names[n], Unreadable: why}); err != nil {
					return err
				}
				continue
			}
			s.add(names[n])
		}
		names = names[n:]
		for try := 1; ; try++ {
			err := s.ask(ctx, fn)
			if !errors.Is(err, errUneven) || try == 3 {
				if err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// narrow surveys days first and then only the days that hold something.
func (c *Client) narrow(ctx context.Context, req mirror.SurveyRequest, names []string, fn func(mirror.Count) error) error {
	coarse := req
	coarse.Measurements = names
	coarse.Width = req.Width * (30 * day / req.Width)
	coarse.Sums = false
	var full []mirror.Count
	if err := c.Survey(ctx, coarse, func(n mirror.Count) error { full = append(full, n); return nil }); err != nil {
		return err
	}
	for _, n := range full {
		if n.Unreadable != "" {
			if err := fn(n); err != nil {
				return err
			}
			continue
		}
		fine := req
		fine.Measurements, fine.Window = []string{n.Measurement}, n.Window.Intersect(req.Window)
		if err := c.Survey(ctx, fine, fn); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) measurements(ctx context.Context) ([]string, error) {
	show := "SHOW MEASUREMENTS"
	if _, old := c.database(); !old {
		show = showMeasurements(databaseOf(c.o.Bucket))
	}
	t, err := c.list(ctx, "list measurements", show)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range t {
		for _, row := range t.Rows {
			names = append(names, row[0].Text)
		}
	}
	return names, nil
}

// showMeasurements is the only statement of 2.x that takes the policy of a bucket named "a/b" from its text alone.
func showMeasurements(d database) string {
	if d.policy == "" {
		return "SHOW MEASUREMENTS ON " + ident(d.name)
	}
	return "SHOW MEASUREMENTS ON " + ident(d.name) + "." + ident(d.policy)
}

// conflicts returns, for each measurement that has them, all its fields if some have several types.
func (c *Client) conflicts(ctx context.Context, fresh bool) (map[string][]mirrorField, error) {
	c.mu.Lock()
	known := c.conflict
	c.mu.Unlock()
	if known != nil && !fresh {
		return known, nil
	}
	t, err := c.list(ctx, "list fields", "SHOW FIELD KEYS")
	if err != nil {
		return nil, err
	}
	known = map[string][]mirrorField{}
	for _, t := range t {
		seen := map[string]int{}
		several := false
		var fields []mirrorField
		for _, row := range t.Rows {
			if len(row) != 2 {
				continue
			}
			i, ok := seen[row[0].Text]
			if !ok {
				i = len(fields)
				seen[row[0].Text] = i
				fields = append(fields, mirrorField{name: row[0].Text})
			}
			fields[i].types = append(fields[i].types, row[1].Text)
			several = several || len(fields[i].types) > 1
		}
		if several {
			known[t.Name] = fields
		}
	}
	c.mu.Lock()
	c.conflict = known
	c.mu.Unlock()
	return known, nil
}

type mirrorField struct {
	name  string
	types []string
}

// counts writes the select list that counts every sample of a measurement once, whatever the types of its fields in
// different shards: a cast to float counts all numbers, casts to string and boolean filter (facts 10).
func counts(fields []mirrorField) string {
	if fields == nil {
		return "count(*::field)"
	}
	var list []string
	for _, f := range fields {
		casts := map[string]bool{}
		for _, t := range f.types {
			if t != "string" && t != "boolean" {
				t = "float"
			}
			casts[t] = true
		}
		for _, t := range []string{"float", "string", "boolean"} {
			if casts[t] {
				list = append(list, fmt.Sprintf("count(%s::%s) AS count_%d", ident(f.name), t, len(list)))
			}
		}
	}
	return strings.Join(list, ", ")
}

// errUneven: what the steps add up to lies outside the counts before and after.
var errUneven = errors.New("counts before and after a survey disagree with its steps")

// part is what one statement of a survey asks.
type part int

const (
	before part = iota
	firstEdge
	steps
	lastEdge
	after
	rest // of the axis, behind a window that begins with it
)

type asked struct {
	measurement string
	part        part
	window      mirror.Window
}

// survey asks for a batch of measurements in one request.
type survey struct {
	c          *Client
	req        mirror.SurveyRequest
	conflicts  map[string][]mirrorField
	statements []string
	asked      []asked
}

func (s *survey) begin() { s.statements, s.asked = s.statements[:0], s.asked[:0] }

func (s *survey) add(name string) {
	list := counts(s.conflicts[name])
	from := " FROM " + ident(name) + " WHERE "
	put := func(p part, list string, w mirror.Window, group string) {
		s.asked = append(s.asked, asked{name, p, w})
		s.statements = append(s.statements, "SELECT "+list+from+s.c.where(w)+group)
	}
	w := s.req.Window
	whole := w == mirror.Axis
	inner := w
	if w.Start == mirror.MinTime {
		put(before, list, mirror.Axis, "")
		if !whole {
			put(rest, list, mirror.Window{Start: w.Stop, Stop: mirror.Axis.Stop}, "")
		}
	}
	if w.Start == mirror.MinTime {
		inner.Start = s.req.Step(w.Start).Stop
		if inner.Start < math.MaxInt64-s.req.Width {
			inner.Start += s.req.Width // one more: the rounding of the server overflows in the first step
		}
		inner.Start = min(inner.Start, w.Stop)
		first := mirror.Window{Start: w.Start, Stop: min(s.req.Step(w.Start).Stop, w.Stop)}
		put(firstEdge, list, first, "")
		if first.Stop < inner.Start {
			put(firstEdge, list, mirror.Window{Start: first.Stop, Stop: inner.Start}, "")
		}
	}
	if w.Stop == math.MaxInt64 {
		inner.Stop = max(s.req.Step(w.Stop-1).Start, inner.Start)
	}
	if s.req.Sums {
		list += ", sum(*::field)"
	}
	if !inner.Empty() {
		put(steps, list, inner, fmt.Sprintf(" GROUP BY time(%dns, %dns) fill(none)", s.req.Width, s.req.Offset))
	}
	if w.Stop == math.MaxInt64 && inner.Stop < w.Stop {
		put(lastEdge, list, mirror.Window{Start: inner.Stop, Stop: w.Stop}, "")
	}
	if whole {
		put(after, counts(s.conflicts[name]), w, "")
	}
}

// ask sends the batch and hands its steps on, each measurement's once it is complete and consistent.
func (s *survey) ask(ctx context.Context, fn func(mirror.Count) error) error {
	if len(s.statements) == 0 {
		return nil
	}
	type result struct {
		total [2]uint64
		rest  uint64
		found []mirror.Count
	}
	results := map[string]*result{}
	for _, a := range s.asked {
		results[a.measurement] = &result{}
	}
	op := fmt.Sprintf("survey %d measurements", len(results))
	err := s.c.query(ctx, op, s.statements, maxSmallAnswer*16, func(d *decoder, n int, _ *answer) error {
		return d.run(n, func(*block) error { return nil }, func(n uint32) error {
			b := &d.block
			row := make([]cell, n)
			for i := range row {
				var err error
				if row[i], err = d.value(); err != nil {
					return err
				}
			}
			if b.Statement >= len(s.asked) {
				return nil
			}
			a := s.asked[b.Statement]
			if b.Columns[0] != "time" || row[0].Nil || row[0].Text != "" {
				return fmt.Errorf("%w: a count without a time", errGrammar)
			}
			r := results[a.measurement]
			count := rowCount(b.Columns, row)
			switch a.part {
			case before:
				r.total[0] += count
			case after:
				r.total[1] += count
			case rest:
				r.rest += count
			default:
				if count == 0 {
					return nil
				}
				found := mirror.Count{Measurement: a.measurement, Window: a.window, Samples: count}
				if a.part == steps {
					if found.Window = s.req.Step(int64(row[0].Bits)).Intersect(a.window); found.Window.Empty() {
						return fmt.Errorf("%w: a count outside the window", errGrammar)
					}
				}
				if s.req.Sums {
					found.Digest = rowDigest(b.Columns, row)
				}
				r.found = append(r.found, found)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	whole := s.req.Window == mirror.Axis
	for name, r := range results {
		var sum uint64
		for _, f := range r.found {
			sum += f.Samples
		}
		// After a restart 2.7.12 hides the oldest shard group from queries with an upper bound, while the whole axis shows it (facts 9).
		if s.req.Window.Start == mirror.MinTime && sum+r.rest < r.total[0] && (!whole || r.total[0] == r.total[1]) {
			r.found = append([]mirror.Count{{Measurement: name, Window: s.req.Step(mirror.MinTime), Samples: r.total[0] - r.rest - sum}}, r.found...)
			sum = r.total[0] - r.rest
		}
		if whole && (sum < r.total[0] || sum > r.total[1]) {
			return &mirror.Error{Kind: mirror.Broken, Side: s.c.o.Side, URL: s.c.URL(), Op: "survey " + strconv.Quote(name), Err: errUneven}
		}
	}
	for i, a := range s.asked {
		if i > 0 && s.asked[i-1].measurement == a.measurement {
			continue
		}
		for _, f := range results[a.measurement].found {
			if err := fn(f); err != nil {
				return err
			}
		}
	}
	return nil
}

func rowCount(columns []string, row []cell) (n uint64) {
	for i, v := range row {
		if !v.Nil && strings.HasPrefix(columns[i], "count_") {
			n += v.Bits
		}
	}
	return n
}

// rowDigest is of all columns but the time.
func rowDigest(columns []string, row []cell) uint64 {
	h := xxh3.New()
	var b [9]byte
	for i, v := range row {
		if v.Nil || i == 0 {
			continue
		}
		_, _ = h.WriteString(columns[i])
		for j := range 8 {
			b[j+1] = byte(v.Bits >> (8 * j))
		}
		_, _ = h.Write(b[:])
	}
	return max(h.Sum64(), 1)
}
