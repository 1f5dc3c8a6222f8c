package influxtest

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/influxdata/influxql"
)

// The greatest sizes, in bytes, of a series key with a field key and of a string.
const (
	maxKey    = 65535
	maxString = 1 << 20
)

// A point is one parsed line.
type point struct {
	measurement string
	tags        []Tag // by key
	key         string
	fields      []field
	time        int64
}

type field struct {
	key   string
	typ   influxql.DataType
	value any
}

// parseLines parses line protocol as the servers do. Each bad line gives one error, worded as theirs; the others are returned.
func (s *Server) parseLines(body string, now, unit int64) (points []point, bad []string) {
	for len(body) > 0 {
		line, rest := cutLine(body)
		body = rest
		line = strings.TrimSuffix(strings.TrimLeft(line, " \t\x00"), "\n") // one whose end was not seen still has it
		if line == "" || line[0] == '#' {
			continue
		}
		p, err := s.parseLine(line, now, unit)
		if err != nil {
			bad = append(bad, fmt.Sprintf("unable to parse '%s': %v", line, err))
			continue
		}
		points = append(points, p)
	}
	return points, bad
}

// cutLine splits at the first newline that is not inside a quoted string of the field set. It finds these strings no better than the servers do (scanLine): a
// space behind an escaped backslash, which belongs to a name, begins the fields for it.
func cutLine(s string) (line, rest string) {
	quoted, fields, equals := false, false, 0 // equals signs less commas
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+2 < len(s):
			i++
		case !fields && c == ' ':
			fields = true
		case fields && !quoted && c == '=':
			equals++
		case fields && !quoted && c == ',':
			equals--
		case fields && equals > 0 && c == '"':
			quoted = !quoted
		case c == '\n' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func (s *Server) parseLine(line string, now, unit int64) (p point, err error) {
	end := scan(line, 0, ", ")
	if end == 0 {
		return p, fmt.Errorf("missing measurement")
	}
	p.measurement = unescape(line[:end], ", ")
	at := end
	for at < len(line) && line[at] == ',' {
		at++
		eq := scan(line, at, "=, ")
		if eq == at {
			return p, fmt.Errorf("missing tag key")
		}
		if eq == len(line) || line[eq] != '=' {
			return p, fmt.Errorf("missing tag value")
		}
		to := scan(line, eq+1, "=, ")
		if to < len(line) && line[to] == '=' {
			return p, fmt.Errorf("invalid tag format")
		}
		if to == eq+1 {
			return p, fmt.Errorf("missing tag value")
		}
		p.tags = append(p.tags, Tag{unescape(line[at:eq], ",= "), unescape(line[eq+1:to], ",= ")})
		at = to
	}
	if at >= len(line) {
		return p, fmt.Errorf("missing fields")
	}
	sortTags(p.tags)
	for i, t := range p.tags {
		if i > 0 && t.Key == p.tags[i-1].Key {
			return p, fmt.Errorf("duplicate tags")
		}
		if s.version == V2 && (t.Key == "time" || t.Key == "_field" || t.Key == "_measurement") {
			return p, fmt.Errorf("cannot use reserved tag key %q", t.Key)
		}
	}
	if p.key = seriesKey(p.measurement, p.tags); len(p.key) > maxKey {
		return p, fmt.Errorf("max key length exceeded: %d > %d", len(p.key), maxKey)
	}
	for at < len(line) && line[at] == ' ' {
		at++
	}
	at, err = s.parseFields(&p, line, at)
	if err != nil {
		return p, err
	}
	for _, f := range p.fields {
		if n := len(p.key) + len("#!~#") + len(f.key); n > maxKey { // what a shard stores a value under
			return p, fmt.Errorf("max key length exceeded: %d > %d", n, maxKey)
		}
	}
	return p, parseTime(&p, strings.Trim(line[at:], " "), now, unit)
}

// parseFields reads the field set from at on and returns where it ends.
func (s *Server) parseFields(p *point, line string, at int) (int, error) {
	for {
		eq := scan(line, at, "=, ")
		if eq == len(line) || line[eq] != '=' {
			return at, fmt.Errorf("invalid field format")
		}
		if eq == at {
			return at, fmt.Errorf("missing field key")
		}
		f := field{key: unescape(line[at:eq], `,"= `)}
		to := eq + 1
		if to < len(line) && line[to] == '"' {
			for to++; to < len(line) && line[to] != '"'; to++ {
				if line[to] == '\\' && to+1 < len(line) && (line[to+1] == '"' || line[to+1] == '\\') {
					to++
				}
			}
			if to == len(line) {
				return at, fmt.Errorf("unbalanced quotes")
			}
			to++
			f.typ, f.value = influxql.String, unescape(line[eq+2:to-1], `"\`)
		} else {
			for to < len(line) && line[to] != ',' && line[to] != ' ' {
				to++
			}
			if err := s.parseValue(&f, line[eq+1:to]); err != nil {
				return at, err
			}
		}
		p.fields = append(p.fields, f)
		if to == len(line) || line[to] == ' ' {
			return to, nil
		}
		if line[to] != ',' {
			return at, fmt.Errorf("invalid field format")
		}
		at = to + 1
	}
}

func (s *Server) parseValue(f *field, text string) error {
	if text == "" {
		return fmt.Errorf("missing field value")
	}
	switch text {
	case "t", "T", "true", "True", "TRUE":
		f.typ, f.value = influxql.Boolean, true
		return nil
	case "f", "F", "false", "False", "FALSE":
		f.typ, f.value = influxql.Boolean, false
		return nil
	}
	if strings.IndexByte("0123456789-.Nn", text[0]) < 0 {
		return fmt.Errorf("invalid boolean")
	}
	last := len(text) - 1
	digits := func(t string) bool { return t != "" && t != "-" && strings.Trim(t, "0123456789") == "" }
	switch {
	case text[last] == 'i' && digits(strings.TrimPrefix(text[:last], "-")):
		n, err := strconv.ParseInt(text[:last], 10, 64)
		if err != nil {
			return fmt.Errorf("unable to parse integer %s: %w", text[:last], err)
		}
		f.typ, f.value = influxql.Integer, n
	case text[last] == 'u' && digits(text[:last]) && s.version == V2:
		n, err := strconv.ParseUint(text[:last], 10, 64)
		if err != nil {
			return fmt.Errorf("unable to parse unsigned %s: %w", text[:last], err)
		}
		f.typ, f.value = influxql.Unsigned, n
	case strings.Trim(text, "0123456789+-.eE") != "" || strings.Trim(text, "+-.eE") == "" || strings.HasPrefix(text, "--"):
		return fmt.Errorf("invalid number")
	default:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("invalid float")
		}
		f.typ, f.value = influxql.Float, v
	}
	return nil
}

func parseTime(p *point, text string, now, unit int64) error {
	if text == "" {
		p.time = now / unit * unit
		return nil
	}
	if strings.Contains(text, " ") {
		return fmt.Errorf("point is invalid")
	}
	if strings.Trim(strings.TrimPrefix(text, "-"), "0123456789") != "" || text == "-" {
		return fmt.Errorf("bad timestamp")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return err
	}
	if p.time = n * unit; p.time/unit != n || p.time < minTime || p.time > maxTime {
		return fmt.Errorf("time outside range %d - %d", int64(minTime), int64(maxTime))
	}
	return nil
}

// scan returns the first place from at on of one of the bytes in stop that no backslash stands before.
func scan(line string, at int, stop string) int {
	for i := at; i < len(line); i++ {
		if strings.IndexByte(stop, line[i]) >= 0 && (i == at || line[i-1] != '\\') {
			return i
		}
	}
	return len(line)
}

// unescape removes the backslash before each of the bytes in special; others stay.
func unescape(s, special string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(special, s[i+1]) >= 0 {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

var (
	escapeName = strings.NewReplacer(",", `\,`, " ", `\ `)
	escapeTag  = strings.NewReplacer(",", `\,`, "=", `\=`, " ", `\ `)
)

// seriesKey is the series as line protocol and SHOW SERIES write it.
func seriesKey(measurement string, tags []Tag) string {
	var b strings.Builder
	b.WriteString(escapeName.Replace(measurement))
	for _, t := range tags {
		b.WriteByte(',')
		b.WriteString(escapeTag.Replace(t.Key))
		b.WriteByte('=')
		b.WriteString(escapeTag.Replace(t.Value))
	}
	return b.String()
}
