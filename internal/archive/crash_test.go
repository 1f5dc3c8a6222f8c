package archive

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"influxmirror/internal/mirror"
)

func integer(measurement string, t, v int64) mirror.Sample {
	return mirror.Sample{Measurement: measurement, Field: "v", Type: mirror.Integer, Bits: uint64(v), Time: t}
}

// story is what happens to an archive, commit by commit: a first one, overwriting, a neighbour that is merged, another measurement, several shard groups at once.
func story() [][]mirror.Sample {
	h := int64(time.Hour)
	return [][]mirror.Sample{
		{integer("m", 0, 1), integer("m", 5*h, 1), integer("m", 9*h, 1)},
		{integer("m", 0, 2), integer("m", 5*h, 2), integer("m", 9*h, 2), integer("m", 9*h+1, 2)},
		{integer("m", 20*h, 3)},
		{integer("Other one", 0, 4)},
		{integer("m", 21*h, 5), integer("m", 30*h, 5), integer("m", 80*h, 5)},
		{integer("m", 0, 6), integer("m", 30*h, 6), integer("m", 80*h+1, 6)},
	}
}

func states() []model {
	out := []model{{}}
	for _, samples := range story() {
		next := maps.Clone(out[len(out)-1])
		for _, s := range samples {
			next.put(s)
		}
		out = append(out, next)
	}
	return out
}

// step is one call that changes the disk.
type step struct{ op, name string }

func (s step) String() string { return s.op + " " + s.name }

// tell makes the archive and plays the story; it returns how many commits were acknowledged, and the error that ended it.
func tell(dir string, fault func(op, name string) error) (acknowledged int, err error) {
	b := New(Options{Side: mirror.TargetSide, Dir: dir})
	b.fault = fault
	defer b.Close()
	if err := b.CreateBucket(context.Background(), 0, 24*time.Hour); err != nil {
		return -1, err
	}
	for i, samples := range story() {
		if err := tryWrite(b, samples...); err != nil {
			return i, err
		}
	}
	return len(story()), nil
}

// isOneOf opens what a crash left and makes sure that it is one of some states: as a reader, through zstdcat, and as the next writer, who leaves nothing behind.
func isOneOf(t *testing.T, dir, when string, from, to int) {
	t.Helper()
	all := states()
	ctx := context.Background()
	reader := New(Options{Side: mirror.SourceSide, Dir: dir})
	defer reader.Close()
	if _, err := reader.Probe(ctx); err != nil {
		if mirror.KindOf(err) != mirror.Missing || from >= 0 {
			t.Fatalf("%s: %v", when, err)
		}
		again := fresh(t, dir, 24*time.Hour) // half made: made once more
		defer again.Close()
		model{}.matches(t, again)
		return
	}
	from = max(from, 0)
	if damage, err := reader.Check(ctx); err != nil || len(damage) > 0 {
		t.Fatalf("%s: damage %v, %v", when, damage, err)
	}
	found := -1
	for i := from; i <= to; i++ {
		if equal(t, reader, all[i]) {
			found = i
			break
		}
	}
	if found < 0 {
		t.Fatalf("%s: neither state %d nor %d", when, from, to)
	}
	restored := parse(t, content(t, dir))
	for p, s := range all[found] {
		if got := restored[p]; !same(got, s) && !same(got, all[to][p]) {
			t.Fatalf("%s: zstdcat restores %+v, want %+v", when, got, s)
		}
	}
	if len(restored) > len(all[to]) {
		t.Fatalf("%s: zstdcat restores %d samples of %d", when, len(restored), len(all[to]))
	}
	writer := New(Options{Side: mirror.TargetSide, Dir: dir})
	defer writer.Close()
	extra := integer("m", -5, 9)
	write(t, writer, extra)
	want := maps.Clone(all[found])
	want.put(extra)
	want.matches(t, writer)
	if got := parse(t, content(t, dir)); !maps.EqualFunc(got, want, same) {
		t.Fatalf("%s: behind the next writer zstdcat restores %d samples, want %d", when, len(got), len(want))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) > 0 {
		t.Fatalf("%s: left in tmp: %q", when, left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "data", "*", "*"+damagedSuffix)); len(left) > 0 {
		t.Fatalf("%s: set aside: %q", when, left)
	}
}

func equal(t *testing.T, b *Bucket, m model) bool {
	t.Helper()
	for _, name := range []string{"m", "Other one"} {
		r, err := b.Read(context.Background(), mirror.Chunk{Measurement: name, Window: mirror.Axis, Width: 1<<63 - 1}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if r.Total() != m.in(name, mirror.Axis) {
			return false
		}
	}
	return true
}

// TestKilledAtEachStep copies the directory before each step: what a kill -9 leaves, with all that the kernel was given.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "archive")
	steps, acknowledged := 0, -1
	b := New(Options{Side: mirror.TargetSide, Dir: dir})
	defer b.Close()
	b.fault = func(op, name string) error {
		steps++
		to := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		isOneOf(t, to, fmt.Sprintf("killed before step %d, %s %s", steps, op, name), acknowledged, max(acknowledged+1, 0))
		return nil
	}
	if err := b.CreateBucket(context.Background(), 0, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, samples := range story() {
		acknowledged++
		write(t, b, samples...)
	}
	if steps < 60 {
		t.Fatalf("only %d steps", steps)
	}
}

// TestPowerLostAtEachStep keeps only what was made durable: contents that were synced, under names whose directory was synced.
func TestPowerLostAtEachStep(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "archive")
	synced := map[uint64]bool{}               // inodes
	durable := map[string]map[string]string{} // directory → name → content; "dir" for a directory
	var last *step
	apply := func() {
		if last == nil || last.op != "sync" {
			return
		}
		path := filepath.Join(dir, last.name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() {
			synced[info.Sys().(*syscall.Stat_t).Ino] = true
			return
		}
		list := map[string]string{}
		entries, err := os.ReadDir(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case e.IsDir():
				list[e.Name()] = "dir"
			case synced[info.Sys().(*syscall.Stat_t).Ino]:
				b, err := os.ReadFile(filepath.Join(path, e.Name()))
				if err != nil {
					t.Fatal(err)
				}
				list[e.Name()] = "=" + string(b)
			default:
				list[e.Name()] = "=" // the name came through, the content did not
			}
		}
		durable[filepath.Clean(last.name)] = list
	}
	var build func(at, to string)
	build = func(at, to string) {
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, what := range durable[filepath.Clean(at)] {
			if what == "dir" {
				build(filepath.Join(at, name), filepath.Join(to, name))
			} else if err := os.WriteFile(filepath.Join(to, name), []byte(what[1:]), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	acknowledged, made := -1, 0
	b := New(Options{Side: mirror.TargetSide, Dir: dir})
	b.fault = func(op, name string) error {
		apply()
		last = &step{op, name}
		to := filepath.Join(t.TempDir(), "after")
		build(".", to)
		made++
		isOneOf(t, to, fmt.Sprintf("power lost before step %d, %v", made, last), acknowledged, max(acknowledged+1, 0))
		// A disk may also keep a later rename and lose an earlier one: here only documents came through.
		to = filepath.Join(t.TempDir(), "reordered")
		build(".", to)
		for _, pattern := range []string{rootName, "data/*/" + manifestName} {
			documents, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range documents {
				at, err := filepath.Rel(dir, path)
				if err != nil {
					t.Fatal(err)
				}
				doc, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := os.Stat(filepath.Dir(filepath.Join(to, at))); err == nil {
					if err := os.WriteFile(filepath.Join(to, at), doc, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		isOneOf(t, to, fmt.Sprintf("power lost before step %d, %v, with the documents", made, last), acknowledged, max(acknowledged+1, 0))
		return nil
	}
	defer b.Close()
	if err := b.CreateBucket(context.Background(), 0, 24*time.Hour); err != nil {
		t.Fatal(err)
	}
	acknowledged = 0
	for _, samples := range story() {
		write(t, b, samples...)
		acknowledged++
		apply()
		last = nil
		to := filepath.Join(t.TempDir(), "after")
		build(".", to)
		isOneOf(t, to, "power lost behind an acknowledgement", acknowledged, acknowledged)
	}
	if made < 60 {
		t.Fatalf("only %d steps", made)
	}
}

// TestEachStepFails lets each step fail in turn: the caller gets an error, what was acknowledged stays, and once the disk is well the rest works.
func TestEachStepFails(t *testing.T) {
	t.Parallel()
	for n, failed := 0, true; failed; n++ {
		failed = failAt(t, n, []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.ENOSPC}[n%3])
	}
}

// failAt lets step n of the story fail; it returns false if there are fewer.
func failAt(t *testing.T, n int, errno syscall.Errno) bool {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "archive")
	count := 0
	var failed step
	acknowledged, err := tell(dir, func(op, name string) error {
		if count++; count == n+1 {
			failed = step{op, name}
			return errno
		}
		return nil
	})
	when := fmt.Sprintf("%v at step %d, %v", errno, n, failed)
	switch {
	case failed.op == "":
		return false
	case failed.op == "remove" && err == nil:
		// What is replaced is removed when the archive is closed.
		isOneOf(t, dir, when, len(story()), len(story()))
		return true
	case err == nil:
		t.Fatalf("%s: no error", when)
	}
	kind, want := mirror.KindOf(err), mirror.Unreachable
	if errno == syscall.ENOSPC {
		want = mirror.Busy
	}
	if failed.op == "sync" {
		want = mirror.Blocked
	}
	if kind != want || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), strings.TrimSuffix(failed.name, "/")) {
		t.Fatalf("%s: kind %s, want %s: %v", when, kind, want, err)
	}
	last := acknowledged
	if failed.op == "sync" { // then nobody knows
		last = min(acknowledged+1, len(story()))
	}
	isOneOf(t, dir, when, acknowledged, max(last, 0))
	return true
}

// TestGoesOnBehindAFullDisk: a commit that failed for want of room leaves nothing, and the same handle does it later.
func TestGoesOnBehindAFullDisk(t *testing.T) {
	t.Parallel()
	for n := range 8 {
		dir := filepath.Join(t.TempDir(), "archive")
		full, at := false, 0
		b := New(Options{Side: mirror.TargetSide, Dir: dir})
		b.fault = func(op, name string) error {
			if full && op != "remove" && op != "sync" {
				if at++; at > n {
					return syscall.ENOSPC
				}
			}
			return nil
		}
		if err := b.CreateBucket(context.Background(), 0, week); err != nil {
			t.Fatal(err)
		}
		want := model{}
		want.put(integer("m", 5, 1))
		write(t, b, integer("m", 5, 1))
		names := tree(t, dir)
		full = true
		err := tryWrite(b, integer("m", 5, 2), integer("m", 6, 2))
		full = false
		if err == nil {
			if n < 5 {
				t.Fatalf("%d: no error", n)
			}
			b.Close()
			continue
		}
		if mirror.KindOf(err) != mirror.Busy {
			t.Fatal(err)
		}
		want.matches(t, b)
		if now := tree(t, dir); now != names {
			t.Fatalf("%d: the failed commit left %s, before %s", n, now, names)
		}
		want.put(integer("m", 5, 2))
		want.put(integer("m", 6, 2))
		write(t, b, integer("m", 5, 2), integer("m", 6, 2))
		want.matches(t, b)
		b.Close()
	}
}

// TestFailedSyncEndsTheHandle: nothing is read or written through it any more.
func TestFailedSyncEndsTheHandle(t *testing.T) {
	dir := t.TempDir()
	b := fresh(t, dir, week)
	defer b.Close()
	write(t, b, integer("m", 5, 1))
	b.disk.fault = func(op, name string) error {
		if op == "sync" {
			return syscall.EIO
		}
		return nil
	}
	if err := tryWrite(b, integer("m", 6, 1)); mirror.KindOf(err) != mirror.Blocked {
		t.Fatal(err)
	}
	b.disk.fault = nil
	ctx := context.Background()
	chunk := mirror.Chunk{Measurement: "m", Window: mirror.Axis, Width: 1<<63 - 1}
	_, probe := b.Probe(ctx)
	_, read := b.Read(ctx, chunk, nil)
	_, open := b.Open(ctx, chunk)
	survey := b.Survey(ctx, mirror.SurveyRequest{Window: mirror.Axis, Width: 5}, func(mirror.Count) error { return nil })
	for _, err := range []error{probe, read, open, survey} {
		if mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), "disk") {
			t.Error(err)
		}
	}
}

// tree lists all files.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		out = append(out, strings.TrimPrefix(path, dir))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}
