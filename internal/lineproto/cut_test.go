package lineproto

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"influxmirror/internal/mirror"
)

// TestCutIsTheInverse: what AppendLine writes comes back, whatever follows it.
func TestCutIsTheInverse(t *testing.T) {
	name := rapid.StringOfN(rapid.RuneFrom([]rune(`ab ,="\#é`+"\t")), 1, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		s := mirror.Sample{Measurement: name.Draw(t, "m"), Field: name.Draw(t, "f"), Type: mirror.Type(rapid.SampledFrom([]byte("fiubs")).Draw(t, "type")),
			Time: rapid.Int64Range(mirror.MinTime, mirror.MaxTime).Draw(t, "time")}
		for k, v := range rapid.MapOfN(name, name, 0, 3).Draw(t, "tags") {
			s.Tags = append(s.Tags, mirror.Tag{Key: k, Value: v})
		}
		slices.SortFunc(s.Tags, func(a, b mirror.Tag) int { return strings.Compare(a.Key, b.Key) })
		switch s.Type {
		case mirror.String:
			s.Text = rapid.StringOf(rapid.RuneFrom([]rune(`a",\ =`+"\n"))).Draw(t, "text")
		case mirror.Boolean:
			s.Bits = rapid.Uint64Range(0, 1).Draw(t, "bool")
		case mirror.Float:
			s.Bits = math.Float64bits(rapid.Float64().Draw(t, "float"))
		default:
			s.Bits = rapid.Uint64().Draw(t, "bits")
		}
		if UnwritableSeries(s.Measurement, s.Tags) != "" || UnwritableField(s.Field) != "" {
			return
		}
		line := AppendLine(nil, &s)
		p, rest, ok := Cut(append(bytes.Clone(line), "next v=1 5\n"...))
		if !ok || !bytes.Equal(p.Line, line) || string(rest) != "next v=1 5\n" || p.Time != s.Time {
			t.Fatalf("%q: %+v %v, rest %q", line, p, ok, rest)
		}
		m, tags, ok := Series(p.Key)
		if !ok || m != s.Measurement || !slices.Equal(tags, s.Tags) {
			t.Fatalf("%q: series %q %q %v", line, m, tags, ok)
		}
		k, v, more, ok := NextField(p.Fields)
		if !ok || len(more) != 0 {
			t.Fatalf("%q: fields %q", line, p.Fields)
		}
		if f, ok := FieldName(k); !ok || f != s.Field {
			t.Fatalf("%q: field %q %v", line, f, ok)
		}
		typ, bits, text, ok := Value(v, nil)
		if !ok || typ != s.Type || bits != s.Bits || string(text) != s.Text {
			t.Fatalf("%q: value %v %x %q %v", line, typ, bits, text, ok)
		}
		for i := range line { // no part of a line is a line
			if p, _, ok := Cut(line[:i]); ok {
				t.Fatalf("%q is a part of a line and %+v", line[:i], p)
			}
		}
	})
}

func TestCutRefuses(t *testing.T) {
	for _, line := range []string{
		"", "\n", "m\n", "m v=1\n", "m v=1 \n", "m v=1 +5\n", "m v=1 05\n", "m v=1 5 \n", "m v=1 9223372036854775807\n", "m v 5\n", "m v=1", "m v=1 5", `m v="a 5` + "\n", `m v="a"b 5` + "\n",
	} {
		if p, _, ok := Cut([]byte(line)); ok {
			t.Errorf("%q: %+v", line, p)
		}
	}
	for _, key := range []string{"", "#m", "m,", "m,a", "m,a=", "m,b=1,a=2", "m,a=1,a=2", `m\`, "m,=1", "m,a=1=2", "m,time=1", "a\nb"} {
		if m, tags, ok := Series([]byte(key)); ok {
			t.Errorf("%q: %q %q", key, m, tags)
		}
	}
	for _, v := range []string{"", `"`, "+5", `"\n"`, `"\"`, "t", "True", "NaN", "inf", "0x1p-2", "1_0", "1f", "i", "u", "-1u", "9223372036854775808i", "1e999", "5i5"} {
		if typ, bits, _, ok := Value([]byte(v), nil); ok {
			t.Errorf("%q: %v %x", v, typ, bits)
		}
	}
	for _, f := range []string{"=1", "v=", "v", "v=1,", "v=1 w=2"} {
		if k, v, rest, ok := NextField([]byte(f)); ok && len(rest) == 0 {
			t.Errorf("%q: %q %q", f, k, v)
		}
	}
	if _, ok := FieldName([]byte("a b")); ok {
		t.Error("a field key with a bare space")
	}
}
