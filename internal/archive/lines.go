package archive

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

const (
	// batchSize is how much line protocol is handed on and read at a time, in bytes.
	batchSize = 256 << 10
	// maxLine is the longest line a file holds, in bytes: what readers have to keep in memory.
	maxLine = 32 << 20
)

// cursor is a stream of lines. The line lasts until the next call of next.
type cursor interface {
	// next moves to the next line and reports whether there is one.
	next() (bool, error)
	line() *lineproto.Parts
	close()
}

// order is by time, then by series key.
func order(a, b *lineproto.Parts) int {
	if c := cmp.Compare(a.Time, b.Time); c != 0 {
		return c
	}
	return bytes.Compare(a.Key, b.Key)
}

// lineReader cuts a stream of bytes into lines.
type lineReader struct {
	r       io.Reader
	buf     []byte
	at, end int
	eof     bool
	parts   lineproto.Parts
}

var errNoLine = errors.New("not canonical line protocol")

func (l *lineReader) next() (bool, error) {
	for {
		p, rest, ok := lineproto.Cut(l.buf[l.at:l.end])
		if ok {
			l.parts, l.at = p, l.end-len(rest)
			return true, nil
		}
		switch have := l.end - l.at; {
		case l.eof && have == 0:
			return false, nil
		case l.eof, have > maxLine:
			return false, errNoLine
		case l.at > 0:
			copy(l.buf, l.buf[l.at:l.end])
			l.at, l.end = 0, have
		case have == len(l.buf):
			bigger := make([]byte, max(batchSize, 2*len(l.buf)))
			copy(bigger, l.buf[:have])
			l.buf = bigger
		}
		for l.end < len(l.buf) {
			n, err := l.r.Read(l.buf[l.end:])
			l.end += n
			if err == io.EOF {
				l.eof = true
				break
			}
			if err != nil {
				return false, err
			}
		}
	}
}

// Bounds of what a hasher remembers.
const (
	maxSeries = 20_000
	maxFields = 20_000
)

// hasher turns lines into the hashes of their Samples. It proves every key and value it has not seen to be canonical.
type hasher struct {
	measurement string
	tags        map[string]bool   // tag keys seen
	series      map[string][]byte // escaped series key → hashed form
	fields      map[string]string // escaped field key → field key
	buf, text   []byte
}

func newHasher(measurement string) *hasher {
	return &hasher{measurement: measurement, tags: map[string]bool{}, series: map[string][]byte{}, fields: map[string]string{}}
}

// add adds the Samples of a line to fp. sorted is false if the fields are not in ascending order of their names.
func (h *hasher) add(p *lineproto.Parts, fp *mirror.Fingerprint) (sorted bool, err error) {
	bad := func(what string) (bool, error) {
		return false, fmt.Errorf("not a canonical line of %q: %s in %q", h.measurement, what, p.Line[:min(len(p.Line), 300)])
	}
	series, ok := h.series[string(p.Key)]
	if !ok {
		m, tags, ok := lineproto.Series(p.Key)
		if !ok || m != h.measurement {
			return bad("series")
		}
		for _, t := range tags {
			h.tags[t.Key] = true
		}
		if len(h.series) >= maxSeries {
			clear(h.series)
		}
		series = lineproto.AppendSeries(nil, m, tags)
		h.series[string(p.Key)] = series
	}
	h.buf = append(h.buf[:0], series...)
	before, sorted := "", true
	for rest := p.Fields; len(rest) > 0; {
		var key, value []byte
		if key, value, rest, ok = lineproto.NextField(rest); !ok {
			return bad("fields")
		}
		name, err := h.field(key)
		if err != nil {
			return bad("field key")
		}
		typ, bits, text, ok := lineproto.Value(value, h.text[:0])
		if !ok {
			return bad("value of " + strconv.Quote(name))
		}
		b := lineproto.AppendField(h.buf[:len(series)], name, typ)
		if typ == mirror.String {
			h.text = text
			b = lineproto.AppendText(b, text, p.Time)
		} else {
			b = lineproto.AppendValue(b, bits, p.Time)
		}
		h.buf = b
		fp.AddHash(lineproto.Hash(b))
		sorted = sorted && before < name
		before = name
	}
	return sorted, nil
}

// adopt takes the measurement of a line in a directory for that of all.
func (h *hasher) adopt(p *lineproto.Parts, dir string) error {
	m, _, ok := lineproto.Series(p.Key)
	if !ok || dirName(m) != dir {
		return errNoLine
	}
	h.measurement = m
	return nil
}

func (h *hasher) field(key []byte) (string, error) {
	if name, ok := h.fields[string(key)]; ok {
		return name, nil
	}
	name, ok := lineproto.FieldName(key)
	if !ok {
		return "", errNoLine
	}
	if len(h.fields) >= maxFields {
		clear(h.fields)
	}
	h.fields[string(key)] = name
	return name, nil
}

// unite appends to b one line with the fields of several of one series and time, the oldest first: of a field that several have, the last
// value counts.
func (h *hasher) unite(b []byte, lines ...[]byte) ([]byte, error) {
	type field struct {
		name       string
		key, value []byte
	}
	var all []field
	var last lineproto.Parts
	for _, line := range lines {
		p, _, ok := lineproto.Cut(line)
		if !ok {
			return b, errNoLine
		}
		last = p
		for rest := p.Fields; len(rest) > 0; {
			var f field
			if f.key, f.value, rest, ok = lineproto.NextField(rest); !ok {
				return b, errNoLine
			}
			var err error
			if f.name, err = h.field(f.key); err != nil {
				return b, err
			}
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b field) int { return strings.Compare(a.name, b.name) })
	b = append(append(b, last.Key...), ' ')
	for i, f := range all {
		if i+1 < len(all) && all[i+1].name == f.name {
			continue
		}
		b = append(append(append(append(b, f.key...), '='), f.value...), ',')
	}
	b[len(b)-1] = ' '
	return append(strconv.AppendInt(b, last.Time, 10), '\n'), nil
}
