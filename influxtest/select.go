package influxtest

import (
	"fmt"
	"sort"
	"strings"

	"github.com/influxdata/influxql"
)

// selectRows runs a SELECT.
func (ses *session) selectRows(st *influxql.SelectStatement) ([]rows, error) {
	if src, ok := st.Sources[0].(*influxql.Measurement); ok && influxql.IsSystemName(src.Name) {
		return nil, systemSource(src.Name)
	}
	p, err := ses.newPlan(st)
	if err != nil {
		return nil, err
	}
	if len(p.stmt.Fields) == 0 {
		return nil, nil
	}
	if _, ok := p.stmt.Fields[0].Expr.(*influxql.Call); ok {
		return p.aggregate()
	}
	return p.raw()
}

func systemSource(name string) error {
	instead := map[string]string{"_fieldKeys": "SHOW FIELD KEYS", "_measurements": "SHOW MEASUREMENTS", "_series": "SHOW SERIES", "_tagKeys": "SHOW TAG KEYS", "_tags": "SHOW TAG VALUES"}
	return fmt.Errorf("unable to use system source '%s': use %s instead", name, or(instead[name], "the appropriate meta command"))
}

// A set is the rows of one combination of the tags that are grouped by.
type set struct {
	id   string // sorts as real servers sort
	tags []Tag
	rows [][]any // time first
}

// setOf finds or makes the set that a series belongs to.
func (p *plan) setOf(sets map[string]*set, tags []Tag) *set {
	var id strings.Builder
	for i, d := range p.dims {
		if i > 0 {
			id.WriteByte(0)
		}
		id.WriteString(tagValue(tags, d))
	}
	s := sets[id.String()]
	if s == nil {
		s = &set{id: id.String()}
		for _, d := range p.dims {
			s.tags = append(s.tags, Tag{d, tagValue(tags, d)})
		}
		sets[s.id] = s
	}
	return s
}

// emit orders the sets and applies LIMIT and OFFSET, which are per series.
func (p *plan) emit(sets map[string]*set) []rows {
	var out []rows
	for _, s := range sets {
		if s.rows = page(s.rows, p.stmt.Limit, p.stmt.Offset); len(s.rows) > 0 {
			out = append(out, rows{name: p.name, tags: s.tags, columns: p.stmt.ColumnNames(), values: s.rows, timed: true, chunks: true})
		}
	}
	id := func(r rows) string { // the values of one list of keys; joining them again is cheaper than keeping them
		v := make([]string, len(r.tags))
		for i, t := range r.tags {
			v[i] = t.Value
		}
		return strings.Join(v, "\x00")
	}
	ids := make(map[string]int, len(out))
	for i, r := range out {
		ids[id(r)] = i
	}
	order := make([]string, 0, len(ids))
	for k := range ids {
		order = append(order, k)
	}
	sort.Strings(order)
	sorted := make([]rows, 0, len(out))
	for _, k := range order {
		sorted = append(sorted, out[ids[k]])
	}
	if !p.asc {
		for i, j := 0, len(sorted)-1; i < j; i, j = i+1, j-1 {
			sorted[i], sorted[j] = sorted[j], sorted[i]
		}
	}
	return sorted
}

// A source is one column of a raw answer in one series of one shard.
type source struct {
	at    int // in the row
	times []int64
	vals  []any
	read  func(any) any
}

// raw answers a SELECT without functions: a row for each series and time that has one of the fields.
func (p *plan) raw() ([]rows, error) {
	sets := map[string]*set{}
	for _, g := range p.groups {
		m := g.measurements[p.name]
		if m == nil {
			continue
		}
		selected, err := p.selected(m)
		if err != nil {
			return nil, err
		}
		for _, se := range selected {
			row := make([]any, 1+len(p.stmt.Fields)) // what every row of the series has: the tags
			var sources []source
			for i, f := range p.stmt.Fields {
				ref := f.Expr.(*influxql.VarRef)
				typ := p.typeOf(ref)
				if typ == influxql.Tag {
					if v := tagValue(se.tags, ref.Val); v != "" {
						row[1+i] = v
					}
					continue
				}
				if c := se.cols[ref.Val]; c != nil {
					if read := cast(m.fields[ref.Val], typ); read != nil {
						if times, vals := c.between(p.min, p.max); len(times) > 0 {
							sources = append(sources, source{1 + i, times, vals, read})
						}
					}
				}
			}
			if len(sources) > 0 {
				s := p.setOf(sets, se.tags)
				s.rows = append(s.rows, zip(sources, row)...)
			}
		}
	}
	for _, s := range sets {
		sort.SliceStable(s.rows, func(i, j int) bool {
			a, b := s.rows[i][0].(int64), s.rows[j][0].(int64)
			return p.asc && a < b || !p.asc && a > b
		})
	}
	return p.emit(sets), nil
}

// zip makes one row for each time in the sources.
func zip(sources []source, proto []any) [][]any {
	var out [][]any
	for {
		t, found := int64(0), false
		for i := range sources {
			if s := &sources[i]; len(s.times) > 0 && (!found || s.times[0] < t) {
				t, found = s.times[0], true
			}
		}
		if !found {
			return out
		}
		row := append([]any(nil), proto...)
		row[0] = t
		for i := range sources {
			if s := &sources[i]; len(s.times) > 0 && s.times[0] == t {
				row[s.at] = s.read(s.vals[0])
				s.times, s.vals = s.times[1:], s.vals[1:]
			}
		}
		out = append(out, row)
	}
}
