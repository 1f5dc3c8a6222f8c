package influxtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/influxdata/influxql"
)

// A plan is a SELECT of one measurement with its names resolved in the shards it reads.
type plan struct {
	stmt     *influxql.SelectStatement // rewritten: no wildcards, every reference has a type
	name     string                    // of the measurement
	bucket   *bucket
	index    *bucket  // 1.x: what the index of the whole database knows
	groups   []*group // by time
	min, max int64    // both included
	cond     influxql.Expr
	dims     []string // tags to group by
	interval int64    // 0: none
	offset   int64
	asc      bool
	version  Version

	fields map[string]influxql.DataType // of the measurement in the groups; nil until resolved
	tags   map[string]struct{}
}

// newPlan resolves a statement: fields by name or *, with a type or ::field or ::tag; count, sum, first, last, min and max of them; one measurement;
// WHERE on time and tags; GROUP BY * or tags or time with fill(none); ORDER BY time; LIMIT and OFFSET.
func (ses *session) newPlan(st *influxql.SelectStatement) (*plan, error) {
	if len(st.Sources) != 1 {
		return nil, errors.New("influxtest: one measurement in a statement")
	}
	src, ok := st.Sources[0].(*influxql.Measurement)
	if !ok || src.Regex != nil {
		return nil, errors.New("influxtest: sources are measurements by name")
	}
	db, rp := src.Database, src.RetentionPolicy
	if db == "" && rp != "" {
		db = ses.db
	}
	b, err := ses.bucket(db, rp)
	if err != nil {
		return nil, err
	}
	cond, tr, err := influxql.ConditionExpr(st.Condition, &influxql.NowValuer{Now: ses.now})
	if err != nil {
		return nil, err
	}
	p := &plan{name: src.Name, bucket: b, cond: cond, min: minTime, max: maxTime, asc: st.TimeAscending(), version: ses.s.version}
	if p.version == V1 {
		p.index = ses.index(b.db)
	}
	interval, err := st.GroupByInterval()
	if err != nil {
		return nil, err
	}
	if p.interval = int64(interval); interval > 0 {
		offset, err := st.GroupByOffset()
		if err != nil {
			return nil, err
		}
		p.offset = int64(offset)
		if tr.Max.IsZero() && p.asc {
			tr.Max = ses.now
		}
		if st.Fill != influxql.NoFill {
			return nil, errors.New("influxtest: GROUP BY time needs fill(none)")
		}
	}
	if !tr.Min.IsZero() {
		p.min = tr.MinTimeNano()
	}
	if !tr.Max.IsZero() {
		p.max = tr.MaxTimeNano()
	}
	p.groups = b.overlapping(p.min, p.max)
	p.resolve()
	if p.stmt, err = st.RewriteFields(p); err != nil {
		return nil, err
	}
	for _, d := range p.stmt.Dimensions {
		if ref, ok := d.Expr.(*influxql.VarRef); ok && !slices.Contains(p.dims, ref.Val) {
			p.dims = append(p.dims, ref.Val)
		}
	}
	slices.Sort(p.dims)
	return p, p.check()
}

// check refuses what would be answered wrongly.
func (p *plan) check() error {
	calls, refs := 0, 0
	for _, f := range p.stmt.Fields {
		switch e := f.Expr.(type) {
		case *influxql.VarRef:
			refs++
		case *influxql.Call:
			calls++
			if _, ok := e.Args[0].(*influxql.VarRef); !ok || len(e.Args) != 1 || !slices.Contains([]string{"count", "sum", "first", "last", "min", "max"}, e.Name) {
				return fmt.Errorf("influxtest: no %s here", e)
			}
		default:
			return fmt.Errorf("influxtest: no %s here", e)
		}
	}
	if calls > 0 && refs > 0 {
		return errors.New("mixing aggregate and non-aggregate queries is not supported")
	}
	if calls == 0 && p.interval > 0 && refs > 0 {
		return errors.New("GROUP BY requires at least one aggregate function")
	}
	return nil
}

// systemFields are the columns of the measurements that servers use inside; EXPLAIN lets them through.
var systemFields = map[string][]string{"_series": {"key"}, "_fieldKeys": {"fieldKey", "fieldType"}, "_tagKeys": {"tagKey"}}

// FieldDimensions returns the fields and tags of the measurement in the shards of the plan. Of several types of a field the
// one that comes first here is its type for the whole query: float, integer, unsigned, string, boolean.
func (p *plan) FieldDimensions(*influxql.Measurement) (map[string]influxql.DataType, map[string]struct{}, error) {
	// The statement is rewritten with these maps, which may be changed by that.
	return maps.Clone(p.fields), maps.Clone(p.tags), nil
}

// resolve finds the fields and tags of the measurement in the shards of the plan.
func (p *plan) resolve() {
	p.fields, p.tags = map[string]influxql.DataType{}, map[string]struct{}{}
	for _, f := range systemFields[p.name] {
		p.fields[f] = influxql.String
	}
	found := false
	for _, g := range p.groups {
		m := g.measurements[p.name]
		if m == nil {
			continue
		}
		found = true
		for f, t := range m.fields {
			if p.fields[f].LessThan(t) {
				p.fields[f] = t
			}
		}
		for _, k := range m.tagKeys() {
			p.tags[k] = struct{}{}
		}
	}
	if found && p.version == V1 {
		// The index of 1.x as shipped is one for all shards of a database.
		for _, g := range p.index.groups {
			if m := g.measurements[p.name]; m != nil {
				for _, k := range m.tagKeys() {
					p.tags[k] = struct{}{}
				}
			}
		}
	}
}

// MapType is the type of a name in the shards of the plan; a field hides a tag of the same name.
func (p *plan) MapType(_ *influxql.Measurement, name string) influxql.DataType {
	if t, ok := p.fields[name]; ok {
		return t
	}
	if _, ok := p.tags[name]; ok {
		return influxql.Tag
	}
	if name == "time" {
		return influxql.Time
	}
	return influxql.Unknown
}

// refs returns the different references among the expressions, by name and type, as EXPLAIN lists them.
func (p *plan) refs() []influxql.VarRef {
	all := map[influxql.VarRef]bool{}
	for _, f := range p.stmt.Fields {
		if ref, ok := f.Expr.(*influxql.VarRef); ok {
			all[*ref] = true
		}
	}
	list := slices.Collect(maps.Keys(all))
	slices.SortFunc(list, func(a, b influxql.VarRef) int {
		if a.Val != b.Val {
			return compare(a.Val, b.Val)
		}
		return int(a.Type) - int(b.Type)
	})
	return list
}

// typeOf resolves ::field, which leaves the type open.
func (p *plan) typeOf(ref *influxql.VarRef) influxql.DataType {
	if ref.Type == influxql.AnyField {
		return p.fields[ref.Val]
	}
	return ref.Type
}

// selected returns the series of one shard that the condition holds for.
func (p *plan) selected(m *measurement) ([]*series, error) {
	if p.cond == nil {
		return m.inOrder(), nil
	}
	var out []*series
	for _, se := range m.inOrder() {
		ok, err := holds(p.cond, se.tags)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, se)
		}
	}
	return out, nil
}

// holds evaluates a condition on tags; a tag that is not there is the empty string.
func holds(e influxql.Expr, tags []Tag) (bool, error) {
	switch e := e.(type) {
	case nil:
		return true, nil
	case *influxql.ParenExpr:
		return holds(e.Expr, tags)
	case *influxql.BooleanLiteral:
		return e.Val, nil
	case *influxql.BinaryExpr:
		if e.Op == influxql.AND || e.Op == influxql.OR {
			l, err := holds(e.LHS, tags)
			if err != nil {
				return false, err
			}
			r, err := holds(e.RHS, tags)
			return e.Op == influxql.AND && l && r || e.Op == influxql.OR && (l || r), err
		}
		ref, ok := e.LHS.(*influxql.VarRef)
		if !ok {
			break
		}
		switch v := e.RHS.(type) {
		case *influxql.StringLiteral:
			if e.Op == influxql.EQ || e.Op == influxql.NEQ {
				return (tagValue(tags, ref.Val) == v.Val) == (e.Op == influxql.EQ), nil
			}
		case *influxql.RegexLiteral:
			if e.Op == influxql.EQREGEX || e.Op == influxql.NEQREGEX {
				return v.Val.MatchString(tagValue(tags, ref.Val)) == (e.Op == influxql.EQREGEX), nil
			}
		}
	}
	return false, fmt.Errorf("influxtest: no condition %s here", e)
}

// window is where GROUP BY time puts t. At the ends of the axis the sums wrap around as they do in a real server, which loses points there.
func (p *plan) window(t int64) (start, end int64) {
	if p.interval == 0 {
		return p.min, p.max + 1
	}
	t -= p.offset
	into := t % p.interval
	if into < 0 {
		into += p.interval
	}
	start, end = t-into, t-into+p.interval
	if minTime+into >= t {
		start = minTime
	}
	if maxTime-(p.interval-into) <= t {
		end = maxTime
	}
	return start + p.offset, end + p.offset
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// cast returns how values of type from are read as type to, nil when they are left out.
func cast(from, to influxql.DataType) func(any) any {
	same := func(v any) any { return v }
	switch {
	case from == to:
		return same
	case to == influxql.Float && from == influxql.Integer:
		return func(v any) any { return float64(v.(int64)) }
	case to == influxql.Float && from == influxql.Unsigned:
		return func(v any) any { return float64(v.(uint64)) }
	case to == influxql.Integer && from == influxql.Float:
		return func(v any) any { return int64(v.(float64)) }
	case to == influxql.Integer && from == influxql.Unsigned:
		return func(v any) any { return int64(v.(uint64)) }
	case to == influxql.Unsigned && from == influxql.Float:
		return func(v any) any { return uint64(v.(float64)) }
	case to == influxql.Unsigned && from == influxql.Integer:
		return func(v any) any { return uint64(v.(int64)) }
	}
	return nil
}

var _ influxql.FieldMapper = (*plan)(nil)
