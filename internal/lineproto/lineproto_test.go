package lineproto

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"influxmirror/internal/mirror"
)

// The vectors freeze the hashed form: a change here voids every proof and archive made before.
func TestHashVectors(t *testing.T) {
	tags := []mirror.Tag{{Key: "host", Value: "a b"}, {Key: "room", Value: "ü"}}
	for _, c := range []struct {
		s    mirror.Sample
		want string
	}{
		{mirror.Sample{Measurement: "cpu", Tags: tags, Field: "load", Type: mirror.Float, Bits: math.Float64bits(-0.5), Time: 1}, "f0396fa31b59330faa5fd5f4fb9c7770"},
		{mirror.Sample{Measurement: "cpu", Tags: tags, Field: "n", Type: mirror.Integer, Bits: 1, Time: mirror.MinTime}, "3be5f3b94241208d664b97c50703633c"},
		{mirror.Sample{Measurement: "cpu", Field: "n", Type: mirror.Unsigned, Bits: math.MaxUint64, Time: mirror.MaxTime}, "caf077815ab313d5691e3fba8d020d30"},
		{mirror.Sample{Measurement: "cpu", Field: "ok", Type: mirror.Boolean, Bits: 1, Time: 0}, "de8c5f3ac9e1c350d2074a14ab530440"},
		{mirror.Sample{Measurement: "m", Field: "s", Type: mirror.String, Text: "", Time: 0}, "2e49bf9f301726ca8d43f5bedc551251"},
		{mirror.Sample{Measurement: "m", Field: "s", Type: mirror.String, Text: "\xff\x00\n\"", Time: 0}, "df78842186eddbd494b217a3e8afa1e5"},
	} {
		hi, lo := HashSample(nil, &c.s)
		if got := fmt.Sprintf("%016x%016x", hi, lo); got != c.want {
			t.Errorf("%+v: %s, want %s", c.s, got, c.want)
		}
	}
}

// Samples that differ in one thing only have different hashes.
func TestHashTellsApart(t *testing.T) {
	base := mirror.Sample{Measurement: "m", Tags: []mirror.Tag{{Key: "a", Value: "b"}}, Field: "f", Type: mirror.Float, Bits: math.Float64bits(1), Time: 1}
	edit := func(fn func(*mirror.Sample)) mirror.Sample { s := base; fn(&s); return s }
	seen := map[[2]uint64]int{}
	for i, s := range []mirror.Sample{
		base,
		edit(func(s *mirror.Sample) { s.Bits++ }),
		edit(func(s *mirror.Sample) { s.Type, s.Bits = mirror.Integer, 1 }),
		edit(func(s *mirror.Sample) { s.Type, s.Bits = mirror.Unsigned, 1 }),
		edit(func(s *mirror.Sample) { s.Type, s.Bits = mirror.Boolean, 1 }),
		edit(func(s *mirror.Sample) { s.Time++ }),
		edit(func(s *mirror.Sample) { s.Field = "g" }),
		edit(func(s *mirror.Sample) { s.Measurement = "n" }),
		edit(func(s *mirror.Sample) { s.Tags = nil }),
		edit(func(s *mirror.Sample) { s.Tags = []mirror.Tag{{Key: "ab", Value: ""}} }),
		edit(func(s *mirror.Sample) { s.Bits = math.Float64bits(0) }),
		edit(func(s *mirror.Sample) { s.Bits = math.Float64bits(math.Copysign(0, -1)) }),
		edit(func(s *mirror.Sample) { s.Type, s.Text = mirror.String, "" }),
		edit(func(s *mirror.Sample) { s.Type, s.Text = mirror.String, "1" }),
	} {
		hi, lo := HashSample(nil, &s)
		if j, dup := seen[[2]uint64{hi, lo}]; dup {
			t.Errorf("samples %d and %d hash alike", i, j)
		}
		seen[[2]uint64{hi, lo}] = i
	}
}

func TestAppendLine(t *testing.T) {
	for _, c := range []struct {
		s    mirror.Sample
		want string
	}{
		{mirror.Sample{Measurement: "a b,c=d", Tags: []mirror.Tag{{Key: "k =,", Value: "v =,"}}, Field: "f =,", Type: mirror.Float, Bits: math.Float64bits(1e308), Time: -5},
			`a\ b\,c=d,k\ \=\,=v\ \=\, f\ \=\,=1e+308 -5` + "\n"},
		{mirror.Sample{Measurement: "m", Field: "f", Type: mirror.Float, Bits: math.Float64bits(math.Copysign(0, -1))}, "m f=-0 0\n"},
		{mirror.Sample{Measurement: "m", Field: "f", Type: mirror.String, Text: "a\"b\\c\nd"}, "m f=\"a\\\"b\\\\c\nd\" 0\n"},
		{mirror.Sample{Measurement: "m", Field: "f", Type: mirror.Unsigned, Bits: math.MaxUint64}, "m f=18446744073709551615u 0\n"},
		{mirror.Sample{Measurement: "m", Field: "f", Type: mirror.Boolean, Bits: 1}, "m f=true 0\n"},
	} {
		if got := string(AppendLine(nil, &c.s)); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

var genName = rapid.StringOfN(rapid.RuneFrom([]rune("ab ,=\"\\é\t#")), 1, 8, -1)

func genSample(t *rapid.T, time int64) mirror.Sample {
	s := mirror.Sample{Measurement: genName.Draw(t, "m"), Field: genName.Draw(t, "f"), Time: time}
	if rapid.Bool().Draw(t, "tagged") {
		s.Tags = []mirror.Tag{{Key: genName.Draw(t, "k"), Value: genName.Draw(t, "v")}}
	}
	if rapid.Bool().Draw(t, "text") {
		s.Type, s.Text = mirror.String, rapid.StringOfN(rapid.RuneFrom([]rune("x \"\\\n,=")), 0, 8, -1).Draw(t, "s")
	} else {
		s.Type, s.Bits = mirror.Integer, rapid.Uint64().Draw(t, "i")
	}
	return s
}

// Lines put one behind the other come apart again, whatever their names and strings hold.
func TestNextFindsTheLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []string
		var all []byte
		for i := range rapid.IntRange(1, 9).Draw(t, "n") {
			s := genSample(t, int64(i))
			if UnwritableSeries(s.Measurement, s.Tags) != "" || UnwritableField(s.Field) != "" {
				continue
			}
			line := AppendLine(nil, &s)
			want = append(want, string(line))
			all = append(all, line...)
		}
		var got []string
		for rest := all; len(rest) > 0; {
			var line []byte
			line, rest = Next(rest)
			got = append(got, string(line))
			Fields(line, func(_, single []byte) {
				if string(single) != string(line) {
					t.Fatalf("the one field of %q came back as %q", line, single)
				}
			})
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("got %q, want %q", got, want)
		}
		if a, b := Half(all); string(a)+string(b) != string(all) || (len(want) > 1 && (Count(a) == 0 || Count(b) == 0)) {
			t.Fatalf("halves %q and %q of %q", a, b, all)
		}
	})
}

func TestFieldsOfALine(t *testing.T) {
	line := `m\ 1,t=a\ b a=1,b\,\=c="x, \"y=z\" ",d=2i 77` + "\n"
	var got []string
	Fields([]byte(line), func(f, single []byte) { got = append(got, string(f)+" | "+string(single)) })
	want := []string{
		"a | " + `m\ 1,t=a\ b a=1 77` + "\n",
		`b\,\=c | m\ 1,t=a\ b b\,\=c="x, \"y=z\" " 77` + "\n",
		"d | " + `m\ 1,t=a\ b d=2i 77` + "\n",
	}
	if strings.Join(got, "") != strings.Join(want, "") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkHashSample(b *testing.B) {
	buf := AppendSeries(nil, "weather", []mirror.Tag{{Key: "host", Value: "dome-3"}, {Key: "sensor", Value: "anemometer-7"}})
	buf = AppendField(buf, "temperature", mirror.Float)
	n := len(buf)
	b.ReportAllocs()
	var f mirror.Fingerprint
	for i := range b.N {
		buf = AppendValue(buf[:n], uint64(i), int64(i))
		f.AddHash(Hash(buf))
	}
}

func TestParseIsTheInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSample(t, rapid.Int64Range(mirror.MinTime, mirror.MaxTime).Draw(t, "time"))
		if UnwritableSeries(s.Measurement, s.Tags) != "" || UnwritableField(s.Field) != "" {
			t.Skip("cannot be written")
		}
		got, err := Parse(AppendLine(nil, &s))
		if err != nil || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", s) {
			t.Fatalf("%#v came back as %#v, %v", s, got, err)
		}
	})
}

// TestMisleads: a line with a newline in a text is written unless servers would see its end there.
func TestMisleads(t *testing.T) {
	for key, want := range map[string]bool{
		`m,t=a`: false, `m,t=a\ b`: false, `m,t=a\\b`: false, `m,t=a\\,b`: false, `m,t=a\\\,b`: false, `m,t=a\\ b`: false, `m,t=a\\ b,u=c`: false, `m\\ b,u=c`: false, `m\\ b,u="`: false, `m,"="`: false,
		`m\\ b=c`: true, `m,k\\ x=a"b`: true, `m,k\\ x=a"b"`: true, `m\\ ,t\\,=v`: true, `m,t=a\\ b\\,c`: true, `m,t=a\\\\\\ b\\=c`: true,
	} {
		if MisleadsKey([]byte(key)) != want {
			t.Errorf("%s: want %v", key, want)
		}
	}
	for field, want := range map[string]bool{`f`: false, `f,g=`: false, `f\\,`: false, `f\ g`: false, `"\\"`: false, `f\,`: true, `f\=g`: true, `f\\\,`: true, `,\,`: true} {
		if MisleadsField(field) != want {
			t.Errorf("%s: want %v", field, want)
		}
	}
}
