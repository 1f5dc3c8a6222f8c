package engine

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// TestFit: whatever a server counts, the parts of a Transfer tile its window, the newest first, between Cells while there are several, and there are never many
// of them at a time.
func TestFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		grid := mirror.NewGrid(rapid.SampledFrom([]int64{60, 3600, 5400, 7 * 86400, 365 * 86400}).Draw(t, "seconds") * second)
		group := grid.Group(rapid.SampledFrom([]int64{mirror.MinTime, 0, mirror.MaxTime}).Draw(t, "at"))
		samples := rapid.OneOf(rapid.Uint64(), rapid.Uint64Range(0, 10_000_000)).Draw(t, "samples")
		m := &Mirror{}
		m.limit.Store(rapid.Int64Range(minChunk, maxChunk).Draw(t, "limit"))
		whole := plan.Transfer{Chunk: mirror.Chunk{Measurement: "m", Window: group, Width: int64(min(uint64(grid.Width()), group.Width()))}, Group: group, Prove: true, Samples: samples,
			Compare: rapid.Bool().Draw(t, "compare")}
		rest := []plan.Transfer{whole}
		stop := group.Stop
		for step := 0; len(rest) > 0 && step < 300; step++ {
			rest = append(m.fit(rest[0]), rest[1:]...)
			if len(rest) > 200 {
				t.Fatalf("%d parts", len(rest))
			}
			p := rest[0]
			w := p.Chunk.Window
			if w.Empty() || w.Stop != stop || !group.Covers(w) || p.Chunk.Width <= 0 || p.Compare != whole.Compare {
				t.Fatalf("%+v behind %s", p, mirror.FormatTime(stop))
			}
			if p.Samples/2 > uint64(m.limit.Load()) && w.Width() > 1 {
				t.Fatalf("%d samples in %v", p.Samples, w)
			}
			stop = w.Start
			rest = rest[1:]
		}
		if len(rest) == 0 && stop != group.Start {
			t.Fatalf("%v is copied from %s on", group, mirror.FormatTime(stop))
		}
	})
}

// TestCutAt: both parts of a cut are what was cut, newest first, and never an empty one.
func TestCutAt(t *testing.T) {
	for _, w := range []mirror.Window{{Start: 0, Stop: 2}, {Start: mirror.MinTime, Stop: math.MaxInt64}, {Start: -1, Stop: 1}, {Start: mirror.MaxTime - 1, Stop: math.MaxInt64}} {
		x := plan.Transfer{Chunk: mirror.Chunk{Window: w, Width: int64(min(w.Width(), math.MaxInt64))}, Samples: 7}
		p := cutAt(x, w.Middle())
		if len(p) != 2 || p[0].Chunk.Window.Stop != w.Stop || p[1].Chunk.Window.Start != w.Start || p[0].Chunk.Window.Start != p[1].Chunk.Window.Stop || p[0].Chunk.Window.Empty() || p[1].Chunk.Window.Empty() ||
			p[0].Chunk.Width <= 0 || p[1].Chunk.Width <= 0 {
			t.Errorf("%v became %+v", w, p)
		}
	}
}

// TestShares: the shares of a split hold each line once, at any depth.
func TestShares(t *testing.T) {
	lines := []string{"m v=1 5\n", "m,a=b v=1 5\n", "m,a=c v=\"x y\" 5\n", "m w=2i 5\n", "m v=1 6\n", `m,a\ b=c\,d v\=x=true 7` + "\n"}
	shares := []share{{}}
	for range 5 {
		for _, l := range lines {
			n := 0
			for _, s := range shares {
				if s.holds([]byte(l)) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%q is in %d of %d shares", l, n, len(shares))
			}
		}
		var next []share
		for _, s := range shares {
			next = append(next, s.split()...)
		}
		shares = next
	}
	for _, s := range shares {
		if s.holds([]byte("m v=1 5\n")) != s.holds([]byte("m v=2i 5\n")) {
			t.Error("two values of one place are in two shares")
		}
	}
}

// TestSpread: who waits decides how long, up to a half more or less.
func TestSpread(t *testing.T) {
	seen := map[time.Duration]bool{}
	for i := range 1000 {
		d := spread(time.Minute, "m", i)
		if d < time.Minute/2 || d >= 3*time.Minute/2 || d != spread(time.Minute, "m", i) {
			t.Fatalf("%d waits %v", i, d)
		}
		seen[d.Round(time.Second)] = true
	}
	if len(seen) < 55 {
		t.Errorf("only %d different pauses", len(seen))
	}
}
