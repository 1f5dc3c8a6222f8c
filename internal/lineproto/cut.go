package lineproto

import (
	"bytes"
	"math"
	"strconv"

	"influxmirror/internal/mirror"
)

// Parts are the parts of a canonical line. The slices point into it.
type Parts struct {
	Line   []byte // all of it, with the newline
	Key    []byte // escaped measurement and tags
	Fields []byte // keys and values; NextField takes them apart
	Time   int64
}

// Cut takes the first canonical line of b apart. ok is false unless b begins with a whole one. It looks at keys and values no closer than it
// needs to find their ends: Series, FieldName and Value do.
func Cut(b []byte) (p Parts, rest []byte, ok bool) {
	key := keyEnd(b)
	for i := key + 1; i < len(b); {
		_, end := field(b, i)
		if end >= len(b) || b[end] != ',' && b[end] != ' ' {
			return p, b, false
		}
		i = end + 1
		if b[end] == ',' {
			continue
		}
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return p, b, false
		}
		p = Parts{Line: b[:i+n+1], Key: b[:key], Fields: b[key+1 : end]}
		var err error
		if p.Time, err = strconv.ParseInt(string(b[i:i+n]), 10, 64); err != nil || p.Time < mirror.MinTime || p.Time > mirror.MaxTime {
			return p, b, false
		}
		var again [20]byte
		if !bytes.Equal(strconv.AppendInt(again[:0], p.Time, 10), b[i:i+n]) {
			return p, b, false
		}
		return p, b[i+n+1:], true
	}
	return p, b, false
}

// NextField takes the first of the fields of a line apart: its escaped key, its value, and what follows. ok is false if there is none.
func NextField(fields []byte) (key, value, rest []byte, ok bool) {
	if len(fields) == 0 {
		return nil, nil, nil, false
	}
	eq, end := field(fields, 0)
	if eq+1 >= end {
		return nil, nil, nil, false
	}
	if end < len(fields) {
		rest = fields[end+1:]
		if fields[end] != ',' || len(rest) == 0 {
			return nil, nil, nil, false
		}
	}
	return fields[:eq], fields[eq+1 : end], rest, true
}

// Series reads a series key back. ok is false if it is not a canonical one.
func Series(key []byte) (measurement string, tags []mirror.Tag, ok bool) {
	for i, rest := 0, key; len(rest) > 0; i++ {
		part, next := cut(rest, ',')
		rest = next
		if i == 0 {
			measurement = unescape(part, ", ")
			continue
		}
		k, v := cut(part, '=')
		t := mirror.Tag{Key: unescape(k, ",= "), Value: unescape(v, ",= ")}
		if t.Value == "" || len(tags) > 0 && tags[len(tags)-1].Key >= t.Key {
			return "", nil, false
		}
		tags = append(tags, t)
	}
	if UnwritableSeries(measurement, tags) != "" || !bytes.Equal(AppendKey(nil, measurement, tags), key) {
		return "", nil, false
	}
	return measurement, tags, true
}

// FieldName reads an escaped field key back. ok is false if it is not a canonical one.
func FieldName(key []byte) (name string, ok bool) {
	name = unescape(key, ",= ")
	again := AppendFieldKey(nil, name)
	return name, UnwritableField(name) == "" && bytes.Equal(again[:len(again)-1], key)
}

// Value reads the value of a field back. The text of a string is appended to scratch. ok is false for what is no value.
func Value(v, scratch []byte) (t mirror.Type, bits uint64, text []byte, ok bool) {
	if len(v) == 0 {
		return 0, 0, scratch, false
	}
	last := v[len(v)-1]
	switch {
	case v[0] == '"':
		if len(v) < 2 || last != '"' {
			return 0, 0, scratch, false
		}
		v = v[1 : len(v)-1]
		for i := 0; i < len(v); i++ {
			if v[i] == '\\' {
				if i++; i == len(v) || v[i] != '"' && v[i] != '\\' { // parsers differ in what that says
					return 0, 0, scratch, false
				}
			}
			scratch = append(scratch, v[i])
		}
		return mirror.String, 0, scratch, true
	case string(v) == "true":
		return mirror.Boolean, 1, scratch, true
	case string(v) == "false":
		return mirror.Boolean, 0, scratch, true
	}
	if v[0] == '+' {
		return 0, 0, scratch, false
	}
	for i, c := range v { // the number parser of Go takes more than line protocol does
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && (i < len(v)-1 || c != 'i' && c != 'u') {
			return 0, 0, scratch, false
		}
	}
	switch last {
	case 'i':
		n, err := strconv.ParseInt(string(v[:len(v)-1]), 10, 64)
		return mirror.Integer, uint64(n), scratch, err == nil
	case 'u':
		n, err := strconv.ParseUint(string(v[:len(v)-1]), 10, 64)
		return mirror.Unsigned, n, scratch, err == nil
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return mirror.Float, math.Float64bits(f), scratch, err == nil
}
