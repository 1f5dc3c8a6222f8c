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

// shown is the time that an answer gives for the cell's window. The first window of the axis, like a query without a beginning, has time 0.
func (c *cell) shown() int64 {
	if c.start == minTime {
		return 0
	}
	return c.start
}

// aggregate answers a SELECT of functions: a row for each set and window in which one of them has a value.
func (p *plan) aggregate() ([]rows, error) {
	sets := map[string]*set{}
	columns := make([]map[*set]map[int64]*cell, len(p.stmt.Fields))
	for i, f := range p.stmt.Fields {
		var err error
		if columns[i], err = p.call(f.Expr.(*influxql.Call), sets); err != nil {
			return nil, err
		}
	}
	selector := len(columns) == 1 && p.interval == 0 && influxql.IsSelector(p.stmt.Fields[0].Expr.(*influxql.Call))
	for _, s := range sets {
		lists := make([][]*cell, len(columns))
		for i, c := range columns {
			for start, one := range c[s] {
				if selector {
					one.start = one.time // a function that selects a value has that value's time, unless it shares the row
				}
				if selector || start != math.MinInt64 { // else the servers' mark for "no more points"
					lists[i] = append(lists[i], one)
				}
			}
			sort.Slice(lists[i], func(a, b int) bool { return (lists[i][a].start < lists[i][b].start) == p.asc })
		}
		s.rows = p.align(lists, selector)
	}
	return p.emit(sets), nil
}

// align joins the functions' cells to rows, as real servers do: by the times that are shown, always taking the earliest at the head of a list. A cell in the first window
// of the axis, which is shown as 0, holds up those behind it: rows of other functions overtake them, and one time can have several rows.
func (p *plan) align(lists [][]*cell, selector bool) [][]any {
	shown := func(c *cell) int64 {
		if selector {
			return c.start
		}
		return c.shown()
	}
	var out [][]any
	for {
		var next *cell
		for _, l := range lists {
			if len(l) > 0 && (next == nil || p.asc && shown(l[0]) < shown(next) || !p.asc && shown(l[0]) > shown(next)) {
				next = l[0]
			}
		}
		if next == nil {
			return out
		}
		row := make([]any, 1+len(lists))
		row[0] = shown(next)
		for i, l := range lists {
			if len(l) > 0 && shown(l[0]) == row[0] {
				row[1+i] = l[0].value
				lists[i] = l[1:]
			}
		}
		out = append(out, row)
	}
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
			if read == nil {
				continue
			}
			if refused := unsupported(call.Name, typ); refused != nil {
				return nil, refused
			}
			if c == nil {
				continue
			}
			times, vals := c.between(p.min, p.max)
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
	case "first": // of several values at one time the greater, but false
		_, boolean := v.(bool)
		take = t < c.time || t == c.time && (boolean && less(v, c.value) || !boolean && less(c.value, v))
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
