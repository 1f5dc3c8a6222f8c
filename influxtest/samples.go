package influxtest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/influxdata/influxql"
)

// A Tag of a series.
type Tag struct{ Key, Value string }

// A Sample is one stored value.
type Sample struct {
	Measurement string
	Tags        []Tag // by key
	Field       string
	Value       any // float64, int64, uint64, bool or string
	Time        int64
}

func sortTags(tags []Tag) {
	slices.SortFunc(tags, func(a, b Tag) int { return cmp.Compare(a.Key, b.Key) })
}

func newMeasurement(name string) *measurement {
	return &measurement{name: name, fields: map[string]influxql.DataType{}, series: map[string]*series{}}
}

// admit creates the fields of a point. It returns why the point is refused, "" when it is not; the fields before the one at fault are then made already.
func (m *measurement) admit(p point) string {
	for _, f := range p.fields {
		if f.key == "time" {
			continue
		}
		if text, ok := f.value.(string); ok && len(text) > maxString {
			return fmt.Sprintf("input field %q on measurement %q is too long, %d > %d", f.key, p.measurement, len(text), maxString)
		}
		switch has, ok := m.fields[f.key]; {
		case !ok:
			m.fields[f.key] = f.typ
		case has != f.typ:
			return fmt.Sprintf("field type conflict: input field %q on measurement %q is type %s, already exists as type %s", f.key, p.measurement, f.typ, has)
		}
	}
	return ""
}

// seriesOf finds or makes the series of a point.
func (m *measurement) seriesOf(p point) *series {
	s := m.series[p.key]
	if s == nil {
		s = &series{key: p.key, tags: p.tags, cols: map[string]*column{}}
		m.series[p.key] = s
		m.order, m.keys = nil, nil
	}
	return s
}

// add stores an admitted point.
func (s *series) add(p point) {
	for _, f := range p.fields {
		if f.key == "time" {
			continue
		}
		c := s.cols[f.key]
		if c == nil {
			c = &column{}
			s.cols[f.key] = c
		}
		c.add(p.time, f.value)
	}
}

// Dump returns everything a bucket holds (2.x: name or id; 1.x: db or db/rp), by measurement, series, field and time; also what no query shows.
// Nobody may change what it returns: until something is written it is the same each time.
func (s *Server) Dump(bucket string) []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.mustBucket(bucket)
	if b.dump != nil {
		return b.dump
	}
	type run struct { // what one shard group holds of one field of one series
		measurement, field string
		series             *series
		times              []int64
		vals               []any
	}
	var runs []run
	total := 0
	for _, g := range b.groups {
		for name, m := range g.measurements {
			for _, se := range m.series {
				for field, c := range se.cols {
					times, vals := c.between(minTime, maxTime)
					runs = append(runs, run{name, field, se, times, vals})
					total += len(times)
				}
			}
		}
	}
	order := func(a, b *run) int {
		return cmp.Or(cmp.Compare(a.measurement, b.measurement), cmp.Compare(a.series.key, b.series.key), cmp.Compare(a.field, b.field))
	}
	slices.SortStableFunc(runs, func(a, b run) int { return order(&a, &b) })
	samples := make([]Sample, 0, total)
	first := 0 // of what is at one place but for its time
	for i := range runs {
		r := &runs[i]
		if i > 0 && order(&runs[i-1], r) != 0 {
			first = len(samples)
		}
		for j, t := range r.times {
			samples = append(samples, Sample{r.measurement, r.series.tags, r.field, r.vals[j], t})
		}
		byTime := func(a, b Sample) int { return cmp.Compare(a.Time, b.Time) }
		if one := samples[first:]; !slices.IsSortedFunc(one, byTime) { // of shard groups that overlap
			slices.SortStableFunc(one, byTime)
		}
	}
	b.dump = slices.Clip(samples)
	return samples
}

// Delete removes the samples of a measurement ("" for all) from start to stop, both included, as a DELETE on 2.x does. Counters do not move.
func (s *Server) Delete(bucket, measurement string, start, stop int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.mustBucket(bucket)
	b.dump = nil
	for _, g := range b.groups {
		for name, m := range g.measurements {
			if measurement != "" && name != measurement {
				continue
			}
			for key, se := range m.series {
				left := 0
				for _, c := range se.cols {
					c.cut(start, stop)
					left += len(c.times)
				}
				if left == 0 {
					delete(m.series, key)
					m.order, m.keys = nil, nil
				}
			}
			if len(m.series) == 0 {
				delete(g.measurements, name)
			}
		}
	}
}

// Write stores lines in a bucket, past HTTP, rights and the request log. It panics when a server would refuse them.
func (s *Server) Write(bucket, lines string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	if r := s.store(s.mustBucket(bucket), lines, 1); r != nil {
		panic("influxtest: write to " + bucket + ": " + r.String())
	}
}

// EnforceRetention drops expired shard groups now; a server does so every 30 minutes of its clock and when it starts.
func (s *Server) EnforceRetention() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.enforceRetention()
}

// A Shard is one shard group of a bucket.
type Shard struct {
	ID         uint64
	Start, End time.Time
	Points     uint64 // written since the server started; on 2.x also points of the wrong type
}

// Shards returns the shard groups of a bucket by time.
func (s *Server) Shards(bucket string) []Shard {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Shard
	for _, g := range s.mustBucket(bucket).groups {
		out = append(out, Shard{g.id, time.Unix(0, g.start).UTC(), time.Unix(0, g.end).UTC(), g.points})
	}
	return out
}

// Unload hides the shard groups that a bucket has now, as a server does that answers before it has opened them: queries find nothing and say nothing.
// The function returned brings them back.
func (s *Server) Unload(bucket string) (load func()) { return s.UnloadBefore(bucket, math.MaxInt64) }

// UnloadBefore is Unload for the shard groups that begin before a time.
func (s *Server) UnloadBefore(bucket string, at int64) (load func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.mustBucket(bucket)
	var hidden, shown []*group
	for _, g := range b.groups {
		if g.start < at {
			hidden = append(hidden, g)
		} else {
			shown = append(shown, g)
		}
	}
	b.groups, b.dump = shown, nil
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		b.groups, b.dump = append(hidden, b.groups...), nil
		hidden = nil
		sort.SliceStable(b.groups, func(i, j int) bool { return b.groups[i].start < b.groups[j].start })
	}
}
