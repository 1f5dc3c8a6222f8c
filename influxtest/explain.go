package influxtest

import (
	"fmt"
	"strings"

	"github.com/influxdata/influxql"
)

// explain answers EXPLAIN and EXPLAIN ANALYZE.
func (ses *session) explain(st *influxql.ExplainStatement) ([]rows, error) {
	p, err := ses.newPlan(st.Statement)
	if err != nil {
		return nil, err
	}
	out, lines := rows{columns: []string{"QUERY PLAN"}}, p.explain
	if st.Analyze {
		out.columns[0], lines = "EXPLAIN ANALYZE", p.analyze
	}
	text, err := lines()
	if err != nil {
		return nil, err
	}
	for _, l := range text {
		out.values = append(out.values, []any{l})
	}
	return []rows{out}, nil
}

// A need is what one iterator of a query reads: a function of a field, or all the columns of a raw answer.
type need struct {
	expr string // "" for a raw answer
	refs []influxql.VarRef
}

func (p *plan) needs() []need {
	if len(p.stmt.Fields) == 0 {
		return nil
	}
	if _, ok := p.stmt.Fields[0].Expr.(*influxql.Call); !ok {
		refs := p.refs()
		for _, r := range refs {
			if r.Type != influxql.Unknown {
				return []need{{"", refs}}
			}
		}
		return nil
	}
	var list []need
	seen := map[string]bool{}
	for _, f := range p.stmt.Fields {
		call := f.Expr.(*influxql.Call)
		if ref := call.Args[0].(*influxql.VarRef); ref.Type != influxql.Unknown && !seen[call.String()] {
			seen[call.String()] = true
			list = append(list, need{call.String(), []influxql.VarRef{*ref}})
		}
	}
	return list
}

// explain gives the lines of EXPLAIN. A query that reads no field has one empty line.
func (p *plan) explain() ([]string, error) {
	var lines []string
	for i, n := range p.needs() {
		if i > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, "EXPRESSION: "+or(n.expr, "<nil>"))
		if n.expr == "" {
			names := make([]string, len(n.refs))
			for i, r := range n.refs {
				names[i] = r.String()
			}
			lines = append(lines, "AUXILIARY FIELDS: "+strings.Join(names, ", "))
		}
		shards, series, values, err := p.cost(n)
		if err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("NUMBER OF SHARDS: %d", shards), fmt.Sprintf("NUMBER OF SERIES: %d", series), fmt.Sprintf("CACHED VALUES: %d", values),
			"NUMBER OF FILES: 0", "NUMBER OF BLOCKS: 0", "SIZE OF BLOCKS: 0")
	}
	if lines == nil {
		lines = []string{""}
	}
	return lines, nil
}

// cost counts what EXPLAIN counts. 1.x, whose index knows no shards, counts every shard of the window and every series in each.
func (p *plan) cost(n need) (shards, nseries, values int, err error) {
	if influxql.IsSystemName(p.name) && systemFields[p.name] != nil {
		return 0, 0, 0, nil
	}
	everywhere := 0 // series of a shard on 1.x
	if p.version == V1 {
		for _, se := range p.index.allSeries(p.name) {
			ok, err := holds(p.cond, se.tags)
			if err != nil {
				return 0, 0, 0, err
			}
			if ok {
				everywhere++
			}
		}
	}
	for _, g := range p.groups {
		m := g.measurements[p.name]
		if m == nil {
			if p.version == V1 {
				shards++
				nseries += everywhere
			}
			continue
		}
		selected, err := p.selected(m)
		if err != nil {
			return 0, 0, 0, err
		}
		shards++
		if p.version == V1 {
			nseries += everywhere
		} else {
			nseries += len(selected)
		}
		for _, se := range selected {
			for _, r := range n.refs {
				if c := se.cols[r.Val]; c != nil {
					times, _ := c.between(minTime, maxTime)
					values += len(times)
				}
			}
		}
	}
	return shards, nseries, values, nil
}

// analyze gives the lines of EXPLAIN ANALYZE: one create_iterator for each shard that is read, with its id. Times are not measured.
func (p *plan) analyze() ([]string, error) {
	var iterators [][2]string // measurement, shard
	for _, n := range p.needs() {
		for _, g := range p.groups {
			m := g.measurements[p.name]
			if m == nil {
				continue
			}
			selected, err := p.selected(m)
			if err != nil {
				return nil, err
			}
			ref := n.refs[0]
			if len(selected) > 0 && (n.expr == "" || cast(m.fields[ref.Val], p.typeOf(&ref)) != nil) {
				iterators = append(iterators, [2]string{p.name, fmt.Sprint(g.id)})
			}
		}
	}
	lines := []string{".", "└── select", "    ├── execution_time: 1µs", "    ├── planning_time: 1µs"}
	if len(iterators) == 0 {
		return append(lines, "    └── total_time: 2µs", ""), nil
	}
	lines = append(lines, "    ├── total_time: 2µs")
	for i, it := range iterators {
		const down = "│\u00a0\u00a0 " // no-break spaces, as the servers draw trees
		branch, stem := "├", down
		if i+1 == len(iterators) {
			branch, stem = "└", "    "
		}
		lines = append(lines, "    "+branch+"── create_iterator",
			"    "+stem+"├── labels",
			"    "+stem+down+"├── measurement: "+it[0],
			"    "+stem+down+"└── shard_id: "+it[1],
			"    "+stem+"└── planning_time: 1µs")
	}
	return append(lines, ""), nil
}
