package influx

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"influxmirror/internal/mirror"
)

// built is a good answer, and what it says.
type built struct {
	body    []byte
	wide    bool
	fields  []string
	samples []mirror.Sample
	rows    [][2]int // where each row of samples stands in body
	headers []int    // where the number of rows before each of them stands: an array header of five bytes
}

// draw takes numbers out of a script, and zeros behind its end.
type draw struct{ script []byte }

func (d *draw) byte() byte {
	if len(d.script) == 0 {
		return 0
	}
	b := d.script[0]
	d.script = d.script[1:]
	return b
}

func (d *draw) n(n int) int { return int(d.byte()) % n }

func (d *draw) u64() uint64 {
	var b [8]byte
	n := copy(b[:], d.script[:min(d.n(9), len(d.script))])
	d.script = d.script[n:]
	return binary.LittleEndian.Uint64(b[:])
}

func (d *draw) text() string {
	n := min(d.n(6), len(d.script))
	s := string(d.script[:n])
	d.script = d.script[n:]
	return s
}

// build makes an answer as a server would, in either form, in several documents or one.
func build(script []byte) (out built) {
	d := &draw{script}
	out.wide = d.n(2) == 1
	documents := d.n(2) == 1
	types := []mirror.Type{mirror.Float, mirror.Integer, mirror.Unsigned, mirror.Boolean, mirror.String}
	var fields []field
	var aux, tagNames []string
	for i := range 1 + d.n(3) {
		fd := field{name: fmt.Sprintf("f%d", i), typ: types[d.n(len(types))]}
		if odd := []string{"", ` "x\`, "é,=", "\n", `\,`}[d.n(5)]; odd != "" {
			fd.name += odd
		}
		fields = append(fields, fd)
		out.fields = append(out.fields, fd.name)
		aux = append(aux, ident(fd.name)+"::"+fd.typ.String())
	}
	for i := range d.n(3) {
		tagNames = append(tagNames, fmt.Sprintf("t%d", i))
		if out.wide {
			aux = append(aux, tagNames[i]+"::tag")
		}
	}
	plan := fakeTable{statement: 0, columns: []string{"QUERY PLAN"}, rows: [][]any{{"AUXILIARY FIELDS: " + strings.Join(aux, ", ")}, {"NUMBER OF SHARDS: 1"}, {"NUMBER OF SERIES: 1"}}}
	type one struct {
		tags []mirror.Tag
		rows [][]any
	}
	var all []one
	for s := range 1 + d.n(3) {
		var o one
		for i, k := range tagNames {
			v := d.text()
			if i == 0 {
				v = fmt.Sprint(s, v) // each series another
			}
			o.tags = append(o.tags, mirror.Tag{Key: k, Value: v})
		}
		var full []mirror.Tag
		for _, t := range o.tags {
			if t.Value != "" {
				full = append(full, t)
			}
		}
		for r := range d.n(4) {
			at := int64(s*100 + r*10 + d.n(10))
			row := []any{at}
			for _, fd := range fields {
				smp := mirror.Sample{Measurement: "m", Tags: full, Field: fd.name, Type: fd.typ, Time: at}
				if d.n(4) == 3 {
					row = append(row, nil)
					continue
				}
				switch fd.typ {
				case mirror.Float:
					smp.Bits = d.u64()
					row = append(row, math.Float64frombits(smp.Bits))
				case mirror.Integer:
					smp.Bits = d.u64()
					row = append(row, int64(smp.Bits))
				case mirror.Unsigned:
					smp.Bits = d.u64()
					row = append(row, smp.Bits)
				case mirror.Boolean:
					smp.Bits = uint64(d.n(2))
					row = append(row, smp.Bits == 1)
				case mirror.String:
					smp.Text = d.text()
					row = append(row, smp.Text)
				}
				out.samples = append(out.samples, smp)
			}
			o.rows = append(o.rows, row)
		}
		all = append(all, o)
	}
	count := func(statement int) fakeTable {
		return fakeTable{statement: statement, name: "m", columns: []string{"time", "count_v"}, rows: [][]any{{int64(0), int64(len(out.samples))}}}
	}
	document := func(fn func()) {
		out.body = msgp.AppendMapHeader(out.body, 1)
		out.body = msgp.AppendString(out.body, "results")
		fn()
	}
	columns := []string{"time"}
	for _, fd := range fields {
		columns = append(columns, fd.name)
	}
	if out.wide {
		columns = append(columns, tagNames...)
	}
	series := func(o one) {
		b := msgp.AppendMapHeader(out.body, map[bool]uint32{true: 3, false: 4}[out.wide])
		b = msgp.AppendString(b, "name")
		b = msgp.AppendString(b, "m")
		if !out.wide {
			b = msgp.AppendString(b, "tags")
			b = msgp.AppendMapHeader(b, uint32(len(o.tags)))
			for _, t := range o.tags {
				b = msgp.AppendString(b, t.Key)
				b = msgp.AppendString(b, t.Value)
			}
		}
		b = msgp.AppendString(b, "columns")
		b = msgp.AppendArrayHeader(b, uint32(len(columns)))
		for _, c := range columns {
			b = msgp.AppendString(b, c)
		}
		b = msgp.AppendString(b, "values")
		header := len(b)
		b = append(b, 0xdd)
		b = binary.BigEndian.AppendUint32(b, uint32(len(o.rows)))
		for _, row := range o.rows {
			if out.wide {
				for _, t := range o.tags {
					if t.Value == "" && len(row)%2 == 0 { // an absent tag, either way
						row = append(row, nil)
					} else {
						row = append(row, t.Value)
					}
				}
			}
			from := len(b)
			b = msgp.AppendArrayHeader(b, uint32(len(row)))
			for _, v := range row {
				b, _ = msgp.AppendIntf(b, v)
			}
			out.rows, out.headers = append(out.rows, [2]int{from, len(b)}), append(out.headers, header)
		}
		out.body = b
	}
	result := func(id int, list ...one) {
		out.body = msgp.AppendMapHeader(out.body, 2)
		out.body = msgp.AppendString(out.body, "statement_id")
		out.body = msgp.AppendInt(out.body, id)
		out.body = msgp.AppendString(out.body, "series")
		out.body = msgp.AppendArrayHeader(out.body, uint32(len(list)))
		for _, o := range list {
			series(o)
		}
	}
	array := func(n int) { out.body = msgp.AppendArrayHeader(out.body, uint32(n)) }
	if documents {
		for i, t := range []fakeTable{plan, count(1)} {
			document(func() { array(1); out.body = appendResult(out.body, i, []fakeTable{t}) })
		}
		for _, o := range all {
			document(func() { array(1); result(2, o) })
		}
		document(func() { array(1); out.body = appendResult(out.body, 3, []fakeTable{count(3)}) })
		document(func() { array(1); out.body = appendResult(out.body, 4, nil) })
		return out
	}
	document(func() {
		array(5)
		out.body = appendResult(out.body, 0, []fakeTable{plan})
		out.body = appendResult(out.body, 1, []fakeTable{count(1)})
		result(2, all...)
		out.body = appendResult(out.body, 3, []fakeTable{count(3)})
		out.body = appendResult(out.body, 4, nil)
	})
	return out
}
