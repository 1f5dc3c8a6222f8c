package influx

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/influxql"

	"influxmirror/internal/mirror"
)

// FuzzNames: what is asked for by name is asked for by this name, in this one statement; only what InfluxQL cannot say is called so. What a server writes of
// names in its plans comes back as these names.
func FuzzNames(f *testing.F) {
	for _, s := range [][2]string{{"m", "v"}, {`a"b'c\d`, "x;y"}, {"a\nb", `"; DROP SERIES FROM m; --`}, {"a\rb", "\x00"}, {"\xff", "\xed\xa0\x80"}, {"a::float, b", "::tag"}, {"/x/", "$1"}, {"", "SELECT"},
		{"a\\", "\\n"}, {"\u2028", "\ufffd"}, {"_tags", "time"}, {"db/rp", `a"/"b`}, {"x: 7", "shard_id: 9"}, {"'", "\\'"}, {"a/* b */", "-- c"}} {
		f.Add(s[0], s[1], int64(-7), int64(9))
		f.Add(s[1], s[0], mirror.MinTime, mirror.MaxTime)
	}
	f.Fuzz(func(t *testing.T, a, b string, start, stop int64) {
		checkPlan(t, a, b)
		for _, name := range []string{a, b} {
			if !askable(name) {
				if got, err := ident2(name); err == nil && got == name {
					t.Fatalf("%q can be asked for, and is called unreadable", name)
				}
				if unreadable(name, nil) == "" {
					t.Fatalf("%q cannot be asked for", name)
				}
				return
			}
		}
		w := mirror.Window{Start: max(start, mirror.MinTime), Stop: min(max(stop, mirror.MinTime), mirror.MaxTime)}
		if w.Empty() {
			return
		}
		only := []mirror.Tag{{Key: b, Value: a}}
		if strings.EqualFold(b, "time") { // no tag may be called so
			only = nil
		}
		c := without(Options{Only: only}, nil)
		d := databaseOf(a)
		statements := []string{
			"EXPLAIN SELECT *::field, *::tag FROM " + ident(a) + " WHERE " + c.where(w),
			"SELECT " + counts([]mirrorField{{name: b, types: []string{"float", "string"}}}) + " FROM " + ident(a) + " WHERE " + where(w),
			showMeasurements(d),
			c.grantStatement(d),
			sentinel,
		}
		q, err := influxql.ParseQuery(strings.Join(statements[:2], ";\n") + ";\n" + statements[3] + ";\n" + sentinel)
		if err != nil || len(q.Statements) != 4 {
			t.Fatalf("%q is asked as %q: %v", a, statements, err)
		}
		explain, ok := q.Statements[0].(*influxql.ExplainStatement)
		if !ok || explain.Analyze {
			t.Fatalf("it is asked: %s", q.Statements[0])
		}
		checkSelect(t, explain.Statement, a, w, only)
		count := q.Statements[1].(*influxql.SelectStatement)
		checkSelect(t, count, a, w, nil)
		for i, cast := range []influxql.DataType{influxql.Float, influxql.String} {
			ref, ok := count.Fields[i].Expr.(*influxql.Call).Args[0].(*influxql.VarRef)
			if !ok || ref.Val != b || ref.Type != cast {
				t.Fatalf("%q is counted as %s", b, count.Fields[i])
			}
		}
		grant, ok := q.Statements[2].(*influxql.GrantStatement)
		if !ok || grant.On != d.name || grant.User != "" || len(count.Fields) != 2 {
			t.Fatalf("it is told to say: %s", q.Statements[2])
		}
		if _, ok := q.Statements[3].(*influxql.ShowDatabasesStatement); !ok {
			t.Fatalf("the last statement is %s", q.Statements[3])
		}
		if d.policy == "" { // the parser of 1.x takes no policy here
			show, err := influxql.ParseStatement(statements[2])
			if s, ok := show.(*influxql.ShowMeasurementsStatement); err != nil || !ok || s.Database != d.name {
				t.Fatalf("%s: %v", statements[2], err)
			}
		}
	})
}

// ident2 is what a server makes of a name in quotes.
func ident2(name string) (string, error) {
	e, err := influxql.ParseExpr(ident(name))
	if err != nil {
		return "", err
	}
	if ref, ok := e.(*influxql.VarRef); ok {
		return ref.Val, nil
	}
	return "", errJudge
}

func checkSelect(t *testing.T, s *influxql.SelectStatement, measurement string, w mirror.Window, only []mirror.Tag) {
	t.Helper()
	if len(s.Sources) != 1 || s.Target != nil {
		t.Fatalf("it is asked: %s", s)
	}
	m, ok := s.Sources[0].(*influxql.Measurement)
	if !ok || m.Name != measurement || m.Regex != nil || m.Database != "" || m.RetentionPolicy != "" {
		t.Fatalf("%q is asked for as %s", measurement, s)
	}
	cond, span, err := influxql.ConditionExpr(s.Condition, &influxql.NowValuer{Now: time.Unix(0, 0)})
	first, last := w.Closed()
	if err != nil || span.MinTimeNano() != first || span.MaxTimeNano() != last {
		t.Fatalf("%v is asked for as %s: %v", w, s, err)
	}
	var got []mirror.Tag
	if cond != nil {
		influxql.WalkFunc(cond, func(n influxql.Node) {
			if e, ok := n.(*influxql.BinaryExpr); ok && e.Op != influxql.AND {
				ref, isRef := e.LHS.(*influxql.VarRef)
				value, isText := e.RHS.(*influxql.StringLiteral)
				if e.Op != influxql.EQ || !isRef || !isText || ref.Type != influxql.Tag {
					t.Fatalf("it is asked for %s", e)
				}
				got = append(got, mirror.Tag{Key: ref.Val, Value: value.Val})
			}
		})
	}
	if !slices.Equal(got, only) {
		t.Fatalf("%q is asked for as %s", only, s)
	}
}

// checkPlan: names as a server writes them into the lines of a plan.
func checkPlan(t *testing.T, a, b string) {
	t.Helper()
	refs := []influxql.VarRef{{Val: a, Type: influxql.Float}, {Val: b, Type: influxql.Tag}, {Val: b, Type: influxql.String}, {Val: "plain", Type: influxql.Unsigned}}
	var text []string
	for i := range refs {
		text = append(text, refs[i].String())
	}
	var p plan
	err := p.line("AUXILIARY FIELDS: " + strings.Join(text, ", "))
	if err != nil || !slices.Equal(p.fields, []planField{{a, mirror.Float}, {b, mirror.String}, {"plain", mirror.Unsigned}}) || !slices.Equal(p.tags, []string{b}) {
		t.Fatalf("%q is read as %+v: %v", text, p, err)
	}
	var odd plan // whatever a line says, it is understood or an error
	if err := odd.line("AUXILIARY FIELDS: " + a); err == nil {
		n := 0
		for rest := a; rest != ""; n++ {
			_, after, ok := reference(rest)
			if _, rest, _ = strings.Cut(after, ", "); !ok {
				t.Fatalf("%q is no list of names", a)
			}
		}
		if len(odd.fields)+len(odd.tags) != n {
			t.Fatalf("%q is read as %+v", a, odd)
		}
	}
}
