package influxtest

import (
	"maps"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/influxdata/influxql"
)

// The valid times, of which both ends can be written.
const (
	minTime = math.MinInt64 + 2
	maxTime = math.MaxInt64 - 1
)

// A bucket is a bucket of 2.x or a retention policy of 1.x. The Server's mutex guards it and everything in it.
type bucket struct {
	id, name      string // on 1.x both are db/rp
	db, rp        string // 2.x: the names by which /query finds it without a mapping
	system        bool
	isDefault     bool // 1.x: the default retention policy of its database
	retention     time.Duration
	shardDuration time.Duration // of groups still to be made
	created       time.Time
	updated       time.Time
	groups        []*group // by start
	dump          []Sample // what Dump returned; nil when something changed since
}

// A group is a shard group with its one shard.
type group struct {
	id               uint64
	start, end       int64 // half-open; start is MinInt64 when the real one does not fit
	reloadedStart    int64 // what start becomes when a server reads it from disk: the same, except when it does not fit
	measurements     map[string]*measurement
	points, requests uint64 // written since the start of the server; on 2.x also points that were refused
}

// A measurement is what one shard holds of it.
type measurement struct {
	name   string
	fields map[string]influxql.DataType
	series map[string]*series
	order  []*series // by key; nil when stale
	keys   []string  // of tags, in any order; nil when stale
}

type series struct {
	key  string
	tags []Tag // by key
	cols map[string]*column
}

// A column holds the values of one field of one series in one shard.
type column struct {
	times []int64
	vals  []any
	dirty bool // not in order of time, or with several values for one
}

func (b *bucket) groupAt(t int64) *group {
	for _, g := range b.groups {
		if g.start <= t && t < g.end {
			return g
		}
	}
	return nil
}

// newGroup cuts a shard group around t: by the bucket's present duration from the zero time, trimmed against the groups there are.
func (b *bucket) newGroup(id uint64, t int64) *group {
	from := time.Unix(0, t).UTC().Truncate(b.shardDuration)
	g := &group{id: id, start: from.UnixNano(), reloadedStart: from.UnixNano(), end: maxTime + 1, measurements: map[string]*measurement{}}
	if from.Before(time.Unix(0, math.MinInt64)) {
		g.start = math.MinInt64
	}
	if to := from.Add(b.shardDuration); !to.After(time.Unix(0, maxTime)) {
		g.end = to.UnixNano()
	}
	for _, o := range b.groups {
		if o.end <= t && o.end > g.start {
			g.start, g.reloadedStart = o.end, o.end
		}
		if o.start > t && o.start < g.end {
			g.end = o.start
		}
	}
	b.groups, b.dump = append(b.groups, g), nil
	sort.SliceStable(b.groups, func(i, j int) bool { return b.groups[i].start < b.groups[j].start })
	return g
}

// overlapping returns the groups that a query from min to max (both included) reads.
func (b *bucket) overlapping(min, max int64) []*group {
	var found []*group
	for _, g := range b.groups {
		if g.start <= max && g.end > min {
			found = append(found, g)
		}
	}
	return found
}

func (m *measurement) inOrder() []*series {
	if m.order == nil {
		for _, s := range m.series {
			m.order = append(m.order, s)
		}
		sort.Slice(m.order, func(i, j int) bool { return m.order[i].key < m.order[j].key })
	}
	return m.order
}

// tagKeys lists the keys of the tags, in any order.
func (m *measurement) tagKeys() []string {
	if m.keys == nil {
		all := map[string]struct{}{}
		for _, se := range m.series {
			for _, t := range se.tags {
				all[t.Key] = struct{}{}
			}
		}
		m.keys = slices.AppendSeq(make([]string, 0, len(all)), maps.Keys(all))
	}
	return m.keys
}

func (c *column) add(t int64, v any) {
	if n := len(c.times); n > 0 && t <= c.times[n-1] {
		c.dirty = true
	}
	c.times, c.vals = append(c.times, t), append(c.vals, v)
}

// between returns the values from min to max, both included, by time.
func (c *column) between(min, max int64) ([]int64, []any) {
	if c.dirty {
		c.settle()
	}
	i, _ := slices.BinarySearch(c.times, min)
	j, found := slices.BinarySearch(c.times, max)
	if found {
		j++
	}
	if i >= j {
		return nil, nil
	}
	return c.times[i:j], c.vals[i:j]
}

// settle orders by time; of several values for one time the last written stays.
func (c *column) settle() {
	at := make([]int, len(c.times))
	for i := range at {
		at[i] = i
	}
	sort.SliceStable(at, func(i, j int) bool { return c.times[at[i]] < c.times[at[j]] })
	times, vals := make([]int64, 0, len(at)), make([]any, 0, len(at))
	for _, i := range at {
		if n := len(times); n > 0 && times[n-1] == c.times[i] {
			vals[n-1] = c.vals[i]
			continue
		}
		times, vals = append(times, c.times[i]), append(vals, c.vals[i])
	}
	c.times, c.vals, c.dirty = times, vals, false
}

// cut removes the values from min to max, both included.
func (c *column) cut(min, max int64) {
	c.settle()
	i, _ := slices.BinarySearch(c.times, min)
	j, found := slices.BinarySearch(c.times, max)
	if found {
		j++
	}
	if i < j {
		c.times, c.vals = slices.Delete(c.times, i, j), slices.Delete(c.vals, i, j)
	}
}

// enforceRetention drops the shard groups that lie wholly behind their bucket's retention. Until that happens, expired data can be read.
func (s *Server) enforceRetention() {
	now := s.now()
	for _, b := range s.buckets {
		if b.retention > 0 {
			edge := now.Add(-b.retention).UnixNano()
			b.groups, b.dump = slices.DeleteFunc(b.groups, func(g *group) bool { return g.end < edge }), nil
		}
	}
}

// tick does what a server does in the background: it enforces retention every 30 minutes.
func (s *Server) tick() {
	if now := s.now(); now.Sub(s.enforced) >= 30*time.Minute {
		s.enforced = now
		s.enforceRetention()
	}
}
