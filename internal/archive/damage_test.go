package archive

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/mirror"
)

// damageable is an archive of two measurements, the first in several files.
func damageable(t *testing.T) (dir string, want model, files []file) {
	t.Helper()
	dir, want = t.TempDir(), model{}
	b := fresh(t, dir, 24*time.Hour)
	for day := range int64(3) {
		var samples []mirror.Sample
		for i := range int64(20) {
			s := integer("m", day*int64(24*time.Hour)+i*int64(time.Minute), i)
			want.put(s)
			samples = append(samples, s)
		}
		write(t, b, samples...)
	}
	other := integer("Other one", 7, 7)
	want.put(other)
	write(t, b, other)
	_, m, err := b.find("m", "")
	if err != nil || len(m.files) != 3 {
		t.Fatal(m, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, want, m.files
}

func alter(t *testing.T, path string, how func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, how(b), 0o644); err != nil {
		t.Fatal(err)
	}
}

func without(m model, measurement string, w mirror.Window) model {
	out := model{}
	for p, s := range m {
		if p.measurement != measurement || !w.Contains(p.time) {
			out[p] = s
		}
	}
	return out
}

// TestDamage: what happened to a file is found and named, a source says so, a target lacks it, and the next commit there sets it aside.
func TestDamage(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, path string){
		"missing":   func(t *testing.T, path string) { os.Remove(path) },
		"empty":     func(t *testing.T, path string) { alter(t, path, func([]byte) []byte { return nil }) },
		"truncated": func(t *testing.T, path string) { alter(t, path, func(b []byte) []byte { return b[:len(b)-1] }) },
		"longer":    func(t *testing.T, path string) { alter(t, path, func(b []byte) []byte { return append(b, 0) }) },
		"flipped": func(t *testing.T, path string) {
			alter(t, path, func(b []byte) []byte { b[rand.IntN(len(b))] ^= 1 << rand.IntN(8); return b })
		},
		"zeroed": func(t *testing.T, path string) { alter(t, path, func(b []byte) []byte { return make([]byte, len(b)) }) },
		"a directory": func(t *testing.T, path string) {
			os.Remove(path)
			os.Mkdir(path, 0o755)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir, want, files := damageable(t)
			f := files[1]
			path := filepath.Join(dir, inData("m", f.name()))
			harm(t, path)
			ctx := context.Background()
			lacking := without(want, "m", f.window())
			touched := mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: f.First, Stop: f.First + 5}, Width: 5}
			whole := mirror.SurveyRequest{Window: mirror.Axis, Width: int64(week)}
			fine := mirror.SurveyRequest{Window: mirror.Axis, Width: int64(time.Minute)}

			source := New(Options{Side: mirror.SourceSide, Dir: dir})
			defer source.Close()
			damage, err := source.Check(ctx)
			if err != nil || len(damage) != 1 {
				t.Fatal(damage, err)
			}
			d := damage[0]
			if d.Measurement != "m" || d.Window != f.window() || d.Samples != 20 || d.File != inData("m", f.name()) || d.Reason == "" {
				t.Errorf("%+v", d)
			}
			if _, err := source.Read(ctx, touched, nil); mirror.KindOf(err) != mirror.Rejected || !strings.Contains(err.Error(), f.name()) {
				t.Errorf("the source reads: %v", err)
			}
			if _, err := source.Read(ctx, mirror.Chunk{Measurement: "m", Window: mirror.Window{Stop: f.First}, Width: f.First}, nil); err != nil {
				t.Errorf("the source beside it: %v", err)
			}
			for _, req := range []mirror.SurveyRequest{whole, fine} { // never empty
				var n uint64
				steps := map[int64]bool{}
				if err := source.Survey(ctx, req, func(c mirror.Count) error { n += c.Samples; steps[c.Window.Start] = true; return nil }); err != nil || n != 61 {
					t.Errorf("the source counts %d, %v", n, err)
				}
				for i := range int64(20) {
					if at := f.First + i*int64(time.Minute); req.Width == fine.Width && !steps[at] {
						t.Errorf("a step of the damaged file seems empty: %s", mirror.FormatTime(at))
					}
				}
			}

			// A target that was not told finds it in its first read.
			target := New(Options{Side: mirror.TargetSide, Dir: dir})
			defer target.Close()
			before, err := target.Probe(ctx)
			if err != nil {
				t.Fatal(err)
			}
			lacking.matches(t, target)
			lacking.survey(t, target, whole)
			lacking.survey(t, target, fine)
			after, err := target.Probe(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if _, comparable := before.Counters.Moved(after.Counters); comparable {
				t.Error("nobody is told to look everywhere")
			}
			// What is written again replaces it.
			write(t, target, integer("m", f.First, 0))
			lacking.put(integer("m", f.First, 0))
			lacking.matches(t, target)
			if damage, err := target.Check(ctx); err != nil || len(damage) > 0 {
				t.Error(damage, err)
			}
			if _, err := os.Stat(path + damagedSuffix); (err == nil) != (name != "missing") {
				t.Errorf("set aside: %v", err)
			}
			var n uint64
			if err := New(Options{Side: mirror.SourceSide, Dir: dir}).Survey(ctx, whole, func(c mirror.Count) error { n += c.Samples; return nil }); err != nil || n != 42 {
				t.Errorf("a source counts %d then, %v", n, err)
			}
		})
	}
}

// TestDamageFoundByCommit: a writer that meets it first tells before it takes the samples for gone.
func TestDamageFoundByCommit(t *testing.T) {
	dir, want, files := damageable(t)
	f := files[1]
	alter(t, filepath.Join(dir, inData("m", f.name())), func(b []byte) []byte { b[len(b)/2] ^= 4; return b })
	b := New(Options{Side: mirror.TargetSide, Dir: dir})
	defer b.Close()
	s := integer("m", f.First+1, 1)
	if err := tryWrite(b, s); mirror.KindOf(err) != mirror.Broken || !strings.Contains(err.Error(), f.name()) {
		t.Fatal(err)
	}
	lacking := without(want, "m", f.window())
	lacking.matches(t, b)
	write(t, b, s)
	lacking.put(s)
	lacking.matches(t, b)
	// A file put back in time is believed again.
	dir, want, files = damageable(t)
	path := filepath.Join(dir, inData("m", files[1].name()))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	alter(t, path, func(b []byte) []byte { b = bytes.Clone(b); b[9] ^= 1; return b })
	again := New(Options{Side: mirror.TargetSide, Dir: dir})
	defer again.Close()
	if damage, err := again.Check(context.Background()); len(damage) != 1 || err != nil {
		t.Fatal(damage, err)
	}
	alter(t, path, func([]byte) []byte { return good })
	if err := os.Chtimes(path, time.Now(), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	want.survey(t, again, mirror.SurveyRequest{Window: mirror.Axis, Width: int64(week)})
	want.matches(t, again)
}

// TestEveryBitOfAManifest: no flip goes unnoticed, and a writer makes the manifest anew from the files.
func TestEveryBitOfAManifest(t *testing.T) {
	dir, want, _ := damageable(t)
	path := filepath.Join(dir, inData("m", manifestName))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if m, err := decodeManifest(bad, "m"); err == nil {
			t.Fatalf("bit %d: %+v", bit, m)
		}
	}
	ctx := context.Background()
	whole := mirror.SurveyRequest{Window: mirror.Axis, Width: int64(week)}
	for name, harm := range map[string]func(){
		"flipped": func() { alter(t, path, func(b []byte) []byte { b[rand.IntN(len(b))] ^= 1; return b }) },
		"missing": func() { os.Remove(path) },
		"cut":     func() { alter(t, path, func(b []byte) []byte { return b[:len(b)/2] }) },
		"another": func() {
			other, _ := os.ReadFile(filepath.Join(dir, inData("+other%20one", manifestName)))
			alter(t, path, func([]byte) []byte { return other })
		},
	} {
		harm()
		source := New(Options{Side: mirror.SourceSide, Dir: dir})
		damage, err := source.Check(ctx)
		if err != nil || len(damage) != 1 || damage[0].Measurement != "m" || damage[0].File != inData("m", manifestName) {
			t.Fatal(name, damage, err)
		}
		err = source.Survey(ctx, whole, func(mirror.Count) error { return nil })
		if mirror.KindOf(err) != mirror.Rejected || !strings.Contains(err.Error(), inData("m", manifestName)) {
			t.Fatal(name, err)
		}
		_, err = source.Read(ctx, mirror.Chunk{Measurement: "m", Window: mirror.Axis, Width: 5e18}, nil)
		if mirror.KindOf(err) != mirror.Rejected {
			t.Fatal(name, err)
		}
		source.Close()
		target := New(Options{Side: mirror.TargetSide, Dir: dir})
		without(want, "m", mirror.Axis).matches(t, target)
		without(want, "m", mirror.Axis).survey(t, target, whole)
		write(t, target, integer("Other one", 7, 7))
		want.matches(t, target)
		want.survey(t, target, whole)
		if _, err := target.Check(ctx); err != nil {
			t.Fatal(err)
		}
		target.Close()
	}
}

// TestDamagedRoot: nothing is read or written until its owner puts it back.
func TestDamagedRoot(t *testing.T) {
	dir, _, _ := damageable(t)
	path := filepath.Join(dir, rootName)
	good, _ := os.ReadFile(path)
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		if r, err := decodeRoot(bad); err == nil {
			t.Fatalf("bit %d: %+v", bit, r)
		}
	}
	before := tree(t, dir)
	alter(t, path, func(b []byte) []byte { b[100] ^= 1; return b })
	b := New(Options{Side: mirror.TargetSide, Dir: dir})
	defer b.Close()
	_, err := b.Probe(context.Background())
	for _, err := range []error{err, tryWrite(b, integer("m", 1, 1)), b.CreateBucket(context.Background(), 0, 0)} {
		if mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), rootName) {
			t.Error(err)
		}
	}
	os.Remove(path)
	_, err = b.Probe(context.Background())
	for _, err := range []error{err, tryWrite(b, integer("m", 1, 1)), b.CreateBucket(context.Background(), 0, 0)} {
		if mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), rootName) {
			t.Error(err)
		}
	}
	alter(t, filepath.Join(dir, readmeName), func(b []byte) []byte { return b })
	if os.WriteFile(path, good, 0o644); tree(t, dir) != before {
		t.Error("something was written")
	}
}
