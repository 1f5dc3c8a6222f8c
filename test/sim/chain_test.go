package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

var chains = flag.Uint64("chains", 30, "how many histories of archives")

// expectedOfChains are the events without which a run shows nothing.
var expectedOfChains = []string{"archive: killed", "archive: power lost", "archive: error", "archive: no space left", "archive: short write, then an error",
	"archive: applied, and reported as failed", "archive: file bit flipped", "archive: file truncated", "archive: file deleted", "archive: manifest bit flipped",
	"archive: manifest truncated", "archive: manifest deleted", "archive: an older one is put back", "archive: damage set aside", "a new process", "leg 0: complete", "leg 1: complete", "verify",
	"source: written during a pass", "source: deleted"}

// TestChains: a server is mirrored into an archive and that into another server, whatever happens to the servers, the links, the processes and the archive's
// disk. No Proof says what was not so, tables add up, nobody writes to a source, and once the faults are off everything arrives in each of them.
func TestChains(t *testing.T) {
	c := &census{counts: map[string]int{}}
	t.Run("all", func(t *testing.T) {
		lanes := uint64(runtime.GOMAXPROCS(0))
		for lane := range min(lanes, *chains) {
			t.Run(fmt.Sprint(lane), func(t *testing.T) {
				t.Parallel()
				for seed := *start + lane; seed < *start+*chains && !t.Failed(); seed += lanes {
					c.add(oneChain(t, seed, *length/2, false).world)
				}
			})
		}
	})
	var lines, never []string
	for k, v := range c.counts {
		lines = append(lines, fmt.Sprintf("%7d %s", v, k))
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[8:], b[8:]) })
	t.Logf("%d proofs\n%s", c.proofs, strings.Join(lines, "\n"))
	for _, k := range expectedOfChains {
		if c.counts[k] == 0 {
			never = append(never, k)
		}
	}
	if *chains >= 30 && len(never) > 0 && !t.Failed() {
		t.Errorf("void: these never happened: %s", strings.Join(never, "; "))
	}
}

func oneChain(t *testing.T, seed uint64, steps int, keep bool) (c *chain) {
	dir, err := stateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	synctest.Test(t, func(t *testing.T) {
		c, err = newChain(seed, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.end()
		c.trace.keep = keep
		c.say = func(format string, args ...any) { t.Errorf(format, args...); c.note(format, args...) }
		if err := c.live(steps); err != nil {
			t.Error(err)
		}
		c.proofs = c.legs[0].judge.proofs + c.legs[1].judge.proofs
		if c.proofs == 0 {
			t.Error("void: nothing was proven")
		}
		if t.Failed() {
			t.Logf("seed %d:\n%s", seed, strings.Join(c.log[max(0, len(c.log)-300):], "\n"))
			t.Logf("live through it again: go test ./test/sim -run ^TestChains$ -start %d -chains 1 -length %d -v", seed, steps*2)
		}
	})
	return c
}
