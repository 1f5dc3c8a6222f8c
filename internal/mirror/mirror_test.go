package mirror

import (
	"math"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var durations = []int64{60, 3600, 5400, 86400, 7 * 86400, 30 * 86400, 180 * 86400, 365 * 86400}

// TestGridWidths: a shard group has at most 64 Cells of whole minutes, whatever its duration.
func TestGridWidths(t *testing.T) {
	for seconds, want := range map[int64]time.Duration{
		60: time.Minute, 3600: time.Minute, 5400: 2 * time.Minute, 86400: 30 * time.Minute, 7 * 86400: 3 * time.Hour, 30 * 86400: 12 * time.Hour,
		180 * 86400: 67*time.Hour + 30*time.Minute, 365 * 86400: 146 * time.Hour, 364 * 86400: 7 * 24 * time.Hour, 61: 61 * time.Second, 0: 3 * time.Hour,
	} {
		g := NewGrid(seconds * 1e9)
		if got := time.Duration(g.Width()); got != want || g.Duration()%g.Width() != 0 || g.Duration()/g.Width() > MaxCells {
			t.Errorf("groups of %d s: Cells of %s, want %s", seconds, got, want)
		}
	}
}

// TestGridEnds: groups and Cells at the ends of the axis are clipped to it, neither is empty, and they follow one another.
func TestGridEnds(t *testing.T) {
	for _, seconds := range durations {
		g := NewGrid(seconds * 1e9)
		for _, at := range []int64{MinTime, MinTime + 1, MinTime + g.duration - 1, MinTime + g.duration, -1, 0, 1, MaxTime - g.duration, MaxTime - 1, MaxTime} {
			for _, slot := range []func(int64) Window{g.Group, g.Cell} {
				w := slot(at)
				if w.Empty() || !w.Contains(at) || !Axis.Covers(w) || w.Width() > uint64(g.duration) {
					t.Errorf("%d s: %s lies in %v", seconds, FormatTime(at), w)
				}
				if w.Stop < Axis.Stop {
					if next := slot(w.Stop); next.Start != w.Stop {
						t.Errorf("%d s: after %v comes %v", seconds, w, next)
					}
				}
				if w.Start > Axis.Start {
					if last := slot(w.Start - 1); last.Stop != w.Start {
						t.Errorf("%d s: before %v comes %v", seconds, w, last)
					}
				}
			}
			if !g.Group(at).Covers(g.Cell(at)) {
				t.Errorf("%d s: Cell %v of group %v", seconds, g.Cell(at), g.Group(at))
			}
		}
		for _, w := range []Window{{MinTime, MinTime + 1}, {MinTime, MinTime + 3*g.duration}, {MaxTime - 3*g.duration, math.MaxInt64}, {MaxTime, math.MaxInt64}, {-5, 5}} {
			var all []Window
			g.Groups(w, func(v Window) { all = append(all, v) })
			if len(all) == 0 || len(all) > 5 || !all[0].Contains(w.Start) || !all[len(all)-1].Contains(w.Stop-1) {
				t.Errorf("%d s: groups of %v: %v", seconds, w, all)
			}
		}
	}
}

// TestGridFromZeroTime: groups begin where Go's Truncate, which servers use, puts them.
func TestGridFromZeroTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewGrid(rapid.SampledFrom(durations).Draw(t, "seconds") * 1e9)
		at := rapid.Int64Range(MinTime+g.duration, MaxTime-g.duration).Draw(t, "at")
		if got, want := g.Group(at).Start, time.Unix(0, at).UTC().Truncate(time.Duration(g.duration)).UnixNano(); got != want {
			t.Fatalf("%s lies in a group from %s, servers say %s", FormatTime(at), FormatTime(got), FormatTime(want))
		}
		if o := g.Offset(); o < 0 || o >= g.duration || floorMod(g.Group(at).Start, g.duration) != o {
			t.Fatalf("offset %d", o)
		}
	})
}

// TestChunkCells: the Cells of a Chunk tile its Window, and Index finds them, at any place and width.
func TestChunkCells(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.OneOf(rapid.Int64Range(MinTime, MaxTime-10), rapid.SampledFrom([]int64{MinTime, MaxTime - 10, MaxTime})).Draw(t, "start")
		length := rapid.Uint64Range(1, uint64(math.MaxInt64)-uint64(start)).Draw(t, "length")
		c := Chunk{Window: Window{start, int64(uint64(start) + length)}}
		c.Width = int64(max(length/rapid.Uint64Range(1, 70).Draw(t, "parts"), 1))
		if length > math.MaxInt64 && rapid.Bool().Draw(t, "widest") {
			c.Width = math.MaxInt64
		}
		if c.Width <= 0 || length/uint64(c.Width) > 1000 {
			return
		}
		at := c.Window.Start
		for i := range c.Cells() {
			w := c.Cell(i)
			if w.Start != at || w.Empty() || w.Width() > uint64(c.Width) {
				t.Fatalf("Cell %d of %+v is %v", i, c, w)
			}
			for _, x := range []int64{w.Start, w.Middle(), w.Stop - 1} {
				if c.Index(x) != i {
					t.Fatalf("%d lies in Cell %d, not %d", x, i, c.Index(x))
				}
			}
			at = w.Stop
		}
		if at != c.Window.Stop {
			t.Fatalf("Cells of %+v end at %d", c, at)
		}
	})
	if n := (Chunk{Window: Window{5, 5}, Width: 1}).Cells(); n != 0 {
		t.Errorf("an empty Chunk has %d Cells", n)
	}
}

func TestWindow(t *testing.T) {
	for _, w := range []Window{Axis, {MinTime, MinTime + 2}, {MaxTime - 1, math.MaxInt64}, {-1, 1}, {MinTime, 0}} {
		m := w.Middle()
		if m <= w.Start || m >= w.Stop {
			t.Errorf("%v is cut at %d", w, m)
		}
		if a, b := (Window{w.Start, m}).Width(), (Window{m, w.Stop}).Width(); a+b != w.Width() || max(a, b)-min(a, b) > 1 {
			t.Errorf("%v is cut into %d and %d", w, a, b)
		}
		if first, last := w.Closed(); first != w.Start || last != w.Stop-1 {
			t.Errorf("closed %v: %d %d", w, first, last)
		}
	}
	a := Window{0, 10}
	for _, c := range []struct {
		b                Window
		covers, overlaps bool
	}{{Window{0, 10}, true, true}, {Window{9, 11}, false, true}, {Window{10, 11}, false, false}, {Window{-1, 0}, false, false}, {Window{4, 4}, true, false}, {Window{99, 99}, true, false}} {
		if a.Covers(c.b) != c.covers || !c.b.Empty() && a.Overlaps(c.b) != c.overlaps {
			t.Errorf("%v and %v", a, c.b)
		}
	}
	for _, bad := range []string{"", "2026", "1677-09-21T00:12:43.145224193Z", "2262-04-11T23:47:16.854775807Z", "9999-01-01T00:00:00Z"} {
		if v, err := ParseTime(bad); err == nil {
			t.Errorf("%q is %d", bad, v)
		}
	}
	for _, at := range []int64{MinTime, -1, 0, 1, MaxTime} {
		if v, err := ParseTime(FormatTime(at)); err != nil || v != at {
			t.Errorf("%d became %d: %v", at, v, err)
		}
	}
}

func anyFingerprint(t *rapid.T, label string) Fingerprint {
	return Fingerprint{rapid.Uint64().Draw(t, label), rapid.Uint64().Draw(t, label), rapid.Uint64().Draw(t, label)}
}

// TestFingerprintAlgebra: an Abelian group modulo 2^64 and 2^128, in which no Sample is its own inverse.
func TestFingerprintAlgebra(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyFingerprint(t, "a"), anyFingerprint(t, "b"), anyFingerprint(t, "c")
		switch {
		case a.Add(b) != b.Add(a), a.Add(b).Add(c) != a.Add(b.Add(c)), a.Add(b).Sub(b) != a, a.Sub(b).Add(b) != a,
			!a.Sub(a).IsZero(), a.Add(Fingerprint{}) != a, a.Sub(b.Add(c)) != a.Sub(b).Sub(c):
			t.Fatal("no group")
		}
		num := func(f Fingerprint) *big.Int {
			n := new(big.Int).Lsh(new(big.Int).SetUint64(f.Hi), 64)
			return n.Add(n, new(big.Int).SetUint64(f.Lo))
		}
		mod := new(big.Int).Lsh(big.NewInt(1), 128)
		if sum := new(big.Int).Add(num(a), num(b)); sum.Mod(sum, mod).Cmp(num(a.Add(b))) != 0 {
			t.Fatalf("%v + %v = %v", a, b, a.Add(b))
		}
		one := Fingerprint{}
		one.AddHash(a.Hi, a.Lo)
		if got := (Fingerprint{Count: 1, Hi: a.Hi, Lo: a.Lo}); one != got {
			t.Fatalf("%v", one)
		}
		twice := one
		twice.AddHash(a.Hi, a.Lo)
		if twice != one.Add(one) || twice.Count != 2 {
			t.Fatalf("twice %v is %v", one, twice)
		}
		bin, _ := a.AppendBinary(nil)
		if back, err := ParseFingerprint(bin); err != nil || back != a {
			t.Fatalf("%v became %v: %v", a, back, err)
		}
		if _, err := ParseFingerprint(bin[1:]); err == nil {
			t.Fatal("a short one was taken")
		}
	})
	pair := Fingerprint{}
	pair.AddHash(1, 2)
	pair.AddHash(1, 2)
	if none := (Fingerprint{Count: 2}); pair == none {
		t.Error("two equal hashes cancel")
	}
}

// TestFingerprintOfSets: order does not matter, and leaving out one Sample of many does.
func TestFingerprintOfSets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hashes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [2]uint64 {
			return [2]uint64{rapid.Uint64().Draw(t, "hi"), rapid.Uint64().Draw(t, "lo")}
		}), 1, 30).Draw(t, "hashes")
		sum := func(hs [][2]uint64) (f Fingerprint) {
			for _, h := range hs {
				f.AddHash(h[0], h[1])
			}
			return f
		}
		other := slices.Clone(hashes)
		slices.Reverse(other)
		if sum(hashes) != sum(other) {
			t.Fatal("the order matters")
		}
		if sum(hashes) == sum(hashes[1:]) {
			t.Fatal("a sample less is the same")
		}
	})
}

func fp(n uint64) Fingerprint { return Fingerprint{Count: n, Lo: n * 7} }

func proof(start, stop int64, n uint64) Proof {
	return Proof{Window: Window{start, stop}, Source: fp(n), Target: fp(n), AsOf: start, CheckedAt: stop}
}

func TestProofHolds(t *testing.T) {
	w := Window{0, 10}
	for i, c := range []struct {
		p    Proof
		want bool
	}{
		{Proof{Window: w}, true},
		{Proof{Window: w, Source: fp(5), Target: fp(5)}, true},
		{Proof{Window: w, Source: fp(5), Target: Fingerprint{Count: 5, Lo: 36}}, false},
		{Proof{Window: w, Source: fp(5), Target: fp(4)}, false},
		{Proof{Window: w, Source: fp(5), Target: fp(4), Excepted: fp(1)}, true},
		{Proof{Window: w, Source: fp(5), Target: fp(6), Extra: fp(1)}, true},
		{Proof{Window: w, Source: fp(5), Target: fp(6), Excepted: fp(1), Extra: fp(2)}, true},
		{Proof{Window: w, Source: fp(5), Target: fp(5), Excepted: fp(1)}, false},
		{Proof{Window: w, Source: fp(1), Target: fp(1), Excepted: fp(2), Extra: fp(2)}, false}, // more than there is
		{Proof{Window: Window{3, 3}, Source: fp(5), Target: fp(5)}, false},
	} {
		if c.p.Holds() != c.want {
			t.Errorf("%d: %+v", i, c.p)
		}
	}
}

func TestGroupPutDrop(t *testing.T) {
	x := func(start, stop int64) Exception {
		return Exception{Class: Extra, Window: Window{start, stop}, Field: "v", Samples: fp(1)}
	}
	base := func() Group {
		return Group{Measurement: "m", Window: Window{0, 100}, Proofs: []Proof{proof(0, 10, 1), proof(10, 20, 2), proof(40, 60, 3)}, Exceptions: []Exception{x(10, 20), x(40, 60)}}
	}
	windows := func(g Group) (out []Window) {
		for _, p := range g.Proofs {
			out = append(out, p.Window)
		}
		return out
	}
	for _, c := range []struct {
		name       string
		do         func(*Group)
		want       []Window
		exceptions int
	}{
		{"beside", func(g *Group) { g.Put([]Proof{proof(20, 40, 9)}, nil) }, []Window{{0, 10}, {10, 20}, {20, 40}, {40, 60}}, 2},
		{"the same again, without its exception", func(g *Group) { g.Put([]Proof{proof(10, 20, 9)}, nil) }, []Window{{0, 10}, {10, 20}, {40, 60}}, 1},
		{"the same again, with another", func(g *Group) { g.Put([]Proof{proof(10, 20, 9)}, []Exception{x(10, 20)}) }, []Window{{0, 10}, {10, 20}, {40, 60}}, 2},
		{"over two", func(g *Group) { g.Put([]Proof{proof(0, 20, 9)}, nil) }, []Window{{0, 20}, {40, 60}}, 1},
		{"into one: what is not observed is not proven", func(g *Group) { g.Put([]Proof{proof(45, 50, 9)}, nil) }, []Window{{0, 10}, {10, 20}, {45, 50}}, 1},
		{"across an edge", func(g *Group) { g.Put([]Proof{proof(15, 41, 9)}, nil) }, []Window{{0, 10}, {15, 41}}, 0},
		{"two, out of order", func(g *Group) { g.Put([]Proof{proof(70, 80, 9), proof(60, 70, 9)}, []Exception{x(60, 70)}) }, []Window{{0, 10}, {10, 20}, {40, 60}, {60, 70}, {70, 80}}, 3},
		{"drop one", func(g *Group) { g.Drop(Window{19, 20}) }, []Window{{0, 10}, {40, 60}}, 1},
		{"drop none", func(g *Group) { g.Drop(Window{20, 40}) }, []Window{{0, 10}, {10, 20}, {40, 60}}, 2},
		{"drop all", func(g *Group) { g.Drop(Axis) }, nil, 0},
	} {
		g := base()
		c.do(&g)
		if d := cmp.Diff(c.want, windows(g)); d != "" || len(g.Exceptions) != c.exceptions {
			t.Errorf("%s: %d exceptions %s", c.name, len(g.Exceptions), d)
		}
	}
	g := base()
	if g.Drop(Window{20, 40}) || !g.Drop(Window{0, 1}) {
		t.Error("Drop does not say whether there was one")
	}
}

// TestGroupMerge: neighbours of one Cell become one, exceptions that say the same are added up, sums and oldest dates stay.
func TestGroupMerge(t *testing.T) {
	grid := NewGrid(7 * 86400 * 1e9)
	cell := grid.Cell(0)
	minutes := func(n int) (out []Proof) {
		for i := range int64(n) {
			out = append(out, proof(cell.Start+i*minute, cell.Start+(i+1)*minute, uint64(i)))
		}
		return out
	}
	g := Group{Window: grid.Group(0), Proofs: append(minutes(5), proof(cell.Start+7*minute, cell.Start+8*minute, 3), proof(cell.Stop, cell.Stop+minute, 4))}
	for i := range 5 {
		g.Exceptions = append(g.Exceptions, Exception{Class: Extra, Window: g.Proofs[i].Window, Field: "v", Type: Float, Samples: fp(1), Example: "first"})
	}
	g.Exceptions = append(g.Exceptions, Exception{Class: Refused, Window: g.Proofs[4].Window, Field: "v", Type: Float, Samples: fp(1)})
	before := g.Summary()
	g.Merge(grid, cell.Start+4*minute)
	if want := (Window{cell.Start, cell.Start + 4*minute}); len(g.Proofs) != 4 || g.Proofs[0].Window != want {
		t.Fatalf("%+v", g.Proofs)
	}
	if after := g.Summary(); after.Source != before.Source || after.Target != before.Target || after.AsOf != before.AsOf {
		t.Errorf("%+v became %+v", before, after)
	}
	if len(g.Exceptions) != 3 || g.Exceptions[0].Samples != fp(1).Add(fp(1)).Add(fp(1)).Add(fp(1)) || g.Exceptions[0].Window != g.Proofs[0].Window {
		t.Errorf("%+v", g.Exceptions)
	}
	g.Merge(grid, math.MaxInt64)
	if len(g.Proofs) != 3 || g.Proofs[0].Window.Stop != cell.Start+5*minute || g.Proofs[0].AsOf != cell.Start || len(g.Exceptions) != 2 {
		t.Errorf("%+v %+v", g.Proofs, g.Exceptions) // neither over a hole nor out of the Cell
	}
}

func TestCountersMoved(t *testing.T) {
	c := func(started string, shards map[string]uint64) Counters { return Counters{started, shards} }
	was := c("a", map[string]uint64{"1": 5, "2": 6})
	for _, x := range []struct {
		now        Counters
		want       []string
		comparable bool
	}{
		{c("a", map[string]uint64{"1": 5, "2": 6}), nil, true},
		{c("a", map[string]uint64{"1": 5, "2": 7}), []string{"2"}, true},
		{c("a", map[string]uint64{"1": 5, "2": 6, "3": 0}), []string{"3"}, true},
		{c("a", map[string]uint64{"2": 6}), []string{"1"}, true}, // gone
		{c("b", map[string]uint64{"1": 5, "2": 6}), nil, false},
		{c("", map[string]uint64{"1": 5}), nil, false},
		{c("a", nil), nil, false},
	} {
		got, ok := was.Moved(x.now)
		slices.Sort(got)
		if d := cmp.Diff(x.want, got); d != "" || ok != x.comparable {
			t.Errorf("%+v: %t %s", x.now, ok, d)
		}
	}
	if _, ok := (Counters{}).Moved(was); ok {
		t.Error("nothing was compared with something")
	}
}
