package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Errors that say nothing about the file must not cost the ledger.
func TestNotRebuilt(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir)
	mustRecord(t, pairOf(t, l, "k"), normalGroup("cpu", 0, 1))
	l.Close()
	noBad := func(when string) {
		t.Helper()
		if kept, _ := filepath.Glob(filepath.Join(dir, "ledger.bad*")); len(kept) != 0 {
			t.Errorf("%s: kept %v", when, kept)
		}
	}

	// B7: a newer program's ledger.
	raw, err := connect(filepath.Join(dir, dbName), "mode=rw", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`UPDATE ledger SET schema = 7`, `CREATE TABLE later (x)`, `PRAGMA user_version = 7`} {
		if _, err := raw.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	raw.Close()
	before, _ := os.ReadFile(filepath.Join(dir, dbName))
	var newer *SchemaError
	if _, err := Open(dir); !errors.As(err, &newer) || newer.Have != 7 || !strings.Contains(err.Error(), "schema 7") {
		t.Errorf("newer: %v", err)
	}
	if _, err := OpenReader(dir); !errors.As(err, &newer) {
		t.Errorf("newer, reader: %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, dbName)); string(after) != string(before) {
		t.Error("a newer ledger was touched")
	}
	noBad("newer")

	if os.Geteuid() != 0 { // rights mean nothing to root
		os.Chmod(filepath.Join(dir, dbName), 0)
		if _, err := Open(dir); !errors.Is(err, os.ErrPermission) && code(err) < 0 {
			t.Errorf("no rights: %v", err)
		}
		noBad("no rights")
	}
}

// P6: an older ledger is migrated once, a copy is kept.
func TestMigration(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir)
	g := oddGroup("cpu", 0, 1)
	mustRecord(t, pairOf(t, l, "k"), g)
	l.Close()
	newest := fmt.Sprintf("ledger.schema-%d", len(steps()))
	two := append(steps(), `ALTER TABLE pass ADD COLUMN note TEXT; CREATE TABLE extra (id INTEGER PRIMARY KEY) STRICT;`)
	for i := range 3 {
		l, err := open(dir, two)
		if err != nil || l.Rebuilt != "" || l.Stale {
			t.Fatalf("open %d: %v, %+v", i, err, l)
		}
		if got := getGroup(t, pairOf(t, l, "k"), g); !reflect.DeepEqual(got, g) {
			t.Error("the group was lost")
		}
		l.Close()
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "ledger.schema-*")); len(kept) != 1 {
		t.Errorf("kept %v", kept)
	}
	var newer *SchemaError
	if _, err := Open(dir); !errors.As(err, &newer) {
		t.Errorf("downgrade: %v", err)
	}
	os.Rename(filepath.Join(dir, newest), filepath.Join(dir, dbName))
	l = openTest(t, dir)
	if got := getGroup(t, pairOf(t, l, "k"), g); !reflect.DeepEqual(got, g) || !l.Stale {
		t.Errorf("the copy: stale %v", l.Stale)
	}

	broken := append(steps(), `CREATE TABLE pair (id)`)
	l.Close()
	if _, err := open(dir, broken); err == nil {
		t.Error("a broken migration")
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "ledger.bad*")); len(kept) != 0 {
		t.Errorf("a broken migration cost the ledger: %v", kept)
	}
}

// A ledger of the time before directions knows from its notes which end was the source.
func TestMigrationToDirections(t *testing.T) {
	dir := t.TempDir()
	raw, err := connect(filepath.Join(dir, dbName), "mode=rwc&_pragma=journal_mode(wal)", 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		steps()[0], `UPDATE ledger SET schema = 1`, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID), `PRAGMA user_version = 1`,
		`INSERT INTO pair (id, key, stale) VALUES (1, 'a|b', 0), (2, 'c|d', 0), (3, 'e|f', 0)`,
		`INSERT INTO note (pair, name, body, sum) VALUES (1, 'ends lab', CAST('{"Source":"b","Target":"a"}' AS BLOB), 0), (3, 'ends x', x'ff7b', 0)`,
		`INSERT INTO mirror (name, pair, source, target) VALUES ('lab', 1, 'station:lab', 'home:lab')`,
	} {
		if _, err := raw.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	raw.Close()
	l := openTest(t, dir)
	for _, c := range []struct {
		key, source, target string
		turned              bool
	}{{"a|b", "a", "b", true}, {"a|b", "b", "a", false}, {"c|d", "d", "c", false}, {"c|d", "c", "d", true}, {"e|f", "f", "e", false}} {
		if p, err := l.PairFrom(ctx, c.key, c.source, c.target); err != nil || p.turned != c.turned {
			t.Errorf("%+v: %+v %v", c, p, err)
		}
	}
	if p, n, err := l.Mirror(ctx, "lab"); err != nil || p.turned || n.Source != "station:lab" {
		t.Errorf("%+v %+v %v", p, n, err)
	}
}

// Groups recorded before it was kept when their target was last read are believed, and count as read when the source was.
func TestMigrationToCheckedAt(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir)
	g := oddGroup("cpu", 0, 1)
	mustRecord(t, pairOf(t, l, "k"), g)
	old := g.Summary()
	old.Checked = notKept
	var proof, body int64
	if err := l.w.QueryRow(`SELECT proof, body_sum FROM summary`).Scan(&proof, &body); err != nil {
		t.Fatal(err)
	}
	if _, err := l.w.Exec(`UPDATE summary SET checked_at = ?, sum = ?`, notKept, sumSummary(nil, "k", old, proof, body)); err != nil {
		t.Fatal(err)
	}
	p := pairOf(t, l, "k")
	old.Checked = old.AsOf
	if sums, err := p.Summaries(ctx); err != nil || len(sums) != 1 || sums[0] != old {
		t.Errorf("%+v, want %+v: %v", sums, old, err)
	}
	if got := getGroup(t, p, g); !reflect.DeepEqual(got, g) || l.Dropped() > 0 {
		t.Error("the group is not believed")
	}
	mustRecord(t, p, g)
	if sums, err := p.Summaries(ctx); err != nil || len(sums) != 1 || sums[0] != g.Summary() || sums[0].Checked == old.Checked {
		t.Errorf("%+v: %v", sums, err)
	}
}
