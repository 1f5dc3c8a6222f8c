package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"influxmirror/internal/mirror"
)

// damageGroups are in the ledgers that the tests below damage.
func damageGroups() map[string]mirror.Group {
	all := map[string]mirror.Group{}
	for i := range 4 {
		for _, g := range []mirror.Group{normalGroup("cpu", i, 1), oddGroup("mem", i, 2)} {
			all[g.Measurement+g.Window.String()] = g
		}
	}
	return all
}

// files returns the state directory of a closed ledger, or one that is killed with everything still in its log.
func files(t testing.TB, closed bool) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	l := openTest(t, dir)
	p := pairOf(t, l, "k")
	for _, g := range damageGroups() {
		mustRecord(t, p, g)
	}
	if err := p.SetState(ctx, "note", "words"); err != nil {
		t.Fatal(err)
	}
	if closed {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	all := map[string][]byte{}
	for _, name := range []string{dbName, dbName + "-wal", generationName} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			all[name] = b
		}
	}
	return all
}

func put(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// checkDamaged opens what damage left. Nothing may need a hand, and whatever is still claimed must be what was recorded.
func checkDamaged(t *testing.T, dir, what string, files map[string][]byte, want map[string]mirror.Group) (left int, rebuilt bool) {
	t.Helper()
	put(t, dir, files)
	defer os.RemoveAll(dir)
	if r, err := OpenReader(dir); err == nil {
		checkClaims(t, r, what+", reader", want)
		r.Close()
	} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNoLedger) {
		t.Errorf("%s: reader: %v", what, err)
	}
	l, err := Open(dir)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0, false
	}
	defer l.Close()
	left = checkClaims(t, l, what, want)
	if l.Rebuilt != "" {
		if _, err := os.Stat(filepath.Join(dir, l.Rebuilt)); err != nil && files[dbName] != nil {
			t.Errorf("%s: %v", what, err)
		}
		if left != 0 {
			t.Errorf("%s: a new ledger with %d groups", what, left)
		}
	}
	mustRecord(t, pairOf(t, l, "k"), want["cpu"+week(0).String()])
	return left, l.Rebuilt != ""
}

func checkClaims(t *testing.T, l *Ledger, what string, want map[string]mirror.Group) (left int) {
	t.Helper()
	p, err := l.Pair(ctx, "k")
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrDamaged) {
		return 0
	}
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return 0
	}
	sums, err := p.Summaries(ctx)
	if err != nil && !errors.Is(err, ErrDamaged) {
		t.Errorf("%s: %v", what, err)
	}
	for _, s := range sums {
		if g := want[s.Measurement+s.Window.String()]; g.Summary() != s {
			t.Errorf("%s: claims %v", what, s)
		}
	}
	for key, g := range want {
		got, err := p.Group(ctx, g.Measurement, g.Window)
		switch {
		case errors.Is(err, ErrDamaged):
		case err != nil:
			t.Errorf("%s: %v", what, err)
		case len(got.Proofs)+len(got.Exceptions) == 0:
		case !reflect.DeepEqual(got, g):
			t.Errorf("%s: wrong group %s", what, key)
		default:
			left++
		}
	}
	for e, err := range p.Exceptions(ctx) {
		if err != nil {
			break
		}
		found := false
		for _, g := range want {
			for _, w := range g.Exceptions {
				found = found || g.Measurement == e.Measurement && w == e.Exception
			}
		}
		if !found {
			t.Errorf("%s: invented exception %v", what, e)
		}
	}
	var words string
	if ok, _ := p.State(ctx, "note", &words); ok && words != "words" {
		t.Errorf("%s: note %q", what, words)
	}
	return left
}

// B3: one flipped bit anywhere.
func TestFlippedBits(t *testing.T) {
	want := damageGroups()
	base := t.TempDir()
	for _, closed := range []bool{true, false} {
		all := files(t, closed)
		name := dbName
		if !closed {
			name = dbName + "-wal"
		}
		var whole, part, rebuilt int
		n := len(all[name])
		step := n/100 + 1
		if testing.Short() {
			step = n/20 + 1
		}
		var places []int
		for i := 0; i < 100 && closed; i += 1 + 2*(i/100) { // every byte of the header
			places = append(places, i)
		}
		for i := 100; i < n; i += step {
			places = append(places, i)
		}
		orig := all[name]
		for _, i := range places {
			b := append([]byte(nil), orig...)
			b[i] ^= 1 << (i % 8)
			all[name] = b
			left, again := checkDamaged(t, filepath.Join(base, fmt.Sprint(i)), fmt.Sprintf("%s byte %d", name, i), all, want)
			switch {
			case again:
				rebuilt++
			case left == len(want):
				whole++
			default:
				part++
			}
		}
		t.Logf("%s: %d places in %d bytes: %d harmless, %d lost groups, %d rebuilt", name, len(places), n, whole, part, rebuilt)
		if closed && (part == 0 || rebuilt == 0) {
			t.Error("the damage did not reach both kinds of detection")
		}
	}
}

// B3: the file cut short, empty, gone, or not a database.
func TestTruncated(t *testing.T) {
	want := damageGroups()
	closed, killed := files(t, true), files(t, false)
	base := t.TempDir()
	try := func(what string, f map[string][]byte, mustRebuild bool) {
		t.Helper()
		if _, rebuilt := checkDamaged(t, filepath.Join(base, "d"), what, f, want); mustRebuild && !rebuilt {
			t.Errorf("%s: not noticed", what)
		}
	}
	cut := func(from map[string][]byte, name string, n int) map[string][]byte {
		out := map[string][]byte{}
		for k, v := range from {
			out[k] = v
		}
		out[name] = out[name][:n]
		return out
	}
	for i := range 20 {
		n := len(closed[dbName]) * i / 20
		try(fmt.Sprintf("cut at %d", n), cut(closed, dbName, n), true)
		n = len(killed[dbName+"-wal"]) * i / 20
		try(fmt.Sprintf("log cut at %d", n), cut(killed, dbName+"-wal", n), false)
	}
	for _, n := range []int{1, 16, 99, 100, 511, 4095, 4097} {
		try(fmt.Sprintf("cut at %d", n), cut(closed, dbName, n), true)
	}
	try("empty with a log", cut(killed, dbName, 0), true)
	gone := cut(killed, dbName, 0)
	delete(gone, dbName)
	try("gone with a log", gone, true)
	try("text", map[string][]byte{dbName: []byte(strings.Repeat("hello ", 1000))}, true)
	try("zeros", map[string][]byte{dbName: make([]byte, 8192)}, true)
}
