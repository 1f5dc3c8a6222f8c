package oracle

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"influxmirror/test/servers"
)

// oldest bounds how many points of a series the oldest shard group of a server may hold for Read.
const oldest = 20

// Read returns every sample of a bucket that lies in within: on 2.x a bucket's name, on 1.x "db/rp", or "db" for its default policy.
// In the shard group at the start of the axis it reads no series of 20 points or more.
func Read(s *servers.Server, bucket string, within Span) (Contents, error) {
	groups, err := Groups(s, bucket)
	if err != nil {
		return nil, err
	}
	db, from := bucket, ""
	if s.Kind.Old() {
		var rp string
		if db, rp, err = policy(s, bucket); err != nil {
			return nil, err
		}
		from = quoted(db) + "." + quoted(rp) + "."
	}
	var measurements []string
	err = answer(s, db, []string{"SHOW MEASUREMENTS"}, func(_ int, b rows) error {
		for _, v := range b.values {
			measurements = append(measurements, v[0].(string))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var parts []part
	for _, g := range groups {
		g = Span{max(g.First, within.First), min(g.Last, within.Last)}
		if g.First > g.Last {
			continue
		}
		for _, m := range measurements {
			parts = append(parts, part{m, from + quoted(m), g, g.First == AxisStart})
		}
	}
	out := Contents{}
	for some := range slices.Chunk(parts, 1000) {
		if err := readParts(s, db, some, out); err != nil {
			return nil, fmt.Errorf("read %s of %v: %w", bucket, s.Kind, err)
		}
	}
	return out, nil
}

// part is one measurement in one shard group.
type part struct {
	measurement string
	from        string
	span        Span
	oldest      bool // the group at the start of the axis
}

func readParts(s *servers.Server, db string, some []part, out Contents) error {
	// The catalogue says which fields are unsigned in this shard; msgpack does not tell 5 from 5u.
	var find, read []string
	for _, p := range some {
		last, limit := p.span.Last, ""
		if p.oldest {
			// After a restart the server shows the oldest group only to those who ask up to the end of the axis.
			last, limit = AxisStop, fmt.Sprintf(" LIMIT %d", oldest)
		}
		from := fmt.Sprintf("SELECT *::field FROM %s WHERE time >= %d AND time <= %d", p.from, p.span.First, last)
		find = append(find, "EXPLAIN "+from)
		read = append(read, from+" GROUP BY *"+limit)
	}
	unsigned := make([]map[string]bool, len(some))
	err := answer(s, db, find, func(st int, b rows) error {
		for _, v := range b.values {
			line := v[0].(string)
			if n, ok := strings.CutPrefix(line, "NUMBER OF SHARDS: "); ok && n != "1" && !some[st].oldest {
				return fmt.Errorf("%q in %v lies in %s shards, the catalogue says one", some[st].measurement, some[st].span, n)
			}
			if list, ok := strings.CutPrefix(line, "AUXILIARY FIELDS: "); ok {
				unsigned[st] = unsignedIn(list)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return answer(s, db, read, func(st int, b rows) error {
		part := some[st]
		if b.name != part.measurement {
			return fmt.Errorf("rows of %q where %q was asked for", b.name, part.measurement)
		}
		for i, row := range b.values {
			at := row[0].(int64)
			if !part.span.Holds(at) {
				if part.oldest {
					break // of younger groups
				}
				return fmt.Errorf("time %d outside %v", at, part.span)
			}
			if i == oldest-1 && part.oldest {
				return fmt.Errorf("the oldest group holds more than %d points of a series", oldest-1)
			}
			for i, v := range row[1:] {
				if v == nil {
					continue
				}
				field := b.columns[i+1]
				value, err := Value(v, unsigned[st][field])
				if err != nil {
					return err
				}
				if err := out.add(Place{b.name, b.tags, field, at}, value); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

var reference = regexp.MustCompile(`("(?:[^"\\]|\\.)*"|[^":, ]+)::([a-z]+)`)

func unsignedIn(list string) map[string]bool {
	out := map[string]bool{}
	for _, m := range reference.FindAllStringSubmatch(list, -1) {
		name := m[1]
		if strings.HasPrefix(name, `"`) {
			name = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(name[1 : len(name)-1])
		}
		out[name] = m[2] == "unsigned"
	}
	return out
}

// rows is one block of an answer.
type rows struct {
	name    string
	tags    string
	columns []string
	values  [][]any
}

// answer runs the statements in one request and hands over every block of rows. Anything but a whole answer is an error.
func answer(s *servers.Server, db string, statements []string, fn func(statement int, b rows) error) error {
	form := url.Values{"db": {db}, "epoch": {"ns"}, "q": {strings.Join(statements, "; ")}}
	a, err := s.Do("POST", "/query", form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "application/x-msgpack")
	if err != nil {
		return err
	}
	if a.Status != 200 || a.Header.Get("Content-Type") != "application/x-msgpack" {
		return fmt.Errorf("query: status %d, %s", a.Status, a.Header.Get("Content-Type"))
	}
	v, rest, err := msgp.ReadIntfBytes(a.Body)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("query: %d bytes after the answer", len(rest))
	}
	results, _ := v.(map[string]any)["results"].([]any)
	if len(results) != len(statements) {
		return fmt.Errorf("%d answers to %d statements: %.300s", len(results), len(statements), a.Body)
	}
	for i, r := range results {
		r := r.(map[string]any)
		if e, bad := r["error"]; bad {
			return fmt.Errorf("statement %s: %v", statements[i], e)
		}
		list, _ := r["series"].([]any)
		for _, one := range list {
			one := one.(map[string]any)
			if one["partial"] == true || r["partial"] == true {
				return fmt.Errorf("statement %s: a partial answer", statements[i])
			}
			b := rows{}
			b.name, _ = one["name"].(string)
			if tags, ok := one["tags"].(map[string]any); ok {
				raw := make(map[string]string, len(tags))
				for k, v := range tags {
					raw[k] = v.(string)
				}
				b.tags = TagsOf(raw)
			}
			for _, c := range one["columns"].([]any) {
				b.columns = append(b.columns, c.(string))
			}
			values, _ := one["values"].([]any)
			for _, row := range values {
				b.values = append(b.values, row.([]any))
			}
			if err := fn(i, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func quoted(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}
