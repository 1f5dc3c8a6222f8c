package mirror

import (
	"cmp"
	"slices"
)

// Chunk is one measurement in one Window that lies inside one shard group: the unit of reading and writing.
// Its Cells are the slices of Width nanoseconds from Window.Start on; the last one ends with the Window.
type Chunk struct {
	Measurement string
	Window      Window
	Width       int64
}

// Cells returns how many Cells the Chunk has.
func (c Chunk) Cells() int {
	if c.Window.Empty() {
		return 0
	}
	return int((c.Window.Width()-1)/uint64(c.Width)) + 1
}

// Cell returns the window of Cell i.
func (c Chunk) Cell(i int) Window {
	start := c.Window.Start + int64(i)*c.Width
	if c.Window.Stop-start > c.Width || c.Window.Stop-start < 0 {
		return Window{start, start + c.Width}
	}
	return Window{start, c.Window.Stop}
}

// Index returns the Cell that holds t, which lies in the Window.
func (c Chunk) Index(t int64) int { return int(uint64(t-c.Window.Start) / uint64(c.Width)) }

// Reading is what one complete, proven read of a Chunk found.
type Reading struct {
	Cells []Fingerprint // one for each Cell of the Chunk
	// Unwritable lists what the read found that line protocol cannot carry. It is counted in Cells and absent from the lines.
	Unwritable []Exception
	Date       int64 // the server's clock when the read began
	Live       bool  // the counts before and after the read differ: somebody writes here now
	Points     int64 // lines
}

// Total returns the Fingerprint of all Cells together.
func (r Reading) Total() Fingerprint {
	var f Fingerprint
	for _, c := range r.Cells {
		f = f.Add(c)
	}
	return f
}

// Class says why a Sample is on one side only.
type Class string

// The classes of exceptions.
const (
	Refused    Class = "refused"    // the target does not take it
	Unwritable Class = "unwritable" // line protocol cannot carry it
	Expired    Class = "expired"    // behind the target's retention
	Kept       Class = "kept"       // the target has another value there and keeps it
	Extra      Class = "extra"      // only on the target
	// Unsent is on the source only because nobody sent it since it was found there: no Proof with it is ever shown.
	Unsent Class = "unsent"
)

// AllFields stands in an Exception for every field of its Cell.
const AllFields = "*"

// Exception enumerates Samples of one field in one Cell that are on one side only and stay so, with the reason.
type Exception struct {
	Class   Class
	Window  Window // the Cell
	Field   string
	Type    Type
	Reason  string      // the server's words, or which rule of line protocol
	Samples Fingerprint // of exactly these Samples
	Example string      // series and time of one of them
	Back    Class       // of Extra: why the source does not take them, where they were sent back; "" if they never were
}

// Proof says that a Cell was equal on both sides as of AsOf.
type Proof struct {
	Window    Window
	Source    Fingerprint // everything the source holds in the Window
	Target    Fingerprint // everything the target holds in the Window
	Excepted  Fingerprint // the part of Source the target cannot hold
	Extra     Fingerprint // the part of Target the source does not have
	AsOf      int64       // the source's clock when the read began
	CheckedAt int64       // the target's clock when its read began
}

// Holds reports whether the one law is kept: FP(source) − FP(excepted) = FP(target) − FP(extra).
func (p Proof) Holds() bool {
	return !p.Window.Empty() && p.Source.Sub(p.Excepted) == p.Target.Sub(p.Extra) &&
		p.Excepted.Count <= p.Source.Count && p.Extra.Count <= p.Target.Count
}

// Join returns the Proof of two neighbouring Cells as one; its dates are the older ones.
func (p Proof) Join(q Proof) Proof {
	return Proof{
		Window: p.Window.Span(q.Window), Source: p.Source.Add(q.Source), Target: p.Target.Add(q.Target),
		Excepted: p.Excepted.Add(q.Excepted), Extra: p.Extra.Add(q.Extra),
		AsOf: min(p.AsOf, q.AsOf), CheckedAt: min(p.CheckedAt, q.CheckedAt),
	}
}

// Group is what is remembered of one measurement in one shard group.
type Group struct {
	Measurement string
	Window      Window      // the shard group
	Proofs      []Proof     // by time, disjoint
	Exceptions  []Exception // by Cell
}

// Put replaces what g says of the windows of proofs, each of which covers or avoids every older Proof, and of their exceptions.
// Older Proofs that are only partly covered are dropped whole: what was not observed is not proven.
func (g *Group) Put(proofs []Proof, exceptions []Exception) {
	for _, p := range proofs {
		g.Drop(p.Window)
	}
	g.Proofs = append(g.Proofs, proofs...)
	slices.SortFunc(g.Proofs, func(a, b Proof) int { return cmp.Compare(a.Window.Start, b.Window.Start) })
	g.Exceptions = append(g.Exceptions, exceptions...)
	slices.SortStableFunc(g.Exceptions, func(a, b Exception) int { return cmp.Compare(a.Window.Start, b.Window.Start) })
}

// Drop forgets every Proof that overlaps w, with its exceptions, and returns whether there was one.
func (g *Group) Drop(w Window) bool {
	n := len(g.Proofs)
	for _, p := range g.Proofs {
		if p.Window.Overlaps(w) {
			g.Exceptions = slices.DeleteFunc(g.Exceptions, func(e Exception) bool { return e.Window.Overlaps(p.Window) })
		}
	}
	g.Proofs = slices.DeleteFunc(g.Proofs, func(p Proof) bool { return p.Window.Overlaps(w) })
	return len(g.Proofs) != n
}

// Merge joins neighbouring Proofs that lie in the same Cell of the grid and end at or before edge.
func (g *Group) Merge(grid Grid, edge int64) {
	out := g.Proofs[:0]
	for _, p := range g.Proofs {
		if n := len(out); n > 0 && p.Window.Stop <= edge && out[n-1].Window.Stop == p.Window.Start {
			if cell := grid.Cell(p.Window.Start); cell.Covers(p.Window) && cell.Covers(out[n-1].Window) {
				out[n-1] = out[n-1].Join(p)
				for i := range g.Exceptions {
					if out[n-1].Window.Covers(g.Exceptions[i].Window) {
						g.Exceptions[i].Window = out[n-1].Window
					}
				}
				continue
			}
		}
		out = append(out, p)
	}
	if len(out) < len(g.Proofs) {
		g.Exceptions = joined(g.Exceptions)
	}
	g.Proofs = out
}

// joined adds up exceptions that say the same of the same Cell.
func joined(list []Exception) (out []Exception) {
	type what struct {
		Class         Class
		Window        Window
		Field, Reason string
		Type          Type
		Back          Class
	}
	at := map[what]int{}
	for _, x := range list {
		k := what{x.Class, x.Window, x.Field, x.Reason, x.Type, x.Back}
		if i, ok := at[k]; ok {
			out[i].Samples = out[i].Samples.Add(x.Samples)
			continue
		}
		at[k] = len(out)
		out = append(out, x)
	}
	return out
}

// Summary is what a Group adds up to; it can be had without reading the Group.
type Summary struct {
	Measurement string
	Window      Window
	Cells       int
	Source      uint64 // Samples
	Target      uint64
	Excepted    uint64
	Extra       uint64
	AsOf        int64 // the oldest Proof's; 0 without Proofs
	Checked     int64 // the oldest CheckedAt; 0 without Proofs
}

// Summary adds g up.
func (g Group) Summary() Summary {
	s := Summary{Measurement: g.Measurement, Window: g.Window, Cells: len(g.Proofs)}
	for i, p := range g.Proofs {
		s.Source += p.Source.Count
		s.Target += p.Target.Count
		s.Excepted += p.Excepted.Count
		s.Extra += p.Extra.Count
		if i == 0 || p.AsOf < s.AsOf {
			s.AsOf = p.AsOf
		}
		if i == 0 || p.CheckedAt < s.Checked {
			s.Checked = p.CheckedAt
		}
	}
	return s
}

// Refusals are what a target did not take of the lines written to one Chunk.
type Refusals struct {
	Lines map[string]string // canonical lines of one field → the server's words
	// Fields are refused whatever their value: the type of a field is one in a shard group of the target.
	Fields map[RefusedField]string
	Grid   Grid // of the target
	// Unsigned is why the target takes no unsigned integers at all, in the server's words; "" where it does or nobody asked.
	Unsigned string
}

// RefusedField is an escaped field key in one shard group of the target.
type RefusedField struct {
	Key   string
	Group int64 // start
}

// Reason returns why a line of one field was refused, or "". key is its escaped field key, t its time.
func (r Refusals) Reason(key string, t int64, line string) string {
	if why, ok := r.Fields[RefusedField{key, r.Grid.Group(t).Start}]; ok {
		return why
	}
	return r.Lines[line]
}
