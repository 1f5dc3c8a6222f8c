package ledger

import (
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"influxmirror/internal/mirror"
)

// both returns a pair in both directions.
func both(t interface {
	Helper()
	Fatal(...any)
}, l *Ledger) (forth, back *Pair) {
	t.Helper()
	forth, err := l.PairFrom(ctx, "a|b", "a", "b")
	if err == nil {
		back, err = l.PairFrom(ctx, "a|b", "b", "a")
	}
	if err != nil {
		t.Fatal(err)
	}
	return forth, back
}

// slice is what two servers held in a slice of time when it was last proven: the same on both, only on a, only on b.
type slice struct {
	known      bool
	same, a, b mirror.Fingerprint
	asOf       [2]int64
	explained  [2]bool // in the direction from a and from b
}

// TestTurn: whatever is recorded in one direction and read in another claims what was observed and no more, and a Cell is shown only if all that
// is on its source alone has a reason in that direction.
func TestTurn(t *testing.T) {
	l := openTest(t, t.TempDir())
	grid := mirror.NewGrid(int64(7 * 24 * testHour))
	group := grid.Group(testBase)
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		name := fmt.Sprint("m", n)
		p, q := both(t, l)
		ways := [2]*Pair{p, q}
		const slices = 9
		window := func(i int) mirror.Window {
			return mirror.Window{Start: group.Start + int64(i)*testHour, Stop: group.Start + int64(i+1)*testHour}
		}
		var truth [slices]slice
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			d := rapid.IntRange(0, 1).Draw(t, "direction")
			g, err := ways[d].Group(ctx, name, group)
			if err != nil {
				t.Fatal(err)
			}
			i := rapid.IntRange(0, slices-1).Draw(t, "slice")
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				g.Drop(window(i))
			case 1: // recorded as it was read
			case 2:
				g.Merge(grid, group.Stop)
			default:
				s := slice{known: true, same: genFingerprint(t, "same"), asOf: [2]int64{rapid.Int64Range(0, 1e15).Draw(t, "as of"), rapid.Int64Range(0, 1e15).Draw(t, "checked at")}}
				only := [2]mirror.Fingerprint{genFingerprint(t, "a"), genFingerprint(t, "b")}
				s.a, s.b = only[0], only[1]
				s.explained[d] = true
				s.explained[1-d] = only[1-d].IsZero()
				truth[i] = s
				proof := mirror.Proof{Window: window(i), Source: s.same.Add(only[d]), Target: s.same.Add(only[1-d]), Excepted: only[d], Extra: only[1-d],
					AsOf: s.asOf[d], CheckedAt: s.asOf[1-d]}
				var list []mirror.Exception
				if !only[d].IsZero() {
					class := rapid.SampledFrom([]mirror.Class{mirror.Refused, mirror.Kept, mirror.Unwritable}).Draw(t, "class")
					list = append(list, mirror.Exception{Class: class, Window: window(i), Field: "v", Type: mirror.Float, Reason: string(class), Samples: only[d]})
				}
				if !only[1-d].IsZero() && rapid.IntRange(0, 9).Draw(t, "listed") > 0 {
					list = append(list, mirror.Exception{Class: mirror.Extra, Window: window(i), Field: "v", Type: mirror.Float, Reason: "only there", Samples: only[1-d]})
				}
				g.Put([]mirror.Proof{proof}, list)
			}
			if err := ways[d].Record(ctx, g); err != nil {
				t.Fatal(err)
			}
			for d, way := range ways {
				g, err := way.Group(ctx, name, group)
				if err != nil {
					t.Fatal(err)
				}
				checkShown(t, d, g, truth[:], window)
				sums, err := way.Summaries(ctx)
				if err != nil {
					t.Fatal(err)
				}
				found := false
				for _, s := range sums {
					if s.Measurement == name {
						if found = true; s != g.Summary() {
							t.Fatalf("summary %+v of %+v", s, g)
						}
					}
				}
				if !found && len(g.Proofs) > 0 {
					t.Fatal("no summary")
				}
				var listed []mirror.Exception
				for x, err := range way.Exceptions(ctx) {
					if err != nil {
						t.Fatal(err)
					}
					if x.Measurement == name && len(g.Proofs) > 0 {
						listed = append(listed, x.Exception)
					}
				}
				for _, x := range g.Exceptions {
					if !contains(listed, x) {
						t.Fatalf("%+v is not listed", x)
					}
				}
			}
		}
	})
	if l.Dropped() > 0 {
		t.Errorf("%d rows dropped", l.Dropped())
	}
}

func contains(list []mirror.Exception, x mirror.Exception) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}

// checkShown compares what is shown in a direction with what was last observed.
func checkShown(t *rapid.T, d int, g mirror.Group, truth []slice, window func(int) mirror.Window) {
	for _, p := range g.Proofs {
		var want mirror.Proof
		for i, s := range truth {
			if !p.Window.Overlaps(window(i)) {
				continue
			}
			only := [2]mirror.Fingerprint{s.a, s.b}
			if !s.known || !s.explained[d] {
				t.Fatalf("direction %d: %s is shown: %+v", d, p.Window, s)
			}
			one := mirror.Proof{Window: window(i), Source: s.same.Add(only[d]), Target: s.same.Add(only[1-d]), Excepted: only[d], Extra: only[1-d], AsOf: s.asOf[d], CheckedAt: s.asOf[1-d]}
			if want.Window.Empty() {
				want = one
			} else {
				want = want.Join(one)
			}
		}
		if p != want || !p.Holds() {
			t.Fatalf("direction %d: %+v, observed %+v", d, p, want)
		}
		var listed mirror.Fingerprint
		for _, x := range g.Exceptions {
			if x.Class == mirror.Unsent {
				t.Fatalf("unsent is shown: %+v", x)
			}
			if x.Class != mirror.Extra && p.Window.Covers(x.Window) {
				listed = listed.Add(x.Samples)
			}
		}
		if listed != p.Excepted {
			t.Fatalf("direction %d: %v is excepted, %v listed", d, p.Excepted, listed)
		}
	}
}

// TestTurnBack: a group that is read and recorded in the other direction is as it was, but for Cells that are not shown there.
func TestTurnBack(t *testing.T) {
	l := openTest(t, t.TempDir())
	rapid.Check(t, func(t *rapid.T) {
		forth, back := both(t, l)
		g := genGroup(t)
		for i := range g.Proofs { // what is extra in half of them was sent back once
			p := &g.Proofs[i]
			if p.Extra.IsZero() {
				continue
			}
			x := mirror.Exception{Class: mirror.Extra, Window: p.Window, Field: "x", Type: mirror.Float, Samples: p.Extra}
			if rapid.Bool().Draw(t, "sent back") {
				x.Back = mirror.Refused
			}
			g.Exceptions = append(g.Exceptions, x)
		}
		if err := forth.Record(ctx, g); err != nil {
			t.Fatal(err)
		}
		seen, err := back.Group(ctx, g.Measurement, g.Window)
		if err == nil {
			err = back.Record(ctx, seen)
		}
		if err != nil {
			t.Fatal(err)
		}
		want := mirror.Group{Measurement: g.Measurement, Window: g.Window}
		for _, p := range g.Proofs {
			hidden := false
			for _, x := range g.Exceptions {
				hidden = hidden || x.Window == p.Window && x.Class == mirror.Extra && x.Back == ""
			}
			if !hidden {
				want.Proofs = append(want.Proofs, p)
				for _, x := range g.Exceptions {
					if x.Window == p.Window {
						want.Exceptions = append(want.Exceptions, x)
					}
				}
			}
		}
		got, err := forth.Group(ctx, g.Measurement, g.Window)
		if err != nil || !reflect.DeepEqual(got.Proofs, want.Proofs) || len(got.Exceptions) != len(want.Exceptions) {
			t.Fatalf("%+v, %v\nwant %+v", got, err, want)
		}
		for _, x := range want.Exceptions {
			if !contains(got.Exceptions, x) {
				t.Fatalf("%+v is lost", x)
			}
		}
		if err := forth.Record(ctx, mirror.Group{Measurement: g.Measurement, Window: g.Window}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDirections: notes and the name of a mirror belong to a direction; whoever comes after the other one is told.
func TestDirections(t *testing.T) {
	dir := t.TempDir()
	l := openTest(t, dir)
	forth, back := both(t, l)
	g := oddGroup("cpu", 0, 1)
	mustRecord(t, forth, g)
	for _, err := range []error{forth.SetState(ctx, "seen", "forth"), back.SetState(ctx, "seen", "back"), forth.SetName(ctx, "lab", "A", "B"), back.SetName(ctx, "lab back", "B", "A")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	turned := func(p *Pair) bool {
		t.Helper()
		is, err := p.Turned(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	if turned(forth) || !turned(back) {
		t.Error("a new pair faces the direction it was made in")
	}
	if err := back.Face(ctx); err != nil || !turned(forth) || turned(back) {
		t.Errorf("%v: it faces back", err)
	}
	l.Close()
	l = openTest(t, dir)
	forth, back = both(t, l)
	if !turned(forth) || turned(back) {
		t.Error("the direction was forgotten")
	}
	for name, want := range map[string]*Pair{"lab": forth, "lab back": back} {
		p, _, err := l.Mirror(ctx, name)
		if err != nil || p.turned != want.turned || p.source != want.source {
			t.Errorf("%s: %+v %v", name, p, err)
		}
		var said, wanted string
		p.State(ctx, "seen", &said)
		want.State(ctx, "seen", &wanted)
		if said != wanted || said != map[string]string{"lab": "forth", "lab back": "back"}[name] {
			t.Errorf("%s: %q and %q", name, said, wanted)
		}
	}
	if got := getGroup(t, back, g); len(got.Proofs) != len(g.Proofs)-1 {
		t.Errorf("%d of %d proofs are shown the other way round; one has samples that nobody sent back", len(got.Proofs), len(g.Proofs))
	}
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if p, err := r.PairFrom(ctx, "a|b", "b", "a"); err != nil || !p.turned {
		t.Errorf("a reader: %+v %v", p, err)
	}
	// A name that is neither of the two says nothing about the proofs.
	if _, err := l.w.Exec(`UPDATE pair SET source = 'z'`); err != nil {
		t.Fatal(err)
	}
	if _, err := r.PairFrom(ctx, "a|b", "b", "a"); err != ErrNotFound {
		t.Error(err)
	}
	p, err := l.PairFrom(ctx, "a|b", "b", "a")
	if err != nil || p.turned {
		t.Fatalf("%+v %v", p, err)
	}
	if got := getGroup(t, p, g); len(got.Proofs) != 0 {
		t.Error("proofs of an unknown direction are believed")
	}
}
