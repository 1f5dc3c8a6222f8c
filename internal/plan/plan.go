// Package plan decides what a Pass has to do. It is pure: surveys, proofs, policy and the source's clock go in, Transfers with
// their Reasons come out. It reads nothing, remembers nothing and knows neither servers nor the ledger.
package plan

import (
	"math"
	"slices"

	"influxmirror/internal/mirror"
)

// Reason says why a Transfer is in the plan.
type Reason string

// The reasons, most urgent first.
const (
	Tail          Reason = "tail"           // the newest Cells, just closed
	Open          Reason = "open"           // newer than the last closed Cell: copied now, proven when its Cell closes
	Gap           Reason = "gap"            // never proven
	Late          Reason = "late"           // proven, and the source counts differently now
	Future        Reason = "future"         // ahead of the source's clock
	Changed       Reason = "changed"        // written to since it was proven; counts do not tell where
	TargetChanged Reason = "target-changed" // the target counts differently now
	Scrub         Reason = "scrub"          // due for another look
	Requested     Reason = "requested"      // asked for
)

// Transfer is one step of a Plan: read a Chunk, write what the target lacks, read it back, compare, record.
type Transfer struct {
	Chunk   mirror.Chunk
	Group   mirror.Window // the shard group it lies in
	Reason  Reason
	Compare bool   // the target already holds most of it, or refused it: compare first and write only Cells that differ
	Prove   bool   // record the result; false while the Window is still open
	Back    bool   // read the target only, and compare it with what was proven
	Samples uint64 // the source's count
	Held    uint64 // the target's count
}

// Cell is what a survey says of one Cell of a Slot, or of a part of it.
type Cell struct {
	Window mirror.Window
	Source uint64
	Target uint64
	Differ bool // numeric sums differ between the sides
}

// Slot is one measurement in one shard group that needs a look.
type Slot struct {
	Group mirror.Group // what was proven
	Cells []Cell       // by time; Cells without Samples on both sides may be missing
	// Reread asks to read all Cells again although their counts agree, for this reason.
	Reread Reason
}

// Policy is what a Plan is made under. All times are on the servers' clocks.
type Policy struct {
	Grid mirror.Grid
	Now  int64 // the source's clock
	Edge int64 // Cells that end here or before are closed
	// Horizon is where the future begins: from Edge to Horizon samples are copied and not yet proven.
	Horizon     int64
	Since       int64 // nothing before is mirrored
	Until       int64 // nothing at or after is mirrored
	SourceFloor int64 // the source drops what is before
	TargetFloor int64 // the target takes nothing before
	MaxSamples  uint64
}

// NewPolicy derives the edges: Cells close margin behind the source's clock now.
func NewPolicy(grid mirror.Grid, now, margin int64) Policy {
	minuteOf := func(t int64) int64 { return t - floorMod(t, mirror.TailWidth) }
	return Policy{
		Grid: grid, Now: now, Edge: minuteOf(now - margin), Horizon: grid.Cell(minuteOf(now+margin) + mirror.TailWidth).Stop,
		Since: mirror.MinTime, Until: math.MaxInt64, SourceFloor: mirror.MinTime, TargetFloor: mirror.MinTime, MaxSamples: 1_000_000,
	}
}

// Floor is the first time that is mirrored at all.
func (p Policy) Floor() int64 { return max(p.Since, p.SourceFloor, p.TargetFloor) }

// Retained returns where an endpoint begins to keep data: its clock less its retention, up to the next Cell of the tail and
// two more, so that nothing expires while it is copied. Zero retention keeps everything.
func Retained(now, retention int64) int64 {
	if retention <= 0 || now < mirror.MinTime+retention {
		return mirror.MinTime
	}
	t := now - retention
	return t - floorMod(t, mirror.TailWidth) + 3*mirror.TailWidth
}

// Settled reports whether a shard group needs no closer look: everything counted on both sides is what was proven.
func (p Policy) Settled(s mirror.Summary, source, target uint64) bool {
	if s.Window.Stop <= p.Floor() || s.Window.Start >= p.Until {
		return true
	}
	return s.Source == source && s.Target == target
}

// Make turns Slots into Transfers: the tail first, then newest first.
func Make(p Policy, slots []Slot) []Transfer {
	var out []Transfer
	for _, s := range slots {
		out = append(out, p.slot(s)...)
	}
	slices.SortStableFunc(out, func(a, b Transfer) int {
		if x, y := a.live(), b.live(); x != y {
			if x {
				return -1
			}
			return 1
		}
		switch {
		case a.Chunk.Window.Start > b.Chunk.Window.Start:
			return -1
		case a.Chunk.Window.Start < b.Chunk.Window.Start:
			return 1
		}
		return 0
	})
	return out
}

// Live reports whether the Transfer belongs to the lane of the tail, which never waits for more than one Chunk of history.
func (t Transfer) Live() bool { return t.live() }

func (t Transfer) live() bool { return t.Reason == Tail || t.Reason == Open }

// block is a stretch of Cells and Proofs that can only be judged together: no boundary of either cuts it.
type block struct {
	window mirror.Window
	cells  []Cell
	proofs []mirror.Proof
}

// blocks cuts a Slot where neither a Cell nor a Proof is cut.
func blocks(s Slot) []block {
	var out []block
	cells, proofs := s.Cells, s.Group.Proofs
	for len(cells) > 0 || len(proofs) > 0 {
		switch { // an empty window would never be passed
		case len(cells) > 0 && cells[0].Window.Empty():
			cells = cells[1:]
			continue
		case len(proofs) > 0 && proofs[0].Window.Empty():
			proofs = proofs[1:]
			continue
		}
		var b block
		switch {
		case len(proofs) == 0 || len(cells) > 0 && cells[0].Window.Start <= proofs[0].Window.Start:
			b.window = cells[0].Window
		default:
			b.window = proofs[0].Window
		}
		for {
			switch {
			case len(cells) > 0 && cells[0].Window.Start < b.window.Stop:
				b.window.Stop = max(b.window.Stop, cells[0].Window.Stop)
				b.cells = append(b.cells, cells[0])
				cells = cells[1:]
				continue
			case len(proofs) > 0 && proofs[0].Window.Start < b.window.Stop:
				b.window.Stop = max(b.window.Stop, proofs[0].Window.Stop)
				b.proofs = append(b.proofs, proofs[0])
				proofs = proofs[1:]
				continue
			}
			break
		}
		out = append(out, b)
	}
	return out
}

// slot plans one measurement in one shard group.
func (p Policy) slot(s Slot) []Transfer {
	var work []Transfer
	for _, b := range blocks(s) {
		if t, ok := p.block(s, b); ok {
			work = append(work, p.split(t)...)
		}
	}
	return p.join(s, work)
}

// block plans one block, if it needs anything.
func (p Policy) block(s Slot, b block) (Transfer, bool) {
	var source, target, provenSource, provenTarget, excepted uint64
	differ := false
	for _, c := range b.cells {
		source += c.Source
		target += c.Target
		differ = differ || c.Differ
	}
	for _, q := range b.proofs {
		provenSource += q.Source.Count
		provenTarget += q.Target.Count
		excepted += q.Excepted.Count
	}
	w := b.window
	if floor := p.Floor(); w.Start < floor {
		if w.Stop <= floor {
			return Transfer{}, false // behind retention: what was proven stays as it is
		}
		w.Start = floor
		if len(b.proofs) > 0 {
			// What was proven of it counts samples that expire: only what both sides still keep can be compared.
			source, target = 0, 0
			for _, c := range b.cells {
				if c.Window.Start >= floor {
					source += c.Source
					target += c.Target
				}
			}
			provenSource, provenTarget = target, target
		}
	}
	cut := w.Stop > p.Until
	if cut {
		if w.Start >= p.Until || source == provenSource && target == provenTarget && !differ && s.Reread == "" {
			return Transfer{}, false
		}
		w.Stop = p.Until // counts do not tell on which side of it something changed
	}
	settled := target + excepted // what the target refused before is not sent again without a look
	t := Transfer{
		Chunk: mirror.Chunk{Measurement: s.Group.Measurement, Window: w, Width: int64(min(w.Width(), uint64(p.Grid.Width())))},
		Group: s.Group.Window, Prove: true, Samples: source, Held: target, Compare: settled > 0 && settled*2 >= source,
	}
	if w.Start >= p.Edge && w.Start < p.Horizon {
		t.Reason, t.Prove = Open, false
		return t, source > 0 && source != target // what is equal in number was copied; its Cell is proven when it closes
	}
	same := source == provenSource && target == provenTarget
	switch {
	case source+target+uint64(len(b.proofs)) == 0:
		return t, false
	case same && !differ && s.Reread == "":
		return t, false
	case same && s.Reread != "":
		t.Reason = s.Reread
	case w.Start >= p.Horizon:
		t.Reason = Future
	case len(b.proofs) == 0 && source == 0:
		t.Reason = TargetChanged
	case len(b.proofs) == 0 && w.Stop == p.Edge:
		t.Reason = Tail
	case len(b.proofs) == 0:
		t.Reason = Gap
	case same:
		t.Reason = Changed
	case source != provenSource:
		t.Reason = Late
	default:
		t.Reason = TargetChanged
	}
	if t.Reason == Gap && w.Start >= p.Edge-tailReach {
		t.Reason = Tail
	}
	return t, true
}

// tailReach is how far behind the last closed Cell new data still counts as the tail, in nanoseconds.
const tailReach = 10 * mirror.TailWidth

// split cuts a Transfer that is too large for one Chunk into equal parts of its Window.
func (p Policy) split(t Transfer) []Transfer {
	n := (t.Samples + p.MaxSamples - 1) / max(p.MaxSamples, 1)
	w := t.Chunk.Window
	if n = min(n, w.Width(), 1<<12); n <= 1 {
		return []Transfer{t}
	}
	step := int64((w.Width()-1)/n) + 1
	var out []Transfer
	for start := w.Start; ; start += step {
		part := t
		part.Samples, part.Held = t.Samples/n, t.Held/n
		part.Chunk.Window = mirror.Window{Start: start, Stop: w.Stop}
		last := uint64(w.Stop)-uint64(start) <= uint64(step)
		if !last {
			part.Chunk.Window.Stop = start + step
		}
		part.Chunk.Width = int64(part.Chunk.Window.Width())
		out = append(out, part)
		if last {
			return out
		}
	}
}

// maxCells bounds the Cells of a Chunk: they may be very short, and far apart.
const maxCells = 4096

// join puts neighbours into one Chunk as long as it stays small enough and spans nothing that is not work itself.
func (p Policy) join(s Slot, work []Transfer) []Transfer {
	var out []Transfer
	for _, t := range work {
		if n := len(out); n > 0 {
			last := &out[n-1]
			w := last.Chunk.Window
			aligned := last.Chunk.Width == t.Chunk.Width && uint64(t.Chunk.Window.Start-w.Start)%uint64(t.Chunk.Width) == 0
			if aligned && last.Reason == t.Reason && last.Compare == t.Compare && last.Prove == t.Prove &&
				uint64(t.Chunk.Window.Stop-w.Start)/uint64(t.Chunk.Width) < maxCells &&
				last.Samples+t.Samples <= p.MaxSamples && s.empty(mirror.Window{Start: w.Stop, Stop: t.Chunk.Window.Start}) {
				last.Chunk.Window.Stop = t.Chunk.Window.Stop
				last.Samples += t.Samples
				last.Held += t.Held
				continue
			}
		}
		out = append(out, t)
	}
	return out
}

// empty reports whether nothing is known to lie in w.
func (s Slot) empty(w mirror.Window) bool {
	if w.Empty() {
		return true
	}
	for _, c := range s.Cells {
		if c.Window.Overlaps(w) && c.Source+c.Target > 0 {
			return false
		}
	}
	for _, q := range s.Group.Proofs {
		if q.Window.Overlaps(w) {
			return false
		}
	}
	return true
}

func floorMod(a, b int64) int64 {
	if m := a % b; m < 0 {
		return m + b
	} else {
		return m
	}
}
