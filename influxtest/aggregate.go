package influxtest

import (
	"fmt"
	"math"
	"sort"

	"github.com/influxdata/influxql"
)

// A cell is one function's value so far for one set in one window.
type cell struct {
	start int64 // of the window
	time  int64 // of the value, for functions that select one
	value any
}

// aggregate answers a SELECT of functions: a row for each set and window in which one of them has a value.
func (p *plan) aggregate() ([]rows, error) {
	sets := map[string]*set{}
	type place struct {
		s     *set
		start int64
	}
	got := map[place][]any{} // rows by window, their times still to be set
	selector := false
	for i, f := range p.stmt.Fields {
		call := f.Expr.(*influxql.Call)
		selector = len(p.stmt.Fields) == 1 && p.interval == 0 && influxql.IsSelector(call)
		cells, err := p.call(call, sets)
		if err != nil {
			return nil, err
		}
		for s, byStart := range cells {
			for start, c := range byStart {
				row := got[place{s, start}]
				if row == nil {
					row = make([]any, 1+len(p.stmt.Fields))
					got[place{s, start}] = row
				}
				if row[1+i] = c.value; selector {
					row[0] = c.time
				}
			}
		}
	}
	for at, row := range got {
		switch {
		case selector:
		case at.start == math.MinInt64:
			continue // the servers' mark for "no more points"
		default:
			row[0] = at.start
		}
		at.s.rows = append(at.s.rows, row)
	}
	for _, s := range sets {
		sort.Slice(s.rows, func(i, j int) bool { return s.rows[i][0].(int64) < s.rows[j][0].(int64) })
	}
	out := p.emit(sets)
	if !selector {
		for _, r := range out {
			for _, row := range r.values {
				if row[0] == int64(minTime) {
					row[0] = int64(0) // also for the first window of the axis
				}
			}
		}
	}
	return out, nil
}

// call computes one function for every set and window.
func (p *plan) call(call *influxql.Call, sets map[string]*set) (map[*set]map[int64]*cell, error) {
	ref := call.Args[0].(*influxql.VarRef)
	typ := p.typeOf(ref)
	cells := map[*set]map[int64]*cell{}
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
			c := se.cols[ref.Val]
			read := cast(m.fields[ref.Val], typ)
			if c == nil || read == nil {
				continue
			}
			times, vals := c.between(p.min, p.max)
			if refused := unsupported(call.Name, typ); refused != nil {
				return nil, refused
			}
			if len(times) == 0 {
				continue
			}
			s := p.setOf(sets, se.tags)
			if cells[s] == nil {
				cells[s] = map[int64]*cell{}
			}
			p.reduce(call.Name, cells[s], times, vals, read)
		}
	}
	return cells, nil
}

func unsupported(function string, typ influxql.DataType) error {
	if typ == influxql.String && (function == "sum" || function == "min" || function == "max") || typ == influxql.Boolean && function == "sum" {
		return fmt.Errorf("unsupported %s iterator type: *query.%sInterruptIterator", function, typ)
	}
	return nil
}

// reduce adds the values of one series in one shard. A value outside the window that is computed for it ends the series there: that is how
// values at the ends of the axis get lost, and those after them.
func (p *plan) reduce(function string, cells map[int64]*cell, times []int64, vals []any, read func(any) any) {
	for i := 0; i < len(times); {
		start, end := p.window(times[i])
		first := i
		c := cells[start]
		for ; i < len(times) && times[i] >= start && times[i] < end; i++ {
			if c == nil {
				c = &cell{start: start}
				cells[start] = c
			}
			c.add(function, times[i], read(vals[i]))
		}
		if i == first {
			return
		}
	}
}

func (c *cell) add(function string, t int64, v any) {
	if function == "count" {
		n, _ := c.value.(int64)
		c.value = n + 1
		return
	}
	if c.value == nil {
		c.time, c.value = t, v
		return
	}
	take := false
	switch function {
	case "sum":
		switch has := c.value.(type) {
		case float64:
			c.value = has + v.(float64)
		case int64:
			c.value = has + v.(int64)
		case uint64:
			c.value = has + v.(uint64)
		}
		return
	case "first": // of several values at one time the greater
		take = t < c.time || t == c.time && less(c.value, v)
	case "last":
		take = t > c.time || t == c.time && less(c.value, v)
	case "min": // of several equal values the earlier
		take = less(v, c.value) || !less(c.value, v) && t < c.time
	case "max":
		take = less(c.value, v) || !less(v, c.value) && t < c.time
	}
	if take {
		c.time, c.value = t, v
	}
}

func less(a, b any) bool {
	switch a := a.(type) {
	case float64:
		return a < b.(float64)
	case int64:
		return a < b.(int64)
	case uint64:
		return a < b.(uint64)
	case string:
		return a < b.(string)
	case bool:
		return !a && b.(bool)
	}
	return false
}
