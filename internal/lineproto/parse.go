package lineproto

import (
	"bytes"
	"fmt"
	"math"
	"strconv"

	"influxmirror/internal/mirror"
)

// Parse reads a canonical line of one field back. It is the inverse of AppendLine and of nothing else.
func Parse(line []byte) (mirror.Sample, error) {
	var s mirror.Sample
	bad := func(what string) (mirror.Sample, error) {
		return s, fmt.Errorf("not a canonical line: %s in %q", what, line)
	}
	end := keyEnd(line)
	if end >= len(line) {
		return bad("no field")
	}
	for i, rest := 0, line[:end]; len(rest) > 0; i++ {
		part, next := cut(rest, ',')
		rest = next
		if i == 0 {
			s.Measurement = unescape(part, ", ")
			continue
		}
		k, v := cut(part, '=')
		s.Tags = append(s.Tags, mirror.Tag{Key: unescape(k, ",= "), Value: unescape(v, ",= ")})
	}
	eq, stop := field(line, end+1)
	if stop >= len(line) || line[stop] != ' ' || eq+1 >= stop {
		return bad("not one field")
	}
	s.Field = unescape(line[end+1:eq], ",= ")
	var err error
	v := line[eq+1 : stop]
	last := v[len(v)-1]
	switch {
	case v[0] == '"':
		s.Type, s.Text = mirror.String, unescape(v[1:len(v)-1], `"\`)
	case v[0] == 't' || v[0] == 'f':
		s.Type = mirror.Boolean
		if v[0] == 't' {
			s.Bits = 1
		}
	case last == 'i':
		var n int64
		n, err = strconv.ParseInt(string(v[:len(v)-1]), 10, 64)
		s.Type, s.Bits = mirror.Integer, uint64(n)
	case last == 'u':
		s.Type = mirror.Unsigned
		s.Bits, err = strconv.ParseUint(string(v[:len(v)-1]), 10, 64)
	default:
		var f float64
		f, err = strconv.ParseFloat(string(v), 64)
		s.Type, s.Bits = mirror.Float, math.Float64bits(f)
	}
	if err != nil {
		return bad("value")
	}
	if s.Time, err = strconv.ParseInt(string(bytes.TrimSuffix(line[stop+1:], []byte{'\n'})), 10, 64); err != nil {
		return bad("time")
	}
	return s, nil
}

// cut splits b at the first c that no backslash precedes.
func cut(b []byte, c byte) (before, after []byte) {
	for i := range b {
		if b[i] == c && (i == 0 || b[i-1] != '\\') {
			return b[:i], b[i+1:]
		}
	}
	return b, nil
}

func unescape(b []byte, special string) string {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) && bytes.IndexByte([]byte(special), b[i+1]) >= 0 {
			i++
		}
		out = append(out, b[i])
	}
	return string(out)
}
