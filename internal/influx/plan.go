package influx

import (
	"fmt"
	"strconv"
	"strings"

	"influxmirror/internal/mirror"
)

// plan is what EXPLAIN says of a read: the authority for types and for the number of shards (facts 3).
// A window in which the measurement has nothing has no plan: shards is 0.
type plan struct {
	shards int
	series int
	fields []planField
	tags   []string
}

type planField struct {
	name string
	typ  mirror.Type
}

// line takes one row of the plan.
func (p *plan) line(s string) error {
	key, v, _ := strings.Cut(s, ": ")
	var err error
	switch key {
	case "NUMBER OF SHARDS":
		p.shards, err = strconv.Atoi(v)
	case "NUMBER OF SERIES":
		p.series, err = strconv.Atoi(v)
	case "AUXILIARY FIELDS":
		return p.references(v)
	}
	if err != nil {
		return fmt.Errorf("%w: plan says %q", errGrammar, printable(s, 100))
	}
	return nil
}

// references reads a::integer, "odd name"::float, host::tag.
func (p *plan) references(s string) error {
	for rest := s; rest != ""; {
		name, after, ok := reference(rest)
		kind, next, _ := strings.Cut(after, ", ")
		if !ok {
			return fmt.Errorf("%w: plan says %q", errGrammar, printable(s, 100))
		}
		if rest = next; len(p.fields)+len(p.tags) >= maxColumns {
			return fmt.Errorf("%w: a plan of more than %d columns", errGrammar, maxColumns)
		}
		if kind == "tag" {
			p.tags = append(p.tags, name)
			continue
		}
		t, err := mirror.ParseType(kind)
		if err != nil {
			return fmt.Errorf("%w: plan says %q: %v", errGrammar, printable(s, 100), err)
		}
		p.fields = append(p.fields, planField{name, t})
	}
	return nil
}

// reference reads one name up to its "::".
func reference(s string) (name, after string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		name, after, ok = strings.Cut(s, "::")
		return name, after, ok
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			after, ok = strings.CutPrefix(s[i+1:], "::")
			return b.String(), after, ok
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
			if s[i] == 'n' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", false
}

// parsePlan reads the plan in statement 0 of a small answer.
func parsePlan(tables []table) plan {
	var p plan
	for _, t := range tables {
		if t.Statement != 0 {
			continue
		}
		for _, row := range t.Rows {
			if len(row) == 1 && p.line(row[0].Text) != nil {
				return plan{}
			}
		}
	}
	return p
}

// sumCounts adds up the counts in a table of count() columns.
func sumCounts(t table) (n uint64) {
	for _, row := range t.Rows {
		for i, v := range row {
			if !v.Nil && t.Columns[i] != "time" {
				n += v.Bits
			}
		}
	}
	return n
}
