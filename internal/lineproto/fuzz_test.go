package lineproto_test

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
	"influxmirror/test/oracle"
)

// said is what a Sample is to the judge, who reads line protocol with the official parser.
func said(t *testing.T, all ...mirror.Sample) oracle.Contents {
	t.Helper()
	out := oracle.Contents{}
	for _, s := range all {
		tags := map[string]string{}
		for _, tag := range s.Tags {
			tags[tag.Key] = tag.Value
		}
		var v any
		switch s.Type {
		case mirror.Float:
			v = math.Float64frombits(s.Bits)
		case mirror.Integer:
			v = int64(s.Bits)
		case mirror.Unsigned:
			v = s.Bits
		case mirror.Boolean:
			v = s.Bits != 0
		case mirror.String:
			v = s.Text
		}
		value, err := oracle.Value(v, s.Type == mirror.Unsigned)
		if err != nil {
			t.Fatal(err)
		}
		out[oracle.Place{Measurement: s.Measurement, Tags: oracle.TagsOf(tags), Field: s.Field, Time: s.Time}] = value
	}
	return out
}

// stored is what a server keeps of lines.
func stored(t *testing.T, s *influxtest.Server, lines []byte) oracle.Contents {
	t.Helper()
	s.CreateBucket("b", 0, 0)
	defer s.DeleteBucket("b")
	defer func() {
		switch why := fmt.Sprint(recover()); {
		case strings.Contains(why, "cannot use reserved tag key"): // 2.x says so, and 1.x takes it
			t.Skip(why)
		case why != "<nil>":
			t.Fatalf("%q: %s", lines, why)
		}
	}()
	s.Write("b", string(lines))
	out := oracle.Contents{}
	for _, one := range s.Dump("b") {
		tags := map[string]string{}
		for _, tag := range one.Tags {
			tags[tag.Key] = tag.Value
		}
		_, unsigned := one.Value.(uint64)
		value, err := oracle.Value(one.Value, unsigned)
		if err != nil {
			t.Fatal(err)
		}
		out[oracle.Place{Measurement: one.Measurement, Tags: oracle.TagsOf(tags), Field: one.Field, Time: one.Time}] = value
	}
	return out
}

// splits: a server may take a newline in the text for the end of the line.
func splits(s *mirror.Sample) bool {
	return s.Type == mirror.String && strings.Contains(s.Text, "\n") && (lineproto.MisleadsKey(lineproto.AppendKey(nil, s.Measurement, s.Tags)) || lineproto.MisleadsField(s.Field))
}

// judged reads lines with the official parser; ok is false where it cannot be asked, for it is shown some bytes as characters of a plane of their own.
func judged(lines []byte) (_ oracle.Contents, ok bool, _ error) {
	if strings.ContainsFunc(string(lines), func(r rune) bool { return r >= 0xf0000 && r < 0xf0100 }) {
		return nil, false, nil
	}
	all, err := oracle.Parse(lines)
	return all, true, err
}

// onlyServers are reasons for which a Sample is not written that only servers have, not the published grammar.
var onlyServers = []string{`tag key "time"`, `field key "time"`, `tag key "_field"`, `tag key "_measurement"`, "with a backslash before a quote", "that starts with", "that ends in a backslash", "longer than 65535 bytes", lineproto.SplitText}

// FuzzSample: a Sample is refused with a reason, or its line says exactly it: to the official parser, to a server, and to our own readers.
func FuzzSample(f *testing.F) {
	server := influxtest.NewServer(influxtest.Options{})
	f.Cleanup(server.Close)
	for _, s := range []struct{ m, k1, v1, k2, v2, field, text string }{
		{"cpu", "host", "a", "", "", "load", ""},
		{`a b,c=d\`, `k =,`, `v\ =,`, "k2", `x\y`, `f =,\"`, `a"b\c`},
		{`a\ b`, `t\,`, `v\`, "", "", `f\`, "a\nb\\n\t"},
		{"m", "", "", "", "", `f\"x`, `"`},
		{"#m", "time", "1", "_field", "2", "time", ""},
		{"\tm", "a\n", "b", "c", "\xff", "\x00f", "\xff\x00"},
		{"ü ", "é", "🛰", "é2", " ", "\u2028", "\\\\\""},
		{`m=1 2`, `"`, `"`, `'`, `=`, `"f"`, `" 5` + "\n" + `m v=1`},
	} {
		for _, typ := range []byte("fiubs") {
			f.Add(s.m, s.k1, s.v1, s.k2, s.v2, s.field, s.text, typ, math.Float64bits(-0.1), int64(typ)*1e15)
		}
	}
	for _, bits := range []uint64{0, 1 << 63, 1, math.MaxUint64, math.Float64bits(math.Inf(1)), math.Float64bits(1e308), math.Float64bits(123456789012345678)} {
		f.Add("m", "", "", "", "", "f", "", byte('f'), bits, mirror.MinTime)
		f.Add("m", "", "", "", "", "f", "", byte('u'), bits, mirror.MaxTime)
		f.Add("m", "", "", "", "", "f", "", byte('i'), bits, int64(-1))
	}
	f.Fuzz(func(t *testing.T, m, k1, v1, k2, v2, field, text string, typ byte, bits uint64, at int64) {
		s := mirror.Sample{Measurement: m, Field: field, Type: mirror.Type("fiubs"[int(typ)%5]), Bits: bits, Time: min(max(at, mirror.MinTime), mirror.MaxTime)}
		switch s.Type {
		case mirror.String:
			s.Bits, s.Text = 0, text
		case mirror.Boolean:
			s.Bits &= 1
		}
		for _, tag := range []mirror.Tag{{Key: k1, Value: v1}, {Key: k2, Value: v2}} {
			if tag.Value != "" { // an absent tag
				s.Tags = append(s.Tags, tag)
			}
		}
		slices.SortFunc(s.Tags, func(a, b mirror.Tag) int { return strings.Compare(a.Key, b.Key) })
		if len(s.Tags) == 2 && s.Tags[0].Key == s.Tags[1].Key {
			s.Tags = s.Tags[:1]
		}
		line := lineproto.AppendLine(nil, &s)
		official, asked, err := judged(line)
		why := lineproto.UnwritableSeries(s.Measurement, s.Tags)
		if why == "" {
			why = lineproto.UnwritableField(s.Field)
		}
		if why == "" {
			why = lineproto.UnwritableBits(s.Type, s.Bits)
		}
		if why == "" && splits(&s) {
			why = lineproto.SplitText
		}
		if why != "" {
			if asked && err == nil && maps.Equal(official, said(t, s)) && !slices.ContainsFunc(onlyServers, func(r string) bool { return strings.Contains(why, r) }) {
				t.Fatalf("%q is not written (%s), and everybody could read it", line, why)
			}
			return
		}
		want := said(t, s)
		if asked && (err != nil || !maps.Equal(official, want)) {
			t.Fatalf("%#v: the official parser reads %q as %q: %v", s, line, official, err)
		}
		if len(line) < 60_000 {
			if got := stored(t, server, line); !maps.Equal(got, want) {
				t.Fatalf("%#v: a server keeps %q as %q", s, line, got)
			}
		}
		checkOwn(t, &s, line)
	})
}

// checkOwn: our own readers take the line of one Sample apart again, wherever it stands.
func checkOwn(t *testing.T, s *mirror.Sample, line []byte) {
	t.Helper()
	got, err := lineproto.Parse(line)
	same := func(got mirror.Sample) bool {
		return got.Measurement == s.Measurement && slices.Equal(got.Tags, s.Tags) && got.Field == s.Field && got.Type == s.Type && got.Bits == s.Bits && got.Text == s.Text && got.Time == s.Time
	}
	if err != nil || !same(got) {
		t.Fatalf("%q is parsed as %#v: %v", line, got, err)
	}
	const next = "next v=1 5\n"
	p, rest, ok := lineproto.Cut(append(bytes.Clone(line), next...))
	if !ok || !bytes.Equal(p.Line, line) || string(rest) != next {
		t.Fatalf("%q is cut as %q, %v", line, p.Line, ok)
	}
	all, ok := taken(&p)
	if !ok || len(all) != 1 || !same(all[0]) {
		t.Fatalf("%q is read as %#v, %v", line, all, ok)
	}
	if a, b := lineproto.Next(append(bytes.Clone(line), next...)); !bytes.Equal(a, line) || string(b) != next {
		t.Fatalf("%q and a line are split into %q and %q", line, a, b)
	}
	if a, b := lineproto.Half(append(bytes.Clone(line), next...)); !bytes.Equal(a, line) || string(b) != next {
		t.Fatalf("%q and a line are halved into %q and %q", line, a, b)
	}
	n := 0
	lineproto.Fields(line, func(key, one []byte) {
		n++
		if name, ok := lineproto.FieldName(key); !ok || name != s.Field || !bytes.Equal(one, line) {
			t.Fatalf("%q has field %q (%q)", line, key, one)
		}
	})
	key, at := lineproto.Place(line)
	if n != 1 || at != s.Time || key+"=" != string(lineproto.AppendFieldKey(nil, s.Field)) {
		t.Fatalf("%q has %d fields, the first %q at %d", line, n, key, at)
	}
	if !bytes.Equal(lineproto.Key(line), lineproto.AppendKey(nil, s.Measurement, s.Tags)) || lineproto.Unsigned(line) != (s.Type == mirror.Unsigned) {
		t.Fatalf("%q has key %q", line, lineproto.Key(line))
	}
	for _, at := range []int{0, len(line) / 2, len(line) - 1} { // no part of a line is a line
		if p, _, ok := lineproto.Cut(line[:at]); ok {
			t.Fatalf("%q is part of a line and %+v", line[:at], p)
		}
	}
}

// taken reads all Samples of a line as a reader of an archive does; ok is false unless the line is canonical, but for the way a number is written.
func taken(p *lineproto.Parts) (all []mirror.Sample, ok bool) {
	m, tags, ok := lineproto.Series(p.Key)
	if !ok {
		return nil, false
	}
	before := ""
	for rest := p.Fields; len(rest) > 0; {
		var key, value []byte
		if key, value, rest, ok = lineproto.NextField(rest); !ok {
			return nil, false
		}
		s := mirror.Sample{Measurement: m, Tags: tags, Time: p.Time}
		if s.Field, ok = lineproto.FieldName(key); !ok || s.Field <= before {
			return nil, false
		}
		var text []byte
		if s.Type, s.Bits, text, ok = lineproto.Value(value, nil); !ok {
			return nil, false
		}
		s.Text, before = string(text), s.Field
		all = append(all, s)
	}
	return all, len(all) > 0
}

// FuzzLines: what is read out of any bytes as lines is what the official parser and a server read in them.
func FuzzLines(f *testing.F) {
	server := influxtest.NewServer(influxtest.Options{Now: func() time.Time { return time.Unix(1700000000, 0) }})
	f.Cleanup(server.Close)
	for _, s := range []string{
		"m v=1 5\n",
		`a\ b\,c=d,k\ \=\,=v\ \=\, f\ \=\,=1e+308,g="x, \"y=z\" \\",h=-7i,i=18446744073709551615u,j=true -5` + "\n",
		"m a=1,a=2 5\n", "m b=1,a=2 5\n", "m v=1.0 5\n", "m v=1.e5 5\n", "m v=.5 5\n", "m v=-.5e+5 5\n", "m v=+5 5\n", "m v=05i 5\n", "m v=-0i 5\n", "m v=--5 5\n", "m v=1e5i 5\n", "m v=5e 5\n", "m v=+ 5\n",
		"m v=\"a\nb\" 5\nm v=2 6\n", "m v=\"\\n\\t\\x\" 5\n", `m v="a\" 5` + "\n", "m\tv=1 5\n", "m v=1 5\r\n", "m,t=\\ v=1 5\n", "m,a=1,b=2 v=t 5\n", "#m v=1 5\n", "m\\ v=1 5\n", "m \\ v=1 5\n",
		"m v=1 -9223372036854775806\nm v=1 9223372036854775806\n", "m v=1 9223372036854775807\n", "\xff,\x01=\x02 \x03=1 5\n", "m v=9007199254740993 1\n", "m v=1e-400 1\n", "m v=-0 1\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for n := 0; n < 20; n++ {
			p, rest, ok := lineproto.Cut(b)
			if !ok {
				if !bytes.Equal(rest, b) {
					t.Fatalf("%q of %q is left", rest, b)
				}
				return
			}
			if !bytes.Equal(append(bytes.Clone(p.Line), rest...), b) || len(p.Line) == 0 {
				t.Fatalf("%q and %q are cut out of %q", p.Line, rest, b)
			}
			b = rest
			all, ok := taken(&p)
			if !ok {
				continue
			}
			for i := range all {
				if lineproto.UnwritableBits(all[i].Type, all[i].Bits) != "" {
					t.Fatalf("%q holds what no line can: %v", p.Line, all[i])
				}
			}
			want := said(t, all...)
			if official, asked, err := judged(p.Line); asked && (err != nil || !maps.Equal(official, want)) {
				t.Fatalf("%q is read as %#v, and by the official parser as %q: %v", p.Line, all, official, err)
			}
			misled, newline := false, false
			for i := range all {
				misled = misled || lineproto.MisleadsKey(p.Key) || lineproto.MisleadsField(all[i].Field)
				newline = newline || strings.Contains(all[i].Text, "\n")
			}
			if len(p.Line) < 60_000 && !(misled && newline) {
				if got := stored(t, server, p.Line); !maps.Equal(got, want) {
					t.Fatalf("%q is read as %#v, and a server keeps %q", p.Line, all, got)
				}
			}
		}
	})
}
