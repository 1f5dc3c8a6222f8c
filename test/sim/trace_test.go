package sim

import (
	"flag"
	"fmt"
	"testing"
	"testing/synctest"
)

var again = flag.Uint64("again", 4, "how many histories are lived through twice")

// TestSameSeed: a seed is one history, request by request, so that what failed can be lived through again.
func TestSameSeed(t *testing.T) {
	for seed := *start; seed < *start+*again; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			same(t, func() *trace { return traced(t, seed, *length) })
		})
		t.Run(fmt.Sprint("archive ", seed), func(t *testing.T) {
			t.Parallel()
			same(t, func() *trace { return &oneChain(t, seed, *length/2, true).trace })
		})
	}
}

// same lives through something twice and compares.
func same(t *testing.T, live func() *trace) {
	first, then := live(), live()
	if len(first.lines) < *length {
		t.Errorf("void: a trace of %d lines", len(first.lines))
	}
	if first.digest == then.digest {
		return
	}
	t.Error("it was another history the second time")
	for i := range min(len(first.lines), len(then.lines)) {
		if first.lines[i] == then.lines[i] {
			continue
		}
		for _, l := range first.lines[max(0, i-2):i] {
			t.Logf("both:  %s", l)
		}
		t.Logf("first: %s", first.lines[i])
		t.Logf("then:  %s", then.lines[i])
		break
	}
}

// traced lives through a history and returns its trace.
func traced(t *testing.T, seed uint64, steps int) (tr *trace) {
	dir := ""
	if seed%4 == 0 {
		dir = t.TempDir()
	}
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(seed, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		w.trace.keep = true
		h := &history{w, func(format string, args ...any) { w.note(format, args...) }}
		if err := h.live(steps); err != nil {
			t.Error(err)
		}
		tr = &w.trace
	})
	return tr
}
