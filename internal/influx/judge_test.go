package influx

import (
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/tinylib/msgp/msgp"

	"influxmirror/internal/mirror"
)

// A second reader of answers, which shares nothing with the first but its caller: it makes a tree of the whole answer and then walks it.

type pair struct {
	key   string
	value any
}

type opaque struct{} // a value that no part of an answer that matters can be

// tree reads any value: []pair, []any, string, int64, uint64, float64, bool, nil or opaque.
func tree(b []byte, depth int) (any, []byte, error) {
	if depth > 10_000 {
		return nil, b, msgp.ErrRecursion
	}
	if len(b) == 0 {
		return nil, b, msgp.ErrShortBytes
	}
	switch msgp.NextType(b) {
	case msgp.MapType:
		n, b, err := msgp.ReadMapHeaderBytes(b)
		var out []pair
		for i := uint32(0); i < n && err == nil; i++ {
			var k, v any
			if k, b, err = tree(b, depth+1); err == nil {
				v, b, err = tree(b, depth+1)
			}
			if name, ok := k.(string); ok {
				out = append(out, pair{name, v})
			} else {
				out = append(out, pair{"\x00not a text", v})
			}
		}
		return out, b, err
	case msgp.ArrayType:
		n, b, err := msgp.ReadArrayHeaderBytes(b)
		out := []any{}
		for i := uint32(0); i < n && err == nil; i++ {
			var v any
			v, b, err = tree(b, depth+1)
			out = append(out, v)
		}
		return out, b, err
	case msgp.StrType:
		s, b, err := msgp.ReadStringZC(b)
		return string(s), b, err
	case msgp.IntType, msgp.UintType:
		if n, rest, err := msgp.ReadInt64Bytes(b); err == nil {
			return n, rest, nil
		}
		n, b, err := msgp.ReadUint64Bytes(b)
		return n, b, err
	case msgp.Float64Type, msgp.Float32Type:
		f, b, err := msgp.ReadFloat64Bytes(b)
		return f, b, err
	case msgp.BoolType:
		v, b, err := msgp.ReadBoolBytes(b)
		return v, b, err
	case msgp.NilType:
		b, err := msgp.ReadNilBytes(b)
		return nil, b, err
	case msgp.InvalidType:
		return nil, b, msgp.InvalidPrefixError(b[0])
	}
	b, err := msgp.Skip(b)
	return opaque{}, b, err
}

// judged is what an answer to EXPLAIN, count, SELECT, count and the sentinel says.
type judged struct {
	fields  []string
	samples []mirror.Sample
	counts  [2]uint64
	twice   bool // a key comes twice in one map: what that says is anybody's
}

var errJudge = errors.New("not the whole of an answer")

func judge(body []byte, chunk mirror.Chunk, wide bool) (j judged, err error) {
	last := -1
	var p plan
	for len(body) > 0 {
		var doc any
		if doc, body, err = tree(body, 0); err != nil {
			return j, err
		}
		top, ok := doc.([]pair)
		if !ok {
			return j, errJudge
		}
		for _, e := range top {
			if e.key != "results" {
				if e.key == "error" {
					return j, errJudge
				}
				continue
			}
			results, ok := e.value.([]any)
			if !ok {
				return j, errJudge
			}
			for _, r := range results {
				keys, ok := r.([]pair)
				if !ok {
					return j, errJudge
				}
				j.twice = j.twice || repeats(keys)
				named := false
				for _, e := range keys {
					switch e.key {
					case "error":
						return j, errJudge
					case "statement_id":
						id, ok := e.value.(int64)
						if !ok || id != int64(last) && id != int64(last)+1 || id < 0 || id > 4 {
							return j, errJudge
						}
						last, named = int(id), true
					case "series":
						list, ok := e.value.([]any)
						if !ok || !named {
							return j, errJudge
						}
						for _, s := range list {
							if err := j.series(last, s, chunk, wide, &p); err != nil {
								return j, err
							}
						}
					}
				}
			}
		}
	}
	if last != 4 {
		return j, errJudge
	}
	for _, f := range p.fields {
		j.fields = append(j.fields, f.name)
	}
	return j, nil
}

func repeats(keys []pair) bool {
	seen := map[string]bool{}
	for _, k := range keys {
		if seen[k.key] {
			return true
		}
		seen[k.key] = true
	}
	return false
}

func (j *judged) series(statement int, s any, chunk mirror.Chunk, wide bool, p *plan) error {
	keys, ok := s.([]pair)
	if !ok {
		return errJudge
	}
	j.twice = j.twice || repeats(keys)
	var name string
	var tags []mirror.Tag
	var columns []string
	for _, e := range keys {
		switch e.key {
		case "name":
			if name, ok = e.value.(string); !ok {
				return errJudge
			}
		case "tags":
			list, ok := e.value.([]pair)
			if !ok {
				return errJudge
			}
			j.twice = j.twice || repeats(list)
			for _, t := range list {
				v, ok := t.value.(string)
				if !ok {
					return errJudge
				}
				tags = append(tags, mirror.Tag{Key: t.key, Value: v})
			}
		case "columns":
			list, ok := e.value.([]any)
			if !ok {
				return errJudge
			}
			for _, c := range list {
				text, ok := c.(string)
				if !ok {
					return errJudge
				}
				columns = append(columns, text)
			}
		case "values":
			rows, ok := e.value.([]any)
			if !ok || len(columns) == 0 {
				return errJudge
			}
			if statement == selectStatement && (name != chunk.Measurement || columns[0] != "time" || p.shards != 1 || len(columns) != 1+len(p.fields)+map[bool]int{true: len(p.tags)}[wide]) {
				return errJudge
			}
			for _, r := range rows {
				row, ok := r.([]any)
				if !ok || len(row) != len(columns) {
					return errJudge
				}
				if err := j.row(statement, columns, row, tags, chunk, wide, p); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (j *judged) row(statement int, columns []string, row []any, tags []mirror.Tag, chunk mirror.Chunk, wide bool, p *plan) error {
	switch statement {
	case explainStatement:
		if text, ok := row[0].(string); ok {
			return p.line(text)
		}
	case beforeStatement, afterStatement:
		for i, v := range row {
			n := uint64(0)
			switch v := v.(type) {
			case int64:
				n = uint64(v)
			case uint64:
				n = v
			case float64:
				n = math.Float64bits(v)
			case bool:
				n = map[bool]uint64{true: 1}[v]
			}
			if columns[i] != "time" {
				j.counts[(statement-beforeStatement)/2] += n
			}
		}
	case selectStatement:
		at, ok := row[0].(int64)
		if !ok || !chunk.Window.Contains(at) {
			return errJudge
		}
		if wide {
			tags = nil
			for i, key := range p.tags {
				switch v := row[1+len(p.fields)+i].(type) {
				case nil:
				case string:
					tags = append(tags, mirror.Tag{Key: key, Value: v})
				default:
					return errJudge
				}
			}
		}
		var full []mirror.Tag
		for _, t := range tags {
			if t.Value != "" {
				full = append(full, t)
			}
		}
		slices.SortFunc(full, func(a, b mirror.Tag) int { return strings.Compare(a.Key, b.Key) })
		for i, f := range p.fields {
			v := row[1+i]
			if v == nil {
				continue
			}
			s := mirror.Sample{Measurement: chunk.Measurement, Tags: full, Field: f.name, Type: f.typ, Time: at}
			ok := false
			switch f.typ {
			case mirror.Float:
				var x float64
				x, ok = v.(float64)
				s.Bits = math.Float64bits(x)
			case mirror.Integer:
				var x int64
				x, ok = v.(int64)
				s.Bits = uint64(x)
			case mirror.Unsigned:
				if s.Bits, ok = v.(uint64); !ok {
					var x int64
					x, ok = v.(int64)
					s.Bits, ok = uint64(x), ok && x >= 0
				}
			case mirror.Boolean:
				var x bool
				x, ok = v.(bool)
				s.Bits = map[bool]uint64{true: 1}[x]
			case mirror.String:
				s.Text, ok = v.(string)
			}
			if !ok {
				return errJudge
			}
			j.samples = append(j.samples, s)
		}
	}
	return nil
}
