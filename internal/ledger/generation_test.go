package ledger

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// B5: an older ledger is put back.
func TestOlderLedger(t *testing.T) {
	dir := t.TempDir()
	db, gen := filepath.Join(dir, dbName), filepath.Join(dir, generationName)
	old, newer := normalGroup("cpu", 0, 1), normalGroup("cpu", 0, 2)
	open := func(want bool) *Ledger {
		t.Helper()
		l := openTest(t, dir)
		if l.Stale != want {
			t.Errorf("stale %v", l.Stale)
		}
		return l
	}
	copyOf := func(path string) []byte {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}

	l := open(false)
	mustRecord(t, pairOf(t, l, "k"), old)
	l.Close()
	l = open(false)
	raw, err := connect(db, "mode=rw", 1)
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(t.TempDir(), "copy")
	if _, err := raw.Exec(`VACUUM INTO ?`, copied); err != nil { // a backup while it runs
		t.Fatal(err)
	}
	raw.Close()
	mustRecord(t, pairOf(t, l, "k"), newer)
	l.Close()
	backup := copyOf(copied)
	last := copyOf(db)

	if err := os.WriteFile(db, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	l = open(true)
	p := pairOf(t, l, "k")
	if got := getGroup(t, p, old); !reflect.DeepEqual(got, old) {
		t.Error("the old proof is gone")
	}
	l.Close()

	// Nobody checked anything yet: the mark survives, though ledger and file agree again.
	l = open(false)
	p = pairOf(t, l, "k")
	if stale, err := p.Stale(ctx); !stale || err != nil {
		t.Errorf("stale %v, %v", stale, err)
	}
	if q := pairOf(t, l, "new"); true {
		if stale, _ := q.Stale(ctx); stale {
			t.Error("a new pair is stale")
		}
	}
	if err := p.Checked(ctx); err != nil {
		t.Fatal(err)
	}
	if stale, _ := p.Stale(ctx); stale {
		t.Error("still stale")
	}
	l.Close()

	// The other branch comes back: same counter or not, its number is another.
	os.WriteFile(db, last, 0o600)
	open(true).Close()
	open(false).Close()

	for _, b := range [][]byte{nil, []byte("x"), []byte("00 1\n"), make([]byte, 5000)} {
		os.WriteFile(gen, b, 0o600)
		open(true).Close()
	}
	os.Remove(gen)
	open(true).Close()

	// Deleted on purpose: nothing is claimed, so nothing is stale.
	os.Remove(db)
	open(false).Close()
}

// A crash between the steps of bump is not taken for an older ledger.
func TestCrashInBump(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir)
	l.Close()
	before, err := readGenerations(dir)
	if err != nil || len(before) != 1 {
		t.Fatalf("%v %v", before, err)
	}
	for _, committed := range []bool{false, true} {
		all := append(before, generation{counter: before[0].counter + 1})
		if committed {
			all[0], all[1] = all[1], all[0]
		}
		if err := writeGenerations(dir, all...); err != nil {
			t.Fatal(err)
		}
		l := openTest(t, dir)
		if l.Stale {
			t.Errorf("committed %v: stale", committed)
		}
		l.Close()
		before, _ = readGenerations(dir)
	}
}

func TestSuccessor(t *testing.T) {
	a, b := generation{[16]byte{1}, 4}, generation{[16]byte{2}, 9}
	for _, c := range []struct {
		ledger  generation
		file    []generation
		stale   bool
		counter uint64
	}{
		{generation{}, nil, false, 1},
		{generation{}, []generation{b}, false, 10},
		{a, []generation{a}, false, 5},
		{a, []generation{a, b}, false, 10},
		{b, []generation{a, b}, false, 10},
		{a, []generation{b}, true, 10},
		{b, []generation{a}, true, 10},
		{a, nil, true, 5},
		{a, []generation{{b.nonce, a.counter}}, true, 5},
	} {
		next, during, stale := successor(c.ledger, c.file)
		want := []generation{c.ledger, next}
		if c.stale {
			want = want[1:]
		}
		if stale != c.stale || next.counter != c.counter || next.nonce == c.ledger.nonce || !reflect.DeepEqual(during, want) {
			t.Errorf("%v beside %v: %v, %v, %v", c.ledger, c.file, next, during, stale)
		}
	}
}
