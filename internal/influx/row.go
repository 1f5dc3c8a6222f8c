package influx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// sample reads one row of samples. It allocates nothing for a series it knows.
func (r *reading) sample(n int) error {
	m := r.d.r
	t, err := m.ReadInt64()
	if err != nil {
		return err
	}
	inside := r.chunk.Window.Contains(t)
	if !inside && !r.oldest {
		return fmt.Errorf("%w: time %d outside the window", errGrammar, t)
	}
	if inside && (t < r.cellFrom || t >= r.cellStop) {
		r.cell = r.chunk.Index(t)
		w := r.chunk.Cell(r.cell)
		r.cellFrom, r.cellStop = w.Start, w.Stop
	}
	r.texts = r.texts[:0]
	for i := range r.fields {
		if err := r.readValue(&r.fields[i], &r.values[i]); err != nil {
			return err
		}
	}
	if r.wide {
		if err := r.rowTags(n - 1 - len(r.fields)); err != nil {
			return err
		}
	}
	if !inside {
		for i := range r.values {
			if r.values[i].set && t < r.chunk.Window.Start {
				r.elsewhere++
			}
		}
		return nil
	}
	if r.several {
		if err := r.once(t); err != nil {
			return err
		}
	}
	return r.emit(t)
}

func (r *reading) readValue(f *field, v *value) error {
	m := r.d.r
	t, err := m.NextType()
	if err != nil {
		return err
	}
	v.set = t != msgp.NilType
	if !v.set {
		return m.ReadNil()
	}
	switch f.typ {
	case mirror.Float:
		x, err := m.ReadFloat64()
		v.bits = math.Float64bits(x)
		return err
	case mirror.Integer:
		x, err := m.ReadInt64()
		v.bits = uint64(x)
		return err
	case mirror.Unsigned:
		v.bits, err = m.ReadUint64()
		return err
	case mirror.Boolean:
		x, err := m.ReadBool()
		v.bits = 0
		if x {
			v.bits = 1
		}
		return err
	default:
		size, err := m.ReadStringHeader()
		if err != nil {
			return err
		}
		if size > maxValue {
			return fmt.Errorf("%w: a text of %d bytes", errGrammar, size)
		}
		v.start = len(r.texts)
		for left := int(size); left > 0 && err == nil; left -= min(left, maxText) { // a length is believed as far as its bytes come
			n := len(r.texts)
			r.texts = slices.Grow(r.texts, min(left, maxText))[:n+min(left, maxText)]
			_, err = m.ReadFull(r.texts[n:])
		}
		v.end = len(r.texts)
		return err
	}
}

// rowTags reads the tags of a wide row and finds its series.
func (r *reading) rowTags(n int) (err error) {
	key := r.key[:0]
	for range n {
		t, err := r.d.r.NextType()
		if err != nil {
			return err
		}
		if t == msgp.NilType {
			if err := r.d.r.ReadNil(); err != nil {
				return err
			}
			key = binary.BigEndian.AppendUint32(key, 0)
			continue
		}
		text, err := r.d.text(maxName)
		if err != nil {
			return err
		}
		key = binary.BigEndian.AppendUint32(key, uint32(len(text)))
		key = append(key, text...)
	}
	r.key = key
	s, ok := r.known[string(key)]
	if !ok {
		if len(r.known) >= maxKnown || r.weight > maxWeight {
			clear(r.known)
			r.weight = 0
		}
		r.weight += len(key)
		var tags []mirror.Tag
		for _, name := range r.plan.tags {
			size := binary.BigEndian.Uint32(key)
			if size > 0 { // an empty tag is an absent tag
				tags = append(tags, mirror.Tag{Key: name, Value: string(key[4 : 4+size])})
			}
			key = key[4+size:]
		}
		slices.SortFunc(tags, func(a, b mirror.Tag) int { return strings.Compare(a.Key, b.Key) })
		if r.maps {
			if tags, err = r.tagged(r.chunk.Measurement, tags); err != nil {
				return err
			}
		}
		s = &series{hash: lineproto.AppendSeries(nil, r.chunk.Measurement, tags), key: lineproto.AppendKey(nil, r.chunk.Measurement, tags),
			bad: lineproto.UnwritableSeries(r.chunk.Measurement, tags)}
		s.misleads = lineproto.MisleadsKey(s.key)
		r.known[string(r.key)] = s
		r.series++
	}
	if s != r.cur {
		r.use(s)
	}
	return nil
}

// emit counts the row's values into their Cell and appends its line.
func (r *reading) emit(t int64) error {
	fp := &r.cells[r.cell]
	base, started := len(r.cur.hash), false
	for i := range r.fields {
		v := &r.values[i]
		if !v.set {
			continue
		}
		f := &r.fields[i]
		b := append(r.hash[:base], f.hash...)
		if f.typ == mirror.String {
			b = lineproto.AppendText(b, r.texts[v.start:v.end], t)
		} else {
			b = lineproto.AppendValue(b, v.bits, t)
		}
		r.hash = b
		hi, lo := lineproto.Hash(b)
		fp.AddHash(hi, lo)
		if r.sink == nil {
			continue
		}
		if why := r.unfit(f, v); why != "" {
			r.except(f, why, hi, lo, t)
			continue
		}
		if !started {
			started = true
			r.lines = append(append(r.lines, r.cur.key...), ' ')
		} else {
			r.lines = append(r.lines, ',')
		}
		r.lines = append(r.lines, f.key...)
		if f.typ == mirror.String {
			r.lines = lineproto.AppendQuoted(r.lines, r.texts[v.start:v.end])
		} else {
			r.lines = lineproto.AppendBits(r.lines, f.typ, v.bits)
		}
	}
	if started {
		r.points++
		r.lines = append(r.lines, ' ')
		r.lines = strconv.AppendInt(r.lines, t, 10)
		r.lines = append(r.lines, '\n')
		return r.flush(flushSize)
	}
	return nil
}

func (r *reading) unfit(f *field, v *value) string {
	if r.cur.bad != "" {
		return r.cur.bad
	}
	if f.bad != "" {
		return f.bad
	}
	switch {
	case f.typ == mirror.Float:
		return lineproto.UnwritableBits(f.typ, v.bits)
	case f.typ == mirror.String && (r.misleads || r.cur.misleads) && bytes.IndexByte(r.texts[v.start:v.end], '\n') >= 0:
		return lineproto.SplitText
	}
	return ""
}
