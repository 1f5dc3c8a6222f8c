package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"influxmirror/internal/mirror"
)

var ctx = context.Background()

func TestRecordAndGroup(t *testing.T) {
	l := openTest(t, t.TempDir())
	p, other := pairOf(t, l, "a|b|1"), pairOf(t, l, "a|b|2")
	rapid.Check(t, func(t *rapid.T) {
		g := genGroup(t)
		if err := p.Record(ctx, g); err != nil {
			t.Fatal(err)
		}
		got, err := p.Group(ctx, g.Measurement, g.Window)
		if err != nil || !reflect.DeepEqual(got, g) {
			t.Fatalf("got %v, %v\nwant %v", got, err, g)
		}
		if got, err := other.Group(ctx, g.Measurement, g.Window); err != nil || len(got.Proofs)+len(got.Exceptions) != 0 || got.Window != g.Window {
			t.Fatalf("the other pair has %v, %v", got, err)
		}
	})
	if n := l.Dropped(); n != 0 {
		t.Errorf("%d rows dropped", n)
	}
}

func TestRecordRefuses(t *testing.T) {
	l := openTest(t, t.TempDir())
	p := pairOf(t, l, "k")
	good := oddGroup("cpu", 0, 1)
	mustRecord(t, p, good)
	for name, spoil := range map[string]func(*mirror.Group){
		"not equal": func(g *mirror.Group) { g.Proofs[3].Target.Lo++ },
		"count":     func(g *mirror.Group) { g.Proofs[3].Target.Count++ },
		"more than all": func(g *mirror.Group) {
			f := g.Proofs[3].Source
			f.Count++
			g.Proofs[3].Excepted, g.Proofs[3].Extra = f, f
		},
		"empty cell":        func(g *mirror.Group) { g.Proofs[3].Window.Stop = g.Proofs[3].Window.Start },
		"unsorted":          func(g *mirror.Group) { g.Proofs[3], g.Proofs[4] = g.Proofs[4], g.Proofs[3] },
		"overlap":           func(g *mirror.Group) { g.Proofs[3].Window.Stop++ },
		"twice":             func(g *mirror.Group) { g.Proofs[3] = g.Proofs[2] },
		"before":            func(g *mirror.Group) { g.Proofs[0].Window.Start-- },
		"after":             func(g *mirror.Group) { g.Proofs[len(g.Proofs)-1].Window.Stop++ },
		"empty group":       func(g *mirror.Group) { g.Window.Stop = g.Window.Start },
		"exception outside": func(g *mirror.Group) { g.Exceptions[0].Window = week(1) },
		"exception empty":   func(g *mirror.Group) { g.Exceptions[0].Window = mirror.Window{} },
	} {
		g := oddGroup("cpu", 0, 2)
		spoil(&g)
		if err := p.Record(ctx, g); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := getGroup(t, p, good); !reflect.DeepEqual(got, good) {
		t.Error("the stored group changed")
	}
}

func TestSummariesExceptionsForget(t *testing.T) {
	l := openTest(t, t.TempDir())
	p, other := pairOf(t, l, "k"), pairOf(t, l, "k2")
	var want []mirror.Summary
	for _, m := range []string{"", "a\x00b", "cpu", "cpu2", "\xff"} {
		for i := -2; i < 3; i++ {
			g := oddGroup(m, i, uint64(i))
			mustRecord(t, p, g)
			want = append(want, g.Summary())
		}
	}
	mustRecord(t, other, normalGroup("cpu", 0, 9))
	got, err := p.Summaries(ctx)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("summaries %v, %v\nwant %v", got, err, want)
	}
	count := func(classes ...mirror.Class) (n int) {
		for e, err := range p.Exceptions(ctx, classes...) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Class == mirror.Refused && e.Field != "a\x00\xff" {
				t.Errorf("field %q", e.Field)
			}
			n++
		}
		return n
	}
	if a, b, c, d := count(), count(mirror.Extra), count(mirror.Expired), count(mirror.Extra, mirror.Refused); a != 50 || b != 25 || c != 0 || d != 50 {
		t.Errorf("exceptions: all %d, extra %d, expired %d, both %d", a, b, c, d)
	}
	for range p.Exceptions(ctx) { // a loop may end early
		break
	}

	mustRecord(t, p, mirror.Group{Measurement: "cpu", Window: week(0)})
	if got, _ := p.Summaries(ctx); len(got) != len(want)-1 {
		t.Errorf("%d groups after one was emptied, had %d", len(got), len(want))
	}
	if err := p.Forget(ctx); err != nil {
		t.Fatal(err)
	}
	if got, _ := p.Summaries(ctx); len(got) != 0 || count() != 0 {
		t.Errorf("%d groups, %d exceptions left", len(got), count())
	}
	if got := getGroup(t, other, normalGroup("cpu", 0, 9)); len(got.Proofs) != 56 {
		t.Error("the other pair lost its group")
	}
	for table, want := range map[string]int{"proof": 1, "summary": 1, "exception": 0} {
		var n int
		if err := l.r.QueryRow(`SELECT count(*) FROM ` + table).Scan(&n); err != nil || n != want {
			t.Errorf("%d rows in %s, want %d (%v)", n, table, want, err)
		}
	}
}

func TestNamesNotesPasses(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir)
	p, q := pairOf(t, l, "k"), pairOf(t, l, "k2")
	for _, err := range []error{p.SetName(ctx, "lab", "a", "b"), p.SetName(ctx, "back", "b", "a"), q.SetName(ctx, "lab", "a", "c")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	pairs, err := l.Pairs(ctx)
	want := []PairInfo{{Key: "k", Names: []Name{{"back", "b", "a"}}}, {Key: "k2", Names: []Name{{"lab", "a", "c"}}}}
	if err != nil || !reflect.DeepEqual(pairs, want) {
		t.Errorf("pairs %v, %v", pairs, err)
	}
	if m, n, err := l.Mirror(ctx, "lab"); err != nil || m.Key() != "k2" || n.Target != "c" {
		t.Errorf("mirror %v %v %v", m, n, err)
	}
	if _, _, err := l.Mirror(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}

	in := mirror.Counters{Started: "x", Shards: map[string]uint64{"1": 1<<64 - 1}}
	if err := p.SetState(ctx, "counters", in); err != nil {
		t.Fatal(err)
	}
	var out mirror.Counters
	if ok, err := p.State(ctx, "counters", &out); !ok || err != nil || !reflect.DeepEqual(in, out) {
		t.Errorf("%v %v %v", ok, err, out)
	}
	if ok, err := q.State(ctx, "counters", &out); ok || err != nil {
		t.Errorf("the other pair: %v %v", ok, err)
	}
	if err := p.SetState(ctx, "counters", nil); err != nil {
		t.Fatal(err)
	}
	if ok, err := p.State(ctx, "counters", &out); ok || err != nil {
		t.Errorf("removed: %v %v", ok, err)
	}
	if err := p.SetState(ctx, "counters", func() {}); err == nil {
		t.Error("a function was stored")
	}

	if _, err := l.w.Exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000)
		INSERT INTO pass SELECT 1, i, i, i, 'settled', 0, 0, '' FROM n`); err != nil {
		t.Fatal(err)
	}
	newest := Pass{Started: -5, Ended: 7, Result: "broken", Read: 1<<64 - 1, Written: 3, Reason: "link"}
	if err := p.AddPass(ctx, newest); err != nil {
		t.Fatal(err)
	}
	if err := q.AddPass(ctx, newest); err != nil {
		t.Fatal(err)
	}
	all, err := p.Passes(ctx, 5000)
	if err != nil || len(all) != keptPasses || all[0] != newest || all[1].Started != 1000 || all[999].Started != 2 {
		t.Errorf("%d passes, %v", len(all), err)
	}
}

func TestRights(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "a", "state")
	openTest(t, dir).Close()
	for name, want := range map[string]os.FileMode{"": os.ModeDir | 0o700, dbName: 0o600, generationName: 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%q: %v %v", name, info.Mode(), err)
		}
	}
	os.Chmod(dir, 0o755)
	os.Chmod(filepath.Join(dir, dbName), 0o644)
	openTest(t, dir)
	for _, name := range []string{"", dbName, dbName + "-wal", dbName + "-shm"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%q: %v %v", name, info.Mode(), err)
		}
	}

	for _, name := range []string{dbName, dbName + "-wal", generationName, lockName} {
		dir := filepath.Join(base, "link-"+name)
		os.Mkdir(dir, 0o700)
		victim := filepath.Join(base, "victim")
		os.WriteFile(victim, []byte("keep"), 0o644)
		if err := os.Symlink(victim, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir)
		if name == lockName {
			_, err = Acquire(dir)
		}
		if err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s is a link: %v", name, err)
		}
		if b, _ := os.ReadFile(victim); string(b) != "keep" {
			t.Errorf("%s: the file behind the link changed", name)
		}
	}
	if _, err := Open(filepath.Join(base, "victim")); err == nil {
		t.Error("a file was taken for the state directory")
	}
}

func TestCheckNoticesReplacement(t *testing.T) {
	for _, name := range []string{dbName, dbName + "-wal", dbName + "-shm"} {
		dir := t.TempDir()
		l := openTest(t, dir)
		if err := l.Check(); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		b, _ := os.ReadFile(path)
		os.Remove(path)
		if err := l.Check(); !errors.Is(err, ErrReplaced) {
			t.Errorf("%s deleted: %v", name, err)
		}
		// The file system may give a new file the number of the deleted one, which is still open here, so not to this.
		os.WriteFile(path, b, 0o600)
		if err := l.Check(); !errors.Is(err, ErrReplaced) {
			t.Errorf("%s replaced: %v", name, err)
		}
	}
}

func TestFullDiskPasses(t *testing.T) {
	l := openTest(t, t.TempDir())
	p := pairOf(t, l, "k")
	mustRecord(t, p, normalGroup("cpu", 0, 1))
	var pages int
	if err := l.w.QueryRow(`PRAGMA page_count`).Scan(&pages); err != nil {
		t.Fatal(err)
	}
	l.w.Exec(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages+1))
	var err error
	n := 1
	for ; err == nil && n < 100; n++ {
		err = p.Record(ctx, normalGroup("cpu", n, 1))
	}
	if !errors.Is(err, ErrFull) || !errors.Is(err, ErrDisk) {
		t.Fatalf("after %d groups: %v", n, err)
	}
	l.w.Exec(`PRAGMA max_page_count = 1000000`)
	mustRecord(t, p, normalGroup("cpu", n, 1))
	if got, err := p.Summaries(ctx); err != nil || len(got) != n {
		t.Errorf("%d groups, %v; want %d", len(got), err, n)
	}
}
