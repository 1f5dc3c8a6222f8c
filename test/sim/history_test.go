package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	histories = flag.Uint64("histories", 500, "how many histories to live through")
	long      = flag.Uint64("long", 2, "how many long histories")
	length    = flag.Int("length", 200, "steps of a history; a long one has 25 times as many")
	start     = flag.Uint64("start", 1, "the seed of the first history")

	// Of TestTurningHistories.
	seeds = flag.Uint64("seeds", 20, "how many histories of ends that change places")
	first = flag.Uint64("seed", 1, "the first seed of them")
	steps = flag.Int("steps", 60, "steps of them")
)

// census adds up what happened in all histories of a run.
type census struct {
	mu     sync.Mutex // guards what is below
	counts map[string]int
	proofs int
	lived  int
}

func (c *census) add(w *world) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, n := range w.counts {
		c.counts[k] += n
	}
	c.proofs += w.proofs
	c.lived++
}

// expected are the events without which a run shows nothing.
func expected() (all []string) {
	for _, h := range hazards {
		all = append(all, "fault: "+h.name)
	}
	return append(all, "write: live", "write: late", "write: old", "write: future", "write: overwrite", "write: instant", "write: edge", "odd values",
		"target: changed", "target: added", "target: deleted", "target: another type", "source: deleted", "delayed duplicate", "source: restarted", "target: restarted",
		"target: lost unsynced writes", "source: shards hidden", "time passed", "source: groups altered", "target: groups altered", "source: token expired", "target: token expired",
		"a new process", "a new process, the ledger is lost", "a new process, and a backup of the ledger", "a new process, an older ledger is put back", "an older ledger was noticed",
		"killed during a pass", "killed in a file call", "killed between two passes", "power lost in a file call", "power lost between two passes", "source: written during a pass", "target: written during a pass", "source 1.x", "target 1.x", "source retention", "target retention",
		"source clock wrong", "target clock wrong", "packed answers", "a ledger on disk", "scrub", "complete", "idle", "verify")
}

// TestHistories: whatever happens, no Proof says what was not so (L1, L3), the table of verify adds up (L7), nobody writes to the source and nothing is taken
// from the target (L8), and once the faults are off everything arrives within two rounds. One history in four keeps its ledger on disk.
func TestHistories(t *testing.T) {
	live(t, "Histories", *start, *histories, *length)
}

// TestLongHistories: the same, 25 times as long.
func TestLongHistories(t *testing.T) {
	if *long == 0 {
		t.Skip("make histories asks for some")
	}
	live(t, "LongHistories", *start, *long, 25**length)
}

// TestKeptSeeds: what once failed is lived through in each run: testdata/seeds has a seed and a number of steps a line.
func TestKeptSeeds(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "seeds"))
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) < 2 || strings.HasPrefix(l, "#") {
			continue
		}
		seed, err1 := strconv.ParseUint(f[0], 10, 64)
		n, err2 := strconv.Atoi(f[1])
		if err1 != nil || err2 != nil {
			t.Fatalf("malformed line %q", l)
		}
		t.Run(f[0], func(t *testing.T) {
			t.Parallel()
			one(t, "Histories", seed, n, &census{counts: map[string]int{}})
		})
	}
}

// live lives through histories, as many at a time as there are processors.
func live(t *testing.T, test string, from, n uint64, steps int) {
	defer debug.SetGCPercent(debug.SetGCPercent(3000)) // worlds are small, and thrown away
	c := &census{counts: map[string]int{}}
	began := time.Now()
	t.Run("all", func(t *testing.T) {
		lanes := uint64(runtime.GOMAXPROCS(0))
		for lane := range min(lanes, n) {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for seed := from + lane; seed < from+n && !t.Failed(); seed += lanes {
					one(t, test, seed, steps, c)
				}
			})
		}
	})
	took := time.Since(began).Seconds()
	t.Logf("%d histories of %d steps in %.0f s: %.1f a second; %d proofs were checked", c.lived, steps, took, float64(c.lived)/took, c.proofs)
	var lines, never []string
	for k, v := range c.counts {
		lines = append(lines, fmt.Sprintf("%7d %s", v, k))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[8:], b[8:]) })
	t.Logf("\n%s", strings.Join(lines, "\n"))
	for _, k := range expected() {
		if c.counts[k] == 0 {
			never = append(never, k)
		}
	}
	if n >= 40 && len(never) > 0 && !t.Failed() {
		t.Errorf("void: these never happened: %s", strings.Join(never, "; "))
	}
}

// one lives through one history.
func one(t *testing.T, test string, seed uint64, steps int, c *census) {
	dir := ""
	if seed%4 == 0 {
		var err error
		if dir, err = stateDir(t.TempDir()); err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
	}
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(seed, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		h := &history{w, func(format string, args ...any) { t.Errorf(format, args...); w.note(format, args...) }}
		err = h.live(steps)
		if c.add(w); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			which := fmt.Sprintf("-histories 1 -length %d", steps)
			if test == "LongHistories" {
				which = fmt.Sprintf("-long 1 -length %d", steps/25)
			}
			t.Logf("seed %d:\n%s", seed, strings.Join(w.log[max(0, len(w.log)-400):], "\n"))
			t.Logf("live through it again: go test ./test/sim -run ^Test%s$ -start %d %s -v", test, seed, which)
		}
	})
}
