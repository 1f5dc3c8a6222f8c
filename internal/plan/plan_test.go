package plan

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"influxmirror/internal/mirror"
)

var update = flag.Bool("update", false, "write what the planner says into the timelines")

const minute = mirror.TailWidth

// origin is the start of a shard group of an hour, in which every Cell is a minute: one character of a timeline.
var origin = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano()

// TestTimelines plans what testdata shows. A case is a paragraph:
//
//	# what it is about
//	now     12.5                minutes after the group began; Cells close 10 s behind
//	floor   3                   nothing before is mirrored
//	until   9                   nothing at or after is mirrored
//	max     10                  samples in a Chunk
//	reread                      the group was written to since it was proven
//	wide    0 30                Cells between these minutes were surveyed as one
//	source  12.4                what the source counts in each minute; an x counts 1, and its sums differ between the sides
//	target  12..                the target; as source if absent
//	proven  12..                what Proofs say of both sides
//	refused 1...                how many of those the target does not hold
//	proofs  ||..                | a Proof of a minute, [--] of several
//	> gap      ...=..  4        a Transfer: o where it is not proven, a + behind the samples where it compares first
func TestTimelines(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no timelines: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, c := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
			var given, want []string
			for _, l := range strings.Split(c, "\n") {
				if strings.HasPrefix(l, ">") {
					want = append(want, l)
				} else {
					given = append(given, l)
				}
			}
			got := timeline(t, given)
			out = append(out, strings.Join(append(given, got...), "\n"))
			if !*update {
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: %s\n%s", file, given[0], d)
				}
			}
		}
		if *update {
			if err := os.WriteFile(file, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// timeline plans one case.
func timeline(t *testing.T, given []string) (out []string) {
	t.Helper()
	lines := map[string]string{}
	for _, l := range given {
		name, rest, _ := strings.Cut(l, " ")
		lines[name] = strings.TrimSpace(rest)
	}
	at := func(minutes string) int64 {
		f, err := strconv.ParseFloat(minutes, 64)
		if err != nil {
			t.Fatalf("%s: %v", given[0], err)
		}
		return origin + int64(f*float64(minute))
	}
	p := NewPolicy(mirror.NewGrid(60*minute), at(lines["now"]), int64(10*time.Second))
	if f, ok := lines["floor"]; ok {
		p.Since = at(f)
	}
	if u, ok := lines["until"]; ok {
		p.Until = at(u)
	}
	if n, ok := lines["max"]; ok {
		p.MaxSamples, _ = strconv.ParseUint(n, 10, 64)
	}
	count := func(line string, i int) uint64 {
		switch {
		case i >= len(line) || line[i] == '.':
			return 0
		case line[i] == 'x':
			return 1
		}
		return uint64(line[i] - '0')
	}
	slot := Slot{Group: mirror.Group{Measurement: "m", Window: p.Grid.Group(origin)}}
	if _, ok := lines["reread"]; ok {
		slot.Reread = Changed
	}
	if _, ok := lines["target"]; !ok {
		lines["target"] = lines["source"]
	}
	from, to := -1, -1
	if w, ok := lines["wide"]; ok {
		_, _ = fmt.Sscan(w, &from, &to)
	}
	for i := 0; i < max(len(lines["source"]), len(lines["target"])); i++ {
		c := Cell{Window: mirror.Window{Start: origin + int64(i)*minute, Stop: origin + int64(i+1)*minute}, Source: count(lines["source"], i), Target: count(lines["target"], i),
			Differ: i < len(lines["source"]) && lines["source"][i] == 'x'}
		if i > from && i < to {
			last := &slot.Cells[len(slot.Cells)-1]
			last.Window.Stop = c.Window.Stop
			last.Source += c.Source
			last.Target += c.Target
			continue
		}
		if c.Source+c.Target > 0 || i == from {
			slot.Cells = append(slot.Cells, c)
		}
	}
	start := 0
	for i, c := range lines["proofs"] {
		switch c {
		case '|', '[':
			start = i
		}
		if c == '|' || c == ']' {
			q := mirror.Proof{Window: mirror.Window{Start: origin + int64(start)*minute, Stop: origin + int64(i+1)*minute}}
			for j := start; j <= i; j++ {
				q.Source.Count += count(lines["proven"], j)
				q.Excepted.Count += count(lines["refused"], j)
			}
			q.Target.Count = q.Source.Count - q.Excepted.Count
			slot.Group.Proofs = append(slot.Group.Proofs, q)
		}
	}
	for _, x := range Make(p, []Slot{slot}) {
		var b strings.Builder
		w := x.Chunk.Window
		for i := range 60 {
			c := mirror.Window{Start: origin + int64(i)*minute, Stop: origin + int64(i+1)*minute}
			mark := byte('.')
			if c.Overlaps(w) {
				if mark = '='; !x.Prove {
					mark = 'o'
				}
			}
			b.WriteByte(mark)
		}
		line := strings.TrimRight(b.String(), ".")
		extra := ""
		if x.Compare {
			extra = "+"
		}
		out = append(out, fmt.Sprintf("> %-14s %s %d%s", x.Reason, line, x.Samples, extra))
	}
	if out == nil {
		out = []string{"> nothing"}
	}
	return out
}

func TestRetained(t *testing.T) {
	const day = int64(24 * time.Hour)
	now := origin + 17
	for _, c := range []struct{ now, retention, want int64 }{
		{now, 0, mirror.MinTime},
		{now, -1, mirror.MinTime},
		{now, day, origin - day + 3*minute},
		{now, 30 * day, origin - 30*day + 3*minute},
		{now, 200 * 365 * day, origin - 200*365*day + 3*minute},
		{0, math.MaxInt64, mirror.MinTime},
		{mirror.MinTime + 5, 10, mirror.MinTime},
	} {
		if got := Retained(c.now, c.retention); got != c.want {
			t.Errorf("Retained(%s, %s) = %s, want %s", mirror.FormatTime(c.now), time.Duration(c.retention), mirror.FormatTime(got), mirror.FormatTime(c.want))
		}
	}
}

func TestSettled(t *testing.T) {
	g := mirror.Window{Start: origin, Stop: origin + 60*minute}
	p := NewPolicy(mirror.NewGrid(60*minute), g.Stop, 0)
	behind := p
	behind.TargetFloor = g.Stop
	for i, c := range []struct {
		p              Policy
		s              mirror.Summary
		source, target uint64
		want           bool
	}{
		{p, mirror.Summary{Window: g}, 0, 0, true},
		{p, mirror.Summary{Window: g}, 0, 7, false}, // only on the target: extra, to be enumerated
		{p, mirror.Summary{Window: g}, 1, 1, false},
		{p, mirror.Summary{Window: g, Cells: 1, Source: 3, Target: 4}, 3, 4, true},
		{p, mirror.Summary{Window: g, Cells: 1, Source: 3, Target: 4}, 4, 3, false},
		{p, mirror.Summary{Window: g, Cells: 1, Source: 3, Target: 4}, 3, 5, false},
		{p, mirror.Summary{Window: g, Cells: 1, Source: 3, Target: 4}, 0, 0, false},
		{behind, mirror.Summary{Window: g, Cells: 1, Source: 3, Target: 4}, 0, 0, true},
	} {
		if got := c.p.Settled(c.s, c.source, c.target); got != c.want {
			t.Errorf("%d: %t, want %t", i, got, c.want)
		}
	}
}

// TestEmptyWindows: a Cell or Proof that holds no time is passed over.
func TestEmptyWindows(t *testing.T) {
	p := NewPolicy(mirror.NewGrid(60*minute), origin+30*minute, 0)
	s := Slot{Group: mirror.Group{Measurement: "m", Window: p.Grid.Group(origin), Proofs: []mirror.Proof{{Window: mirror.Window{Start: origin + 9, Stop: origin + 3}}}},
		Cells: []Cell{{Window: mirror.Window{Start: origin, Stop: origin}, Source: 1}, {Window: mirror.Window{Start: origin, Stop: origin + minute}, Source: 2}}}
	if got := Make(p, []Slot{s}); len(got) != 1 || got[0].Samples != 2 {
		t.Errorf("%+v", got)
	}
}

// TestPlanProperties: whatever is counted, proven and asked, a plan's Transfers lie in their group, do not overlap, are proven only where no Cell is
// open, stay behind the floor, are as many as were counted at most, and cover every Cell that is not what was proven.
func TestPlanProperties(t *testing.T) {
	durations := []int64{60, 3600, 5400, 86400, 7 * 86400, 180 * 86400, 365 * 86400}
	rapid.Check(t, func(t *rapid.T) {
		grid := mirror.NewGrid(rapid.SampledFrom(durations).Draw(t, "duration") * int64(time.Second))
		where := rapid.SampledFrom([]int64{mirror.MinTime, mirror.MinTime + grid.Duration(), 0, origin, mirror.MaxTime - grid.Duration(), mirror.MaxTime}).Draw(t, "where")
		group := grid.Group(where)
		now := rapid.SampledFrom([]int64{origin, group.Start/2 + group.Stop/2}).Draw(t, "now")
		if now > mirror.MaxTime-2*int64(400*24*time.Hour) || now < mirror.MinTime+int64(time.Hour) {
			now = origin
		}
		p := NewPolicy(grid, now, int64(30*time.Second))
		p.MaxSamples = uint64(rapid.IntRange(1, 50).Draw(t, "max"))
		if rapid.Bool().Draw(t, "floor") {
			p.TargetFloor = rapid.Int64Range(group.Start, group.Stop-1).Draw(t, "at")
		}
		s := Slot{Group: mirror.Group{Measurement: "m", Window: group}}
		if rapid.Bool().Draw(t, "reread") {
			s.Reread = Changed
		}
		for at := group.Start; ; {
			c := grid.Cell(at)
			c.Start = max(c.Start, group.Start)
			cut := []mirror.Window{c}
			if c.Width() > 2 && rapid.Bool().Draw(t, "cut") {
				m := c.Start + int64(rapid.Uint64Range(1, c.Width()-1).Draw(t, "middle"))
				cut = []mirror.Window{{Start: c.Start, Stop: m}, {Start: m, Stop: c.Stop}}
			}
			if rapid.IntRange(0, 2).Draw(t, "cell") > 0 {
				s.Cells = append(s.Cells, Cell{Window: c, Source: uint64(rapid.IntRange(0, 120).Draw(t, "source")), Target: uint64(rapid.IntRange(0, 120).Draw(t, "target"))})
			}
			for _, w := range cut {
				if rapid.IntRange(0, 2).Draw(t, "proof") == 0 {
					f := mirror.Fingerprint{Count: uint64(rapid.IntRange(0, 120).Draw(t, "proven"))}
					s.Group.Proofs = append(s.Group.Proofs, mirror.Proof{Window: w, Source: f, Target: f})
				}
			}
			if c.Stop >= group.Stop {
				break
			}
			at = c.Stop
		}
		work := Make(p, []Slot{s})
		var sum, counted uint64
		for _, c := range s.Cells {
			counted += c.Source
		}
		for i, x := range work {
			w := x.Chunk.Window
			if w.Empty() || !group.Covers(w) || x.Chunk.Width <= 0 || x.Chunk.Cells() < 1 || x.Chunk.Cells() > 1<<16 {
				t.Fatalf("chunk %+v in %v", x.Chunk, group)
			}
			if w.Start < p.Floor() {
				t.Fatalf("%v begins before the floor %s", w, mirror.FormatTime(p.Floor()))
			}
			if x.Prove == (x.Reason == Open) {
				t.Fatalf("%+v", x)
			}
			if i > 0 && work[i-1].Live() == x.Live() && work[i-1].Chunk.Window.Start < w.Start {
				t.Fatal("not the newest first")
			}
			for _, y := range work[:i] {
				if y.Chunk.Window.Overlaps(w) {
					t.Fatalf("%v and %v overlap", y.Chunk.Window, w)
				}
			}
			sum += x.Samples
		}
		if sum > counted {
			t.Fatalf("%d samples planned, %d counted", sum, counted)
		}
		for _, b := range blocks(s) {
			var n, proven [2]uint64
			for _, c := range b.cells {
				n[0] += c.Source
				n[1] += c.Target
			}
			for _, q := range b.proofs {
				proven[0] += q.Source.Count
				proven[1] += q.Target.Count
			}
			if b.window.Start < p.Floor() || n == proven || b.window.Start >= p.Edge && b.window.Start < p.Horizon {
				continue
			}
			rest := b.window
			for covered := true; covered && !rest.Empty(); {
				covered = false
				for _, x := range work {
					if x.Chunk.Window.Contains(rest.Start) {
						rest.Start, covered = x.Chunk.Window.Stop, true
					}
				}
			}
			if !rest.Empty() {
				t.Fatalf("%v counts %v, proven %v, and is not planned", b.window, n, proven)
			}
		}
	})
}
