package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

func TestNames(t *testing.T) {
	seen := map[string]string{}
	names := append([]string{"cpu", "CPU", "Cpu", "cPU", "weather_station-1.5", ".hidden", "dot.", "a/b", "a\\b", "%", "%25", "~", "con"}, oddNames...)
	for _, name := range names {
		dir := dirName(name)
		if old, ok := seen[strings.ToLower(dir)]; ok && old != name {
			t.Errorf("%q and %q share %q", old, name, dir)
		}
		seen[strings.ToLower(dir)] = name
		if strings.ContainsAny(dir, "/\\\x00 ") || dir == "." || dir == ".." || len(dir) > maxDirName || dir == "" {
			t.Errorf("%q is %q", name, dir)
		}
		if back, ok := measurementOf(dir); len(name) < 60 && (!ok || back != name) {
			t.Errorf("%q is %q and back %q %v", name, dir, back, ok)
		}
	}
	for name, want := range map[string]string{"cpu": "cpu", "weather_station-1.5": "weather_station-1.5", "Temperature": "+temperature", "a b": "a%20b"} {
		if got := dirName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	if got := fileName(12, 1_700_000_000e9, 1_700_000_059_500_000_000); got != "000000000012_20231114T221320Z_20231114T221419.5Z.lp.zst" {
		t.Error(got)
	}
}

func TestWhatIsNoArchive(t *testing.T) {
	ctx := context.Background()
	base := t.TempDir()
	foreign := filepath.Join(base, "foreign")
	os.Mkdir(foreign, 0o755)
	os.WriteFile(filepath.Join(foreign, "letter.txt"), nil, 0o644)
	file := filepath.Join(base, "file")
	os.WriteFile(file, nil, 0o644)
	empty := filepath.Join(base, "empty")
	os.Mkdir(empty, 0o755)
	for dir, want := range map[string]mirror.Kind{filepath.Join(base, "none"): mirror.Missing, empty: mirror.Missing, foreign: mirror.Blocked, file: mirror.Blocked} {
		b := New(Options{Side: mirror.TargetSide, Dir: dir})
		if _, err := b.Probe(ctx); mirror.KindOf(err) != want || !strings.Contains(err.Error(), "target dir:"+dir) {
			t.Errorf("%s: %v", dir, err)
		}
		if _, err := b.Open(ctx, mirror.Chunk{Measurement: "m", Window: mirror.Axis}); mirror.KindOf(err) != want {
			t.Errorf("%s: %v", dir, err)
		}
		if err := b.CreateBucket(ctx, 0, week); (err == nil) != (want == mirror.Missing) {
			t.Errorf("%s: create: %v", dir, err)
		}
		b.Close()
	}
	if got := tree(t, foreign); got != " /letter.txt" {
		t.Errorf("the foreign directory holds %s", got)
	}
}

func TestProbe(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "weather")
	b := fresh(t, dir, time.Hour)
	defer b.Close()
	p, err := b.Probe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if p.Product != "archive" || p.Version != "1" || p.Bucket != "weather" || p.ShardGroup != int64(time.Hour) || p.Retention != 0 || !p.Counters.Known() ||
		!strings.HasPrefix(p.Identity, "archive:") || len(p.Identity) != len("archive:")+32 || time.Since(time.Unix(0, p.Date)).Abs() > time.Minute {
		t.Errorf("%+v", p)
	}
	if b.CreateBucket(ctx, 0, 0) == nil {
		t.Error("made twice")
	}
	write(t, b, integer("m", 5, 1), integer("m", int64(time.Hour), 1))
	moved := func(what string, want ...string) {
		t.Helper()
		reader := New(Options{Side: mirror.SourceSide, Dir: dir})
		defer reader.Close()
		now, err := reader.Probe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.Counters.Moved(now.Counters)
		if !ok || len(got) != len(want) || now.Identity != p.Identity {
			t.Errorf("%s: moved %v %v, want %v", what, got, ok, want)
		}
		p = now
	}
	moved("written", "0", "3600000000000")
	moved("nothing")
	write(t, b, integer("m", 6, 1))
	moved("one hour", "0")
	write(t, b, integer("m", 6, 1))
	moved("the same again")
	_, m, _ := b.find("m", "")
	path := filepath.Join(dir, inData("m", m.files[1].name()))
	os.Chtimes(path, time.Now(), time.Unix(5, 0))
	moved("touched", "3600000000000")
	os.Remove(path)
	moved("removed", "3600000000000")

	at, err := b.Locate(ctx, map[mirror.Window][]string{{Start: 0, Stop: 3}: {"m", "n"}, {Start: 3, Stop: 100}: {"m"}, {Start: 100, Stop: 200}: {"m"}, {Start: 5, Stop: 2 * int64(time.Hour)}: {"n"}})
	if err != nil || fmt.Sprint(at) != fmt.Sprint(map[string]mirror.Window{"0": {Start: 3, Stop: 100}}) {
		t.Error(at, err)
	}
	write(t, b, mirror.Sample{Measurement: "n", Tags: []mirror.Tag{{Key: "a\xff", Value: "1"}, {Key: "b c", Value: "1"}}, Field: "v", Type: mirror.Boolean})
	if tags, err := b.TagKeys(ctx); err != nil || len(tags) != 2 || !tags["a\xff"] || !tags["b c"] {
		t.Error(tags, err)
	}
}

// TestLock: one process writes, any number may read, and after the first has closed the next may write.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	a := fresh(t, dir, week)
	write(t, a, integer("m", 5, 1))
	b := New(Options{Side: mirror.TargetSide, Dir: dir})
	defer b.Close()
	if err := tryWrite(b, integer("m", 6, 1)); mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), "another process writes to "+dir) {
		t.Fatal(err)
	}
	if _, err := b.Probe(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, b, integer("m", 6, 1))
	if err := tryWrite(a, integer("m", 7, 1)); mirror.KindOf(err) != mirror.Blocked {
		t.Fatal(err)
	}
	// Who lost the lock's file, or the directory, writes no more.
	os.Remove(filepath.Join(dir, lockName))
	if err := tryWrite(b, integer("m", 8, 1)); mirror.KindOf(err) != mirror.Blocked {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "x")
	c := fresh(t, dir, week)
	defer c.Close()
	os.Rename(dir, dir+"2")
	os.Mkdir(dir, 0o755)
	if err := tryWrite(c, integer("m", 8, 1)); mirror.KindOf(err) != mirror.Blocked {
		t.Fatal(err)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	for _, name := range []string{"data/m", "tmp", ".lock"} {
		dir, outside := t.TempDir(), t.TempDir()
		b := fresh(t, dir, week)
		b.Close()
		if name == ".lock" {
			outside = filepath.Join(outside, "target")
		}
		os.Remove(filepath.Join(dir, name))
		if err := os.Symlink(outside, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		b = New(Options{Side: mirror.TargetSide, Dir: dir})
		if err := tryWrite(b, integer("m", 5, 1)); err == nil {
			t.Errorf("%s: written through a link", name)
		}
		b.Close()
		if got, _ := filepath.Glob(filepath.Join(outside, "*")); len(got) > 0 {
			t.Errorf("%s: outside there is %q", name, got)
		}
		if _, err := os.Stat(outside); name == ".lock" && err == nil {
			t.Error("the lock was made outside")
		}
	}
}

// TestWriter: nothing is visible before Close or after Abort; lines that are none are refused.
func TestWriter(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	b := fresh(t, dir, week)
	defer b.Close()
	chunk := mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 0, Stop: 100}, Width: 10}
	first, err := b.Open(ctx, chunk)
	if err != nil {
		t.Fatal(err)
	}
	second, _ := b.Open(ctx, chunk)
	third, _ := b.Open(ctx, chunk)
	for w, line := range map[LineWriter]string{first: "m v=1i,w=1i 5\nm v=2i 5\n", second: "m v=3i,x=\"é\" 5\n", third: "m v=9i 5\n"} {
		if err := w.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	model{}.matches(t, b)
	third.Abort()
	for _, w := range []LineWriter{first, second} {
		if r, err := w.Close(); err != nil || len(r.Lines)+len(r.Fields) > 0 || r.Grid != mirror.NewGrid(int64(week)) {
			t.Fatal(r, err)
		}
	}
	if got, want := content(t, dir), "m v=3i,w=1i,x=\"é\" 5\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	before := tree(t, dir)
	for _, bad := range []string{"m v=1i 100\n", "m v=1i -1\n", "n v=1i 5\n", "m v=1i", "m v=1i 5", "m v= 5\n", "m v=t 5\n", "m,a= v=1i 5\n", "m,b=1,a=1 v=1i 5\n", "m v=NaN 5\n", "\n", "# m\n", "m time=1i 5\n"} {
		w, err := b.Open(ctx, chunk)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write([]byte("m v=1i 6\n" + bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
		if _, err := w.Close(); mirror.KindOf(err) != mirror.Rejected {
			t.Errorf("%q: %v", bad, err)
		}
	}
	empty, _ := b.Open(ctx, mirror.Chunk{Measurement: "nothing", Window: mirror.Axis})
	if _, err := empty.Close(); err != nil {
		t.Error(err)
	}
	gone, cancel := context.WithCancel(ctx)
	w, _ := b.Open(gone, chunk)
	w.Write([]byte("m v=1i 6\n"))
	cancel()
	if _, err := w.Close(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if now := tree(t, dir); now != before {
		t.Errorf("%s became %s", before, now)
	}
	// Fields in any order, and twice in one line.
	w, _ = b.Open(ctx, chunk)
	w.Write([]byte("m z=1,a=2,z=3 7\n"))
	w.Close()
	if got := content(t, dir); !strings.HasSuffix(got, "m a=2,z=3 7\n") {
		t.Errorf("%q", got)
	}
}

// TestLarge writes more than is held in memory, more than a file holds, and over both again.
func TestLarge(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	b := fresh(t, dir, week)
	defer b.Close()
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	calls, most := 0, uint64(0)
	b.disk.fault = func(op, _ string) error {
		if calls++; op == "write" && calls%500 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapAlloc)
		}
		return nil
	}
	const n = 1_100_000
	var from int64 = 1_700_000_000e9
	put := func(value float64, every int) mirror.Fingerprint {
		w, err := b.Open(ctx, benchChunk)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < n; i += every { // newest first
			line := fmt.Appendf(nil, "weather,station=%d v=%v %d\n", i%7, value, from+int64(n-i)*int64(time.Millisecond))
			if err := w.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := b.Read(ctx, benchChunk, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r.Total()
	}
	var want [2]mirror.Fingerprint
	for i := range n {
		for k := range want {
			v := 1.5
			if k == 1 && i%3 == 0 {
				v = 2.5
			}
			p, _, _ := lineproto.Cut(fmt.Appendf(nil, "weather,station=%d v=%v %d\n", i%7, v, from+int64(n-i)*int64(time.Millisecond)))
			if k == 0 || i%3 == 0 {
				addTo(t, &want[k], &p)
			} else {
				addTo(t, &want[1], &p)
			}
		}
	}
	if got := put(1.5, 1); got != want[0] {
		t.Errorf("%v, want %v", got, want[0])
	}
	if got := put(2.5, 3); got != want[1] {
		t.Errorf("%v, want %v", got, want[1])
	}
	_, m, _ := b.find("weather", "")
	if len(m.files) < 2 || len(m.files) > 3 {
		t.Errorf("%d files", len(m.files))
	}
	for _, f := range m.files {
		if f.Print.Count > maxSamples || f.Print.Count < n/4 {
			t.Errorf("a file of %d samples", f.Print.Count)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) > 0 {
		t.Error(left)
	}
	if grown := int64(most) - int64(before.HeapAlloc); most == 0 || grown > 64<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	} else {
		t.Logf("the heap grew by %d MiB", grown>>20)
	}
}

// TestLastOfManyRuns: what waits sorted in tmp is merged in the order it came, behind what was there.
func TestLastOfManyRuns(t *testing.T) {
	dir := t.TempDir()
	b := fresh(t, dir, week)
	defer b.Close()
	write(t, b, integer("m", 5, -1))
	w, err := b.Open(context.Background(), mirror.Chunk{Measurement: "m", Window: mirror.Axis, Width: 5})
	if err != nil {
		t.Fatal(err)
	}
	pad := strings.Repeat("long ", pileSize/5+1) // one round, one run
	const rounds = maxRuns + 2
	for i := range rounds {
		if err := w.Write(fmt.Appendf(nil, "m v=%di 5\nm,pad=%d text=%q 6\n", i, i, pad)); err != nil {
			t.Fatal(err)
		}
	}
	if runs := len(w.(*Writer).runs); runs == 0 || runs > maxRuns {
		t.Errorf("%d runs", runs)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want := model{}
	want.put(integer("m", 5, rounds-1))
	r, err := b.Read(context.Background(), mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 5, Stop: 7}, Width: 1}, nil)
	if err != nil || r.Cells[0] != want.in("m", mirror.Axis) || r.Cells[1].Count != rounds {
		t.Errorf("%v, want %v and %d; %v", r.Cells, want.in("m", mirror.Axis), rounds, err)
	}
}

var totals = newHasher("weather")

func addTo(t *testing.T, fp *mirror.Fingerprint, p *lineproto.Parts) {
	t.Helper()
	if _, err := totals.add(p, fp); err != nil {
		t.Fatal(err)
	}
}

// TestReadersBesideAWriter: whoever reads while another process commits sees one of the states, whole.
func TestReadersBesideAWriter(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	dir := t.TempDir()
	writer := fresh(t, dir, 24*time.Hour)
	defer writer.Close()
	const places, rounds = 5, 60
	round := func(v int64) error {
		var samples []mirror.Sample
		for i := range int64(places) {
			samples = append(samples, integer("m", i*int64(10*time.Hour), v))
		}
		return tryWrite(writer, samples...)
	}
	if err := round(0); err != nil {
		t.Fatal(err)
	}
	states := map[mirror.Fingerprint]bool{}
	for v := range int64(rounds) {
		m := model{}
		for i := range int64(places) {
			m.put(integer("m", i*int64(10*time.Hour), v))
		}
		states[m.in("m", mirror.Axis)] = true
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	reads := make([]int, 3)
	for n := range reads {
		wg.Go(func() {
			reader := New(Options{Side: []mirror.Side{mirror.SourceSide, mirror.TargetSide}[n%2], Dir: dir})
			defer reader.Close()
			for {
				select {
				case <-done:
					return
				default:
				}
				r, err := reader.Read(ctx, mirror.Chunk{Measurement: "m", Window: mirror.Axis, Width: 1<<63 - 1}, func([]byte) error { return nil })
				if err != nil || !states[r.Total()] {
					t.Errorf("read %v, %v", r.Total(), err)
					return
				}
				var count uint64
				if err := reader.Survey(ctx, mirror.SurveyRequest{Window: mirror.Axis, Width: int64(time.Hour), Sums: true}, func(c mirror.Count) error { count += c.Samples; return nil }); err != nil || count != places {
					t.Errorf("survey %d, %v", count, err)
					return
				}
				if damage, err := reader.Check(ctx); err != nil || len(damage) > 0 {
					t.Errorf("check %v, %v", damage, err)
					return
				}
				if _, err := reader.Probe(ctx); err != nil {
					t.Error(err)
					return
				}
				reads[n]++
			}
		})
	}
	for v := range int64(rounds) {
		if err := round(v); err != nil {
			t.Error(err)
		}
	}
	close(done)
	wg.Wait()
	for n, count := range reads {
		if count < 3 && !t.Failed() {
			t.Errorf("reader %d read %d times", n, count)
		}
	}
}

// TestWritersOfOneHandle: lanes commit to one measurement and shard group at once, and nothing is lost.
func TestWritersOfOneHandle(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := fresh(t, dir, 24*time.Hour)
	defer b.Close()
	want := model{}
	var wg sync.WaitGroup
	for lane := range int64(4) {
		for i := range int64(10) {
			want.put(integer("m", i*4+lane, lane))
			want.put(integer(fmt.Sprint("n", i), lane, lane))
		}
		wg.Go(func() {
			for i := range int64(10) {
				if err := tryWrite(b, integer("m", i*4+lane, lane)); err != nil {
					t.Error(err)
				}
				if err := tryWrite(b, integer(fmt.Sprint("n", i), lane, lane)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	want.matches(t, b)
	if files, _ := filepath.Glob(filepath.Join(dir, "data", "m", "*.zst")); len(files) > 8 {
		t.Errorf("%q", files)
	}
}

// TestNewerLayout is for an archive that a later version wrote.
func TestNewerLayout(t *testing.T) {
	dir := t.TempDir()
	b := fresh(t, dir, week)
	_, r, err := b.root()
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	top := *r
	top.Version = 2
	doc, err := top.encode()
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, rootName), doc, 0o644)
	before := tree(t, dir)
	b = New(Options{Side: mirror.SourceSide, Dir: dir})
	defer b.Close()
	if _, err := b.Probe(context.Background()); mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), "use a newer one") {
		t.Error(err)
	}
	if err := tryWrite(b, integer("m", 1, 1)); mirror.KindOf(err) != mirror.Blocked || tree(t, dir) != before {
		t.Error(err)
	}
}
