package process

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// lives is how often the program is killed in one place.
const lives = 5

// clean is how a run goes in which nothing happens.
type clean struct {
	spots map[spot]int
	calls map[string]int
	took  time.Duration
}

// cleanRuns are those of a first copy, and of one behind changes.
func cleanRuns(t *testing.T) (out [2]clean) {
	t.Helper()
	p := newPlace(t, 0)
	for i := range out {
		if i > 0 {
			p.edit()
		}
		p.tell(nil)
		p.traced(calls, "")
		began := time.Now()
		p.want(0, "sync")
		p.untraced()
		out[i] = clean{p.counts(), most(p.trace()), time.Since(began)}
		p.settles()
	}
	return out
}

// drawn takes a key and a number up to its value, up to half of it after a draw that came to nothing, and so on.
func drawn[K comparable](rnd *rand.Rand, of map[K]int, void int, order func(a, b K) int) (K, int) {
	keys := slices.SortedFunc(maps.Keys(of), order)
	k := keys[rnd.IntN(len(keys))]
	return k, 1 + rnd.IntN(max(1, of[k]>>void))
}

// The program is killed at named moments of the network, in system calls on its ledger, and at any time. The next start is a normal one, what
// the ledger claims is so, and everything arrives.
func TestKilled(t *testing.T) {
	tracer(t)
	as := cleanRuns(t)
	t.Logf("a first copy: %v %v; behind changes: %v %v", as[0].spots, as[0].calls, as[1].spots, as[1].calls)
	done, void, again, proven := map[string]int{}, 0, 0, 0
	for n := uint64(1); sum(done) < *kills && !t.Failed(); n++ {
		p := newPlace(t, n)
		for life := 0; life < lives && sum(done) < *kills && !t.Failed(); {
			how, ok := p.killOnce(as[min(life, 1)], sum(done), again)
			p.untraced()
			p.tell(nil)
			p.quiet()
			if !ok {
				again++
				if void++; void > 10+*kills {
					t.Fatalf("%d runs ended before they were killed, the last one at %s", void, how)
				}
				p.identical() // it came to its end
				p.edit()
				continue
			}
			life, again = life+1, 0
			kind, _, _ := strings.Cut(how, ":")
			done[kind]++
			now := p.claims()
			if p.untrue(p.changed, now) > 0 {
				proven++
			}
			if t.Failed() {
				t.Fatalf("place %d, killed at %s", n, how)
			}
			switch p.rnd.IntN(3) {
			case 0: // once more before anything is in order
				continue
			case 1:
				p.honest()
			}
			p.settles()
			if t.Failed() {
				t.Fatalf("place %d, killed at %s", n, how)
			}
			p.edit()
		}
		p.settles()
	}
	t.Logf("killed %v, %d of them with new proofs in the ledger; %d runs ended before", done, proven, void)
	if proven*5 < sum(done) {
		t.Errorf("only %d of %d kills left new proofs behind", proven, sum(done))
	}
}

// killOnce starts the program and kills it, and reports whether it was still there.
func (p *place) killOnce(as clean, i, void int) (how string, killed bool) {
	p.t.Helper()
	bySpot := func(a, b spot) int { return cmp.Compare(a.String(), b.String()) }
	switch i % 3 {
	case 0, 1:
		at, n := drawn(p.rnd, as.spots, void, bySpot)
		how = fmt.Sprintf("network: %s, %d", at, n)
		command := "sync"
		if p.rnd.IntN(4) == 0 {
			command = "run"
		}
		if i%6 == 4 {
			return p.killLater(command, time.Duration(p.rnd.Int64N(int64(as.took)>>void)))
		}
		process := make(chan *proc, 1)
		p.tell(func(s spot, k int) bool {
			if s != at || k != n {
				return false
			}
			c := <-process
			c.kill()
			process <- c
			return true
		})
		c := p.start(command)
		process <- c
		return how, p.gone(c)
	default:
		name, n := drawn(p.rnd, as.calls, void, cmp.Compare)
		how = fmt.Sprintf("call: %s %d", name, n)
		p.traced([]string{name}, fmt.Sprintf("%s:signal=KILL:when=%d", name, n))
		return how, p.start("sync").code() == -1
	}
}

// killLater kills it after a time, which is as long as a slow machine makes it.
func (p *place) killLater(command string, after time.Duration) (how string, killed bool) {
	c := p.start(command)
	select {
	case <-c.done:
	case <-time.After(after):
		c.kill()
	}
	return fmt.Sprintf("time: %v", after), c.code() == -1
}

// gone waits for its end; a service that has nothing to do any more is killed then.
func (p *place) gone(c *proc) (killed bool) {
	until(p.t, "the end of the program", func() bool {
		select {
		case <-c.done:
			return true
		default:
			return strings.Contains(c.said(), "in sync, lag")
		}
	})
	if slices.Contains(c.cmd.Args, "run") {
		c.kill()
	}
	return c.code() == -1
}

func sum(of map[string]int) (n int) {
	for _, k := range of {
		n += k
	}
	return n
}

// firstCalls are made before there is a ledger. strace counts those of each thread, so that some draws come to nothing; the first, at the end of the
// ledger's very first transaction, is one of its kind.
var firstCalls = []nth{{"unlink", 1}, {"mkdirat", 1}, {"pwrite64", 1}, {"fsync", 1}, {"renameat", 1}, {"openat", 1}, {"unlinkat", 1}, {"flock", 1}, {"write", 1},
	{"fsync", 4}, {"fsync", 5}, {"fsync", 6}, {"pwrite64", 2}, {"pwrite64", 3}, {"fsync", 2}, {"fsync", 3}, {"openat", 2}}

// Killed in its very first calls, it starts the next time as if nothing had been: not even that a ledger was damaged is said, for there was none.
func TestKilledAtTheFirstStart(t *testing.T) {
	tracer(t)
	p := newPlace(t, 0)
	killed := 0
	for i, c := range firstCalls[:min(len(firstCalls), max(1, *kills/2))] {
		if err := os.RemoveAll(p.state); err != nil {
			t.Fatal(err)
		}
		p.traced([]string{c.name}, fmt.Sprintf("%s:signal=KILL:when=%d", c.name, c.n))
		if p.start("sync").code() == -1 {
			killed++
		} else if i == 0 {
			t.Errorf("%v: not killed", c)
		}
		p.untraced()
		p.quiet()
		if said := p.want(0, "sync"); strings.Contains(said, "damaged") || strings.Contains(said, "older") {
			t.Errorf("%v: %s", c, said)
		}
	}
	t.Logf("killed %d times", killed)
	p.settles()
}
