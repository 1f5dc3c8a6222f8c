package mirror

import (
	"cmp"
	"slices"
)

// Turn returns what p says in the other direction, where its source is the target.
func (p Proof) Turn() Proof {
	p.Source, p.Target = p.Target, p.Source
	p.Excepted, p.Extra = p.Extra, p.Excepted
	p.AsOf, p.CheckedAt = p.CheckedAt, p.AsOf
	return p
}

// Turn returns what x says in the other direction: what is excepted in one is extra in the other. Extra that nobody tried to send back
// is Unsent there.
func (x Exception) Turn() Exception {
	switch {
	case x.Class == Unsent:
		x.Class, x.Back = Extra, ""
	case x.Class != Extra:
		x.Class, x.Back = Extra, x.Class
	case x.Back == "":
		x.Class = Unsent
	default:
		x.Class, x.Back = x.Back, ""
	}
	return x
}

// Turn returns what g says in the other direction. Everything that is excepted there without a listed reason is listed as Unsent.
func (g Group) Turn() Group {
	out := Group{Measurement: g.Measurement, Window: g.Window}
	for _, x := range g.Exceptions {
		out.Exceptions = append(out.Exceptions, x.Turn())
	}
	added := false
	for _, p := range g.Proofs {
		p = p.Turn()
		out.Proofs = append(out.Proofs, p)
		var listed Fingerprint
		for _, x := range g.Exceptions {
			if x.Class == Extra && p.Window.Covers(x.Window) {
				listed = listed.Add(x.Samples)
			}
		}
		if listed != p.Excepted {
			added = true
			out.Exceptions = append(out.Exceptions, Exception{Class: Unsent, Window: p.Window, Field: AllFields, Reason: "only on the target", Samples: p.Excepted.Sub(listed)})
		}
	}
	if added {
		slices.SortStableFunc(out.Exceptions, func(a, b Exception) int { return cmp.Compare(a.Window.Start, b.Window.Start) })
	}
	return out
}

// DropUnsent forgets the Proofs of Cells in which something could be sent and was not: they are work.
func (g *Group) DropUnsent() {
	var cells []Window
	for _, x := range g.Exceptions {
		if x.Class == Unsent {
			cells = append(cells, x.Window)
		}
	}
	if len(cells) == 0 {
		return
	}
	for _, w := range cells {
		g.Drop(w)
	}
	g.Exceptions = slices.DeleteFunc(g.Exceptions, func(x Exception) bool { return x.Class == Unsent })
	if len(g.Exceptions) == 0 {
		g.Exceptions = nil
	}
	if len(g.Proofs) == 0 {
		g.Proofs = nil
	}
}
