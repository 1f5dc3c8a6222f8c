package archive

import (
	"cmp"
	"context"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

const week = 7 * 24 * time.Hour

// place is what a Sample is the value of.
type place struct {
	measurement, series, field string
	time                       int64
}

// model is what an archive must hold.
type model map[place]mirror.Sample

func (m model) put(s mirror.Sample) {
	m[place{s.Measurement, string(lineproto.AppendKey(nil, s.Measurement, s.Tags)), s.Field, s.Time}] = s
}

func (m model) in(measurement string, w mirror.Window) (fp mirror.Fingerprint) {
	for p, s := range m {
		if p.measurement == measurement && w.Contains(p.time) {
			fp.AddHash(lineproto.HashSample(nil, &s))
		}
	}
	return fp
}

func (m model) measurements() []string {
	seen := map[string]bool{}
	for p := range m {
		seen[p.measurement] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// fresh makes an archive.
func fresh(t fataler, dir string, group time.Duration) *Bucket {
	t.Helper()
	b := New(Options{Side: mirror.TargetSide, Dir: dir})
	if err := b.CreateBucket(context.Background(), 0, group); err != nil {
		t.Fatal(err)
	}
	return b
}

// write writes samples of one measurement, one line each, in one commit.
func write(t fataler, b *Bucket, samples ...mirror.Sample) {
	t.Helper()
	if err := tryWrite(b, samples...); err != nil {
		t.Fatal(err)
	}
}

func tryWrite(b *Bucket, samples ...mirror.Sample) error {
	w, err := b.Open(context.Background(), mirror.Chunk{Measurement: samples[0].Measurement, Window: mirror.Axis, Width: math.MaxInt64})
	if err != nil {
		return err
	}
	var lines []byte
	for i := range samples {
		lines = lineproto.AppendLine(lines, &samples[i])
	}
	if err := w.Write(lines); err != nil {
		w.Abort()
		return err
	}
	_, err = w.Close()
	return err
}

// matches compares the archive with the model by every way there is to read it.
func (m model) matches(t fataler, b *Bucket, cuts ...int64) {
	t.Helper()
	ctx := context.Background()
	windows := []mirror.Window{mirror.Axis}
	for _, at := range cuts {
		last := &windows[len(windows)-1]
		if last.Start < at && at < last.Stop {
			next := mirror.Window{Start: at, Stop: last.Stop}
			last.Stop = at
			windows = append(windows, next)
		}
	}
	for _, name := range append(m.measurements(), "not there") {
		for _, w := range windows {
			c := mirror.Chunk{Measurement: name, Window: w, Width: int64(min(w.Width()/3+1, math.MaxInt64))}
			got := model{}
			r, err := b.Read(ctx, c, func(lines []byte) error {
				if len(lines) > batchSize && lineproto.Count(lines) > 1 {
					t.Fatalf("a batch of %d bytes", len(lines))
				}
				for len(lines) > 0 {
					var line []byte
					line, lines = lineproto.Next(lines)
					lineproto.Fields(line, func(_, single []byte) {
						s, err := lineproto.Parse(single)
						if err != nil {
							t.Fatal(err)
						}
						got.put(s)
					})
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for i, fp := range r.Cells {
				if want := m.in(name, c.Cell(i)); fp != want {
					t.Fatalf("%q %v: %v, want %v", name, c.Cell(i), fp, want)
				}
			}
			for p, s := range m {
				if p.measurement == name && w.Contains(p.time) && !same(got[p], s) {
					t.Fatalf("%+v is %+v, want %+v", p, got[p], s)
				}
			}
		}
	}
}

func same(a, b mirror.Sample) bool {
	return a.Type == b.Type && a.Bits == b.Bits && a.Text == b.Text && a.Field == b.Field && slices.Equal(a.Tags, b.Tags) && a.Time == b.Time
}

// survey compares a survey with the model.
func (m model) survey(t fataler, b *Bucket, req mirror.SurveyRequest) {
	t.Helper()
	type step struct {
		measurement string
		window      mirror.Window
	}
	got, order := map[step]uint64{}, []step{}
	err := b.Survey(context.Background(), req, func(c mirror.Count) error {
		s := step{c.Measurement, c.Window}
		if (c.Digest != 0) != req.Sums || got[s] != 0 || c.Samples == 0 {
			t.Fatalf("%+v", c)
		}
		got[s] = c.Samples
		order = append(order, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[step]uint64{}
	for p := range m {
		if req.Window.Contains(p.time) {
			want[step{p.measurement, req.Step(p.time).Intersect(req.Window)}]++
		}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("%+v: %v, want %v", req, got, want)
	}
	if !slices.IsSortedFunc(order, func(a, b step) int {
		if c := strings.Compare(a.measurement, b.measurement); c != 0 {
			return c
		}
		return cmp.Compare(a.window.Start, b.window.Start)
	}) {
		t.Fatalf("out of order: %v", order)
	}
}

// text returns what zstdcat data/*/*.zst prints.
func content(t fataler, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "data", "*", "*.zst"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b, err = z.DecodeAll(b, nil)
		if err != nil {
			t.Fatal(f, err)
		}
		out.Write(b)
	}
	return out.String()
}

// parse is the model of some lines, written one after the other.
func parse(t fataler, lines string) model {
	t.Helper()
	m := model{}
	for b := []byte(lines); len(b) > 0; {
		var line []byte
		line, b = lineproto.Next(b)
		lineproto.Fields(line, func(_, single []byte) {
			s, err := lineproto.Parse(single)
			if err != nil {
				t.Fatal(err)
			}
			m.put(s)
		})
	}
	return m
}

var oddNames = []string{"m", "M", "cpu load", "a,b=c", "..", ".", "/etc/passwd", "é", "\xff\xfe", "con", "x\x00y", `back\slash`, strings.Repeat("long", 100), strings.Repeat("long", 100) + "er", "%41", "+m", "~", "emoji 🙂"}

func drawSample(t *rapid.T, measurement string) mirror.Sample {
	s := mirror.Sample{Measurement: measurement, Field: rapid.SampledFrom([]string{"v", "w", "a b", "é", "x,y", "0"}).Draw(t, "field"), Type: mirror.Type(rapid.SampledFrom([]byte("fiubs")).Draw(t, "type"))}
	s.Time = rapid.OneOf(rapid.SampledFrom([]int64{mirror.MinTime, mirror.MaxTime, 0, -1, 1, mirror.MinTime + 1, mirror.MaxTime - 1, int64(week) * 2600}),
		rapid.Int64Range(0, 20), rapid.Int64Range(1_700_000_000, 1_702_000_000)).Draw(t, "time")
	if s.Time > 1_000_000 && s.Time < 2_000_000_000 {
		s.Time *= 1e9
	}
	if host := rapid.SampledFrom([]string{"", "a", "b c", "=,"}).Draw(t, "tag"); host != "" {
		s.Tags = []mirror.Tag{{Key: "host", Value: host}}
	}
	switch s.Type {
	case mirror.Float:
		s.Bits = math.Float64bits(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64, 1e21, 0.1, -5}).Draw(t, "float"))
	case mirror.Integer:
		s.Bits = uint64(rapid.SampledFrom([]int64{0, 1, math.MinInt64, math.MaxInt64}).Draw(t, "int"))
	case mirror.Unsigned:
		s.Bits = rapid.SampledFrom([]uint64{0, math.MaxUint64, 1 << 63}).Draw(t, "uint")
	case mirror.Boolean:
		s.Bits = rapid.Uint64Range(0, 1).Draw(t, "bool")
	case mirror.String:
		s.Text = rapid.SampledFrom([]string{"", "a\nb", `"`, `\`, `\"`, "\xff", "x=1,y=2 3\n", "🙂"}).Draw(t, "text")
	}
	return s
}

// TestModel writes random samples in random commits and compares the archive with a map after each, and after opening it anew.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "archive-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		b := fresh(t, dir, rapid.SampledFrom([]time.Duration{week, 24 * time.Hour, time.Hour, 0}).Draw(t, "group"))
		defer func() { b.Close() }()
		want := model{}
		cuts := []int64{mirror.MinTime + 1, -1, 0, 5, 1_701_000_000e9, mirror.MaxTime}
		for range rapid.IntRange(1, 5).Draw(t, "commits") {
			name := rapid.SampledFrom(oddNames).Draw(t, "measurement")
			var samples []mirror.Sample
			for range rapid.IntRange(1, 12).Draw(t, "samples") {
				s := drawSample(t, name)
				samples = append(samples, s)
				want.put(s)
			}
			write(t, b, samples...)
			if rapid.Bool().Draw(t, "reopen") {
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				b = New(Options{Side: mirror.TargetSide, Dir: dir})
			}
			want.matches(t, b, cuts...)
		}
		for _, width := range []int64{10, 10, int64(time.Minute), int64(week)} { // twice: what is remembered belongs to one offset
			req := mirror.SurveyRequest{Window: mirror.Axis, Width: width, Offset: rapid.Int64Range(0, width-1).Draw(t, "offset"), Sums: rapid.Bool().Draw(t, "sums")}
			want.survey(t, b, req)
			req.Window = mirror.Window{Start: 3, Stop: 1_701_000_000e9}
			want.survey(t, b, req)
		}
		if damage, err := b.Check(context.Background()); err != nil || len(damage) > 0 {
			t.Fatal(damage, err)
		}
		got := parse(t, content(t, dir))
		if len(got) != len(want) {
			t.Fatalf("the files hold %d samples, want %d", len(got), len(want))
		}
		for p, s := range want {
			if !same(got[p], s) {
				t.Fatalf("the files say %+v, want %+v", got[p], s)
			}
		}
	})
}

// TestBound writes minute by minute, from either end and anyhow: the files stay few, and what is written again stays in proportion.
func TestBound(t *testing.T) {
	const n = 200
	for name, at := range map[string]func(i int) int{
		"forward": func(i int) int { return i }, "backward": func(i int) int { return n - i }, "anyhow": func(i int) int { return i * 77 % n },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			b := fresh(t, dir, week)
			defer b.Close()
			want, written, most := model{}, uint64(0), 0
			for i := range n {
				s := integer("m", 1_700_000_000e9+int64(at(i))*int64(time.Minute), int64(i))
				want.put(s)
				write(t, b, s)
				_, m, err := b.find("m", "")
				if err != nil {
					t.Fatal(err)
				}
				most = max(most, len(m.files))
				for _, f := range m.files {
					if f.Generation == m.generation {
						written += f.Print.Count
					}
				}
			}
			want.matches(t, b)
			if most > 20 || written > n*10 && name != "anyhow" {
				t.Errorf("%d files at most, %d samples written for %d", most, written, n)
			}
			files, err := filepath.Glob(filepath.Join(dir, "data", "m", "*"))
			_, m, _ := b.find("m", "")
			if err != nil || len(files) != len(m.files)+1 {
				t.Errorf("%d files beside the manifest, which lists %d: %q", len(files)-1, len(m.files), files)
			}
			t.Logf("%d files at most, each sample written %.1f times", most, float64(written)/n)
		})
	}
}
