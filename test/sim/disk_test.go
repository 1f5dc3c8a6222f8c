package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// group makes a group that says which round it is of.
func group(i, round int) mirror.Group {
	at := int64(i) * int64(week)
	g := mirror.Group{Measurement: "m", Window: mirror.Window{Start: at, Stop: at + int64(week)}}
	for j := range int64(40) {
		f := mirror.Fingerprint{Count: uint64(round + 1), Hi: uint64(round), Lo: uint64(j)}
		g.Proofs = append(g.Proofs, mirror.Proof{Window: mirror.Window{Start: at + j*int64(3600e9), Stop: at + (j+1)*int64(3600e9)}, Source: f, Target: f, AsOf: int64(round), CheckedAt: int64(round)})
	}
	return g
}

const roundsOfDisk, groupsOfDisk = 6, 3

// rounds opens a ledger, records rounds and closes it, and returns the last round of each group that was acknowledged.
func rounds(dir string) (done [groupsOfDisk]int, err error) {
	for i := range done {
		done[i] = -1
	}
	l, err := ledger.Open(dir)
	if err != nil {
		return done, err
	}
	p, err := l.Pair(context.Background(), "k")
	for round := range roundsOfDisk {
		for i := range done {
			if err == nil {
				if err = p.Record(context.Background(), group(i, round)); err == nil {
					done[i] = round
				}
			}
		}
	}
	return done, errors.Join(err, l.Close())
}

// holdsRounds makes sure that a ledger opens and holds at least what was acknowledged, at most one more record, and nothing in part.
func holdsRounds(t *testing.T, dir, when string, done [groupsOfDisk]int) {
	t.Helper()
	l, err := ledger.Open(dir)
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	defer l.Close()
	if l.Rebuilt != "" || l.Stale {
		t.Errorf("%s: rebuilt %q, stale %t", when, l.Rebuilt, l.Stale)
	}
	p, err := l.Pair(context.Background(), "k")
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	for i, last := range done {
		g, err := p.Group(context.Background(), "m", group(i, 0).Window)
		if err != nil || l.Dropped() > 0 {
			t.Errorf("%s: %v, %d dropped", when, err, l.Dropped())
		}
		ok := last < 0 && len(g.Proofs) == 0
		for _, round := range []int{last, last + 1} {
			ok = ok || round >= 0 && reflect.DeepEqual(g.Proofs, group(i, round).Proofs)
		}
		if !ok {
			t.Errorf("%s: group %d has %d proofs, the last of round %v; %d was acknowledged", when, i, len(g.Proofs), g.Proofs[max(0, len(g.Proofs)-1):], last)
		}
	}
}

// TestPowerCutAtEachCall: whatever a power cut leaves of what SQLite had not synced, the ledger opens, holds all that was acknowledged, and nothing in part (B2);
// and the same of a kill at that moment (B1).
func TestPowerCutAtEachCall(t *testing.T) {
	dir, err := stateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	cuts, lost := 0, 0
	for n := 1; ; n += 1 + n/60 {
		for try := range 4 {
			at := fmt.Sprintf("%s/%d-%d", dir, n, try)
			if err := os.Mkdir(at, 0o700); err != nil {
				t.Fatal(err)
			}
			d := watch(at)
			var left map[string][]byte
			rnd := rand.New(rand.NewPCG(uint64(n), uint64(try)))
			var generation []byte
			d.fail = func(i int, op, name string) ill {
				if i == n {
					d.dead = true
					generation, _ = os.ReadFile(at + "/generation")
					if left = d.killed(); try > 0 {
						left = d.cut(rnd)
						if !reflect.DeepEqual(left, d.killed()) {
							lost++
						}
					}
					return failed
				}
				return ""
			}
			done, _ := rounds(at)
			if left == nil { // all of it was done
				d.leave()
				if cuts < 300 || lost < 100 || n < 150 {
					t.Errorf("void: %d cuts, of which %d lost something, at %d calls", cuts, lost, n)
				}
				return
			}
			cuts++
			if generation != nil {
				left["generation"] = generation
			} else if err := os.Remove(at + "/generation"); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if err := d.put(left); err != nil {
				t.Fatal(err)
			}
			holdsRounds(t, at, fmt.Sprintf("call %d, try %d", n, try), done)
			d.leave()
			os.RemoveAll(at)
		}
		if t.Failed() {
			return
		}
	}
}

// TestDiskErrorIsNoDamage: whatever call of the disk fails while a sound ledger is opened, once or for good, it is an error or nothing: no ledger is put aside
// for it, and none is taken for an older one.
func TestDiskErrorIsNoDamage(t *testing.T) {
	dir, err := stateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	done, err := rounds(dir)
	if err != nil {
		t.Fatal(err)
	}
	d := watch(dir)
	defer d.leave()
	refused := 0
	for n, more := 1, true; more; n++ {
		more = false
		for _, kind := range diskIlls {
			for _, forGood := range []bool{false, true} {
				d.calls = 0
				d.lets(func(i int, op, _ string) ill {
					if i < n || i > n && !forGood || kind != failed && op != "write" && (kind != lostAnswer || op == "read" || op == "map") {
						return ""
					}
					more = true
					return kind
				})
				l, err := ledger.Open(dir)
				if err == nil {
					_, err = l.Pair(context.Background(), "k")
					err = errors.Join(err, l.Close())
				}
				if err != nil {
					refused++
				}
				d.lets(nil)
				holdsRounds(t, dir, fmt.Sprintf("call %d, %s, for good %t: %v", n, kind, forGood, err), done)
			}
		}
		if all, _ := filepath.Glob(dir + "/ledger.bad-*"); len(all) > 0 {
			t.Fatalf("call %d: put aside: %q", n, all)
		}
	}
	if refused < 50 {
		t.Errorf("void: %d calls that failed were told", refused)
	}
}
