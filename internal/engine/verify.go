package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// Verify compares both sides and reports; it writes to neither. full reads every Sample again; otherwise Proofs are believed
// where the servers still count what was proven. What it finds becomes work for the next Pass.
func (m *Mirror) Verify(ctx context.Context, full bool) (Verdict, error) {
	e, err := m.probe(ctx)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Mirror: m.Name, Date: e.src.Date, Source: e.src, Target: e.dst, Rows: map[Row]Tally{}, Unreadable: map[string]string{}}
	m.restarted(e)
	v.loading = m.loading(e)
	clear(m.doubted)
	if err := m.exchanged(ctx, e); err != nil {
		return v, err
	}
	if err := m.doubtful(ctx, e); err != nil {
		return v, err
	}
	found, err := m.count(ctx, e, &v)
	if err != nil {
		return v, err
	}
	keys := slices.SortedFunc(maps.Keys(found), func(a, b key) int {
		return cmp.Or(cmp.Compare(a.measurement, b.measurement), cmp.Compare(a.start, b.start))
	})
	m.observe(Event{Kind: "count", Left: len(keys), Samples: m.toRead(e, found, full)})
	dirty := false
	for i, k := range keys {
		m.observe(Event{Kind: "verify", Left: len(keys) - i})
		wrong, err := m.verifyGroup(ctx, e, &v, k, found[k], full || m.doubted[k])
		if err != nil {
			return v, err
		}
		dirty = dirty || wrong
	}
	if dirty {
		m.seen.Whole = 0
		if err := note(ctx, m.ledger, m.seen); err != nil {
			return v, err
		}
	}
	return v, nil
}

// toRead adds up the Samples that Verify will read again at the source.
func (m *Mirror) toRead(e ends, found map[key]counted, full bool) (n uint64) {
	for k, c := range found {
		s := m.summary(k)
		w := e.policy.Grid.Group(k.start)
		switch {
		case w.Stop <= e.policy.Since, w.Start >= e.policy.Until:
		case full, s.Cells > 0 && (s.Source != c.source || s.Target != c.target):
			n += c.source
		}
	}
	return n
}

// count surveys both sides by shard group; what is filtered or before since goes straight into its row.
func (m *Mirror) count(ctx context.Context, e ends, v *Verdict) (map[key]counted, error) {
	grid := e.policy.Grid
	found := map[key]counted{}
	filtered := map[key]counted{}
	for side, s := range []Source{m.source, m.target} {
		req := mirror.SurveyRequest{Window: mirror.Axis, Width: grid.Duration(), Offset: grid.Offset()}
		err := s.Survey(ctx, req, func(n mirror.Count) error {
			if n.Unreadable != "" {
				if side == 0 && m.wanted(n.Measurement) {
					v.Unreadable[n.Measurement] = n.Unreadable
				}
				return nil
			}
			into := found
			if !m.wanted(n.Measurement) {
				into = filtered
			}
			k := key{n.Measurement, grid.Group(n.Window.Start).Start}
			c := into[k]
			if side == 0 {
				c.source += n.Samples
			} else {
				c.target += n.Samples
			}
			into[k] = c
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, c := range filtered {
		v.put(Filtered, c.source, 1)
		v.Union += c.source
	}
	return found, nil
}

func (v *Verdict) put(r Row, samples uint64, windows int) {
	t := v.Rows[r]
	t.Samples += samples
	t.Windows += windows
	v.Rows[r] = t
}

// stands puts a window that was read into its Row.
func (v *Verdict) stands(r Row, c mirror.Chunk) {
	t := v.Rows[r]
	if t.Windows++; r != Identical && len(t.Places) < maxPlaces {
		t.Places = append(t.Places, Place{c.Measurement, c.Window})
	}
	v.Rows[r] = t
}

// verifyGroup compares one measurement in one shard group and reports whether a Proof turned out wrong.
func (m *Mirror) verifyGroup(ctx context.Context, e ends, v *Verdict, k key, c counted, full bool) (bool, error) {
	w := e.policy.Grid.Group(k.start)
	g, err := m.ledger.Group(ctx, k.measurement, w)
	if err != nil {
		return false, err
	}
	if w.Stop <= e.policy.Since {
		v.put(BeforeRow, c.source, 1)
		v.Union += c.source
		return false, nil
	}
	if w.Start >= e.policy.Until {
		v.put(AfterRow, c.source, 1)
		v.Union += c.source
		return false, nil
	}
	sum := g.Summary()
	if !full && sum.Cells > 0 && sum.Source == c.source && sum.Target == c.target {
		for _, p := range g.Proofs {
			v.proven(p, g)
		}
		return false, nil
	}
	if m.Recover && sum.Cells == 0 && c.source == 0 { // nothing to give back: what the receiver was written meanwhile
		v.put(Kept, c.target, 1)
		v.Union += c.target
		return false, nil
	}
	cut := w.Contains(e.policy.Since-1) || w.Contains(e.policy.Until) // perhaps nothing of what is asked for
	if !full && sum.Cells == 0 && w.Stop > e.policy.TargetFloor && !cut {
		before := v.Sum().Samples
		wrong, err := m.verifyYoung(ctx, e, v, g)
		read := v.Sum().Samples - before
		if held := max(c.source, c.target); held > read {
			v.put(NotChecked, held-read, 1)
			v.Union += held - read
		}
		return wrong, err
	}
	wrong := false
	allowed := enumerated(g)
	chunks := m.verifyChunks(e, w, max(c.source, c.target), m.young(e, g))
	for _, chunk := range chunks {
		chunk.Measurement = k.measurement
		bad, err := m.verifyChunk(ctx, e, v, g, chunk, allowed)
		if err != nil {
			return wrong, err
		}
		wrong = wrong || bad
	}
	return wrong, nil
}

// verifyChunks cuts a shard group at the edges of the policy and at young, and into parts of a fair size.
func (m *Mirror) verifyChunks(e ends, w mirror.Window, samples uint64, young int64) (out []mirror.Chunk) {
	p := e.policy
	width := p.Grid.Width()
	parts := int64(samples/p.MaxSamples) + 1
	step := max(width, (int64(w.Width())/parts/width+1)*width)
	for _, at := range []int64{p.Since, p.Until, p.TargetFloor, p.SourceFloor, young, p.Edge, p.Horizon} {
		if w.Start < at && at < w.Stop {
			out = append(out, m.verifyChunks(e, mirror.Window{Start: w.Start, Stop: at}, samples, young)...)
			w.Start = at
		}
	}
	for start := w.Start; start < w.Stop; {
		stop := w.Stop
		if uint64(w.Stop)-uint64(start) > uint64(step) {
			stop = start + step
		}
		out = append(out, mirror.Chunk{Window: mirror.Window{Start: start, Stop: stop}, Width: width})
		start = stop
	}
	return out
}

// proven counts a Proof that is believed.
func (v *Verdict) proven(p mirror.Proof, g mirror.Group) {
	v.put(Identical, p.Source.Count-p.Excepted.Count, 0)
	v.Union += p.Source.Count + p.Extra.Count
	worst := Identical
	v.exceptions(p, g, &worst)
	v.put(worst, 0, 1)
	if v.Oldest == 0 || p.AsOf < v.Oldest {
		v.Oldest = p.AsOf
	}
}

// exceptions counts what a Proof leaves out.
func (v *Verdict) exceptions(p mirror.Proof, g mirror.Group, worst *Row) {
	var listed uint64
	for _, x := range g.Exceptions {
		if !p.Window.Covers(x.Window) {
			continue
		}
		r := Kept
		switch x.Class {
		case mirror.Refused:
			r = RefusedRow
		case mirror.Unwritable:
			r = Unwritable
		case mirror.Expired:
			r = ExpiredRow
		case mirror.Kept:
			r = OwnRow
		}
		if x.Class != mirror.Extra {
			listed += x.Samples.Count
		}
		v.put(r, x.Samples.Count, 0)
		if t := v.Rows[r]; t.Note == "" && r != Kept {
			t.Note = x.Reason
			v.Rows[r] = t
		}
		*worst = worse(*worst, r)
	}
	if listed != p.Excepted.Count { // never hidden
		v.put(NotChecked, p.Excepted.Count-listed, 0)
		*worst = NotChecked
	}
}

func worse(a, b Row) Row {
	if slices.Index(badness, a) < slices.Index(badness, b) {
		return b
	}
	return a
}

// verifyChunk reads both sides again.
func (m *Mirror) verifyChunk(ctx context.Context, e ends, v *Verdict, g mirror.Group, c mirror.Chunk, allowed allowances) (bool, error) {
	var src, dst mirror.Reading
	err := m.again(ctx, time.Time{}, plan.Transfer{}, func() (err error) { src, err = m.source.Read(ctx, c, nil); return err })
	if err == nil {
		err = m.again(ctx, time.Time{}, plan.Transfer{}, func() (err error) { dst, err = m.target.Read(ctx, c, nil); return err })
	}
	if mirror.KindOf(err) == mirror.MultiShard && c.Window.Width() > 1 {
		return m.verifyHalves(ctx, e, v, g, c, allowed)
	}
	if err != nil {
		return false, err
	}
	v.Reread += src.Total().Count
	wrong, young, p := false, m.young(e, g), m.passed(e)
	for i := range src.Cells {
		s, t := src.Cells[i], dst.Cells[i]
		cell := mirror.Chunk{Measurement: c.Measurement, Window: c.Cell(i), Width: c.Width}
		special := Row("")
		switch w := cell.Window; {
		case w.Stop <= p.Since:
			special = BeforeRow
		case w.Start >= p.Until:
			special = AfterRow
		case w.Stop <= p.TargetFloor:
			special = ExpiredRow
		case w.Start >= young && w.Start < p.Horizon:
			special = OpenRow
		}
		behind := cell.Window.Stop <= p.SourceFloor // what is proven there stays as it is
		if m.Beside && s != t && special == "" && !behind {
			late, err := m.late(ctx, g.Window, cell, s, t)
			if err == nil && late {
				var open bool
				s, t, open, err = m.awaited(ctx, v, mirror.Chunk{Measurement: c.Measurement, Window: cell.Window, Width: int64(cell.Window.Width())}, s, t)
				if open {
					special = OpenRow
				}
			}
			if err != nil {
				return wrong, err
			}
		}
		switch {
		case s.IsZero() && t.IsZero():
		case s == t:
			v.put(Identical, s.Count, 1)
			v.Union += s.Count
		case special != "":
			v.put(special, max(s.Count, t.Count), 0)
			v.stands(special, cell)
			v.Union += max(s.Count, t.Count)
		default:
			bad, err := m.verifyCell(ctx, v, cell, share{}, allowed, behind)
			if err != nil {
				return wrong, err
			}
			if bad && !behind {
				wrong = true
				if err := m.forget(ctx, c.Measurement, g.Window, cell.Window); err != nil {
					return wrong, err
				}
			}
		}
	}
	return wrong, nil
}

// verifyHalves verifies a window that lies in several shards in two parts.
func (m *Mirror) verifyHalves(ctx context.Context, e ends, v *Verdict, g mirror.Group, c mirror.Chunk, allowed allowances) (bool, error) {
	at := c.Window.Middle()
	if n := c.Cells(); n > 1 {
		at = c.Cell(n / 2).Start
	}
	wrong := false
	for _, h := range cutAt(plan.Transfer{Chunk: c}, at) {
		bad, err := m.verifyChunk(ctx, e, v, g, h.Chunk, allowed)
		if err != nil {
			return wrong, err
		}
		wrong = wrong || bad
	}
	return wrong, nil
}

// verifyCell compares one Cell sample by sample and reports whether anything is wrong that was not enumerated before. behind: the
// source's retention may delete the Cell at any moment.
func (m *Mirror) verifyCell(ctx context.Context, v *Verdict, c mirror.Chunk, sh share, allowed allowances, behind bool) (bool, error) {
	var src, dst *lines
	for try := 1; ; try++ {
		err := m.again(ctx, time.Time{}, plan.Transfer{}, func() (err error) { src, dst, err = m.both(ctx, c, sh); return err })
		if err != nil {
			return false, err
		}
		if src.over || dst.over || !src.reading.Live {
			break
		}
		if try == maxTries { // no two reads of it come to the same: what differs cannot be told from what has just been written
			n := uint64(max(len(src.set), len(dst.set), 1))
			v.put(NotChecked, n, 0)
			v.stands(NotChecked, c)
			v.Union += n
			t := v.Rows[NotChecked]
			t.Note = cmp.Or(t.Note, "somebody writes there now")
			v.Rows[NotChecked] = t
			return false, nil
		}
	}
	if src.over || dst.over {
		wrong := false
		halves := []mirror.Window{{Start: c.Window.Start, Stop: c.Window.Middle()}, {Start: c.Window.Middle(), Stop: c.Window.Stop}}
		shares := []share{sh}
		if c.Window.Width() < 2 { // an instant: part of its series at a time
			if halves, shares = []mirror.Window{c.Window}, sh.split(); sh.of > maxShares {
				return false, fmt.Errorf("%s holds too much of %q at one instant", c.Window, c.Measurement)
			}
		}
		for _, w := range halves {
			for _, sh := range shares {
				bad, err := m.verifyCell(ctx, v, mirror.Chunk{Measurement: c.Measurement, Window: w, Width: int64(w.Width())}, sh, allowed, behind)
				if err != nil {
					return wrong, err
				}
				wrong = wrong || bad
			}
		}
		return wrong, nil
	}
	missing, more := src.without(dst), dst.without(src)
	both := uint64(len(src.set) - len(missing))
	worst := Identical
	if sh.i == 0 {
		var s settlement
		for _, x := range src.reading.Unwritable {
			both += x.Samples.Count
		}
		s.unwritable(c, src.reading.Unwritable, dst.reading.Unwritable)
		both -= s.excepted.Count
		for _, x := range s.exceptions {
			row := Unwritable
			if x.Class == mirror.Extra {
				row = Kept
			}
			v.put(row, x.Samples.Count, 0)
			v.Union += x.Samples.Count
			worst = worse(worst, row)
		}
	}
	v.put(Identical, both, 0)
	v.Union += both
	refused, err := allowed.take(mirror.Refused, missing)
	if err != nil {
		return false, err
	}
	kept, err := allowed.take(mirror.Kept, missing)
	if err != nil {
		return false, err
	}
	at := map[string]string{} // series, field and time → line of the target
	for _, line := range more {
		at[position(line)] = line
	}
	wrong := false
	for _, line := range missing {
		other := at[position(line)]
		v.Union++
		if kept[line] && other != "" {
			v.put(OwnRow, 1, 0)
			worst = worse(worst, OwnRow)
			continue
		}
		delete(at, position(line))
		if refused[line] {
			v.put(RefusedRow, 1, 0)
			worst = worse(worst, RefusedRow)
			continue
		}
		if behind && other == "" {
			v.put(GoneRow, 1, 0)
			worst = worse(worst, GoneRow)
			continue
		}
		wrong, worst = true, Different
		v.put(Different, 1, 0)
		v.differs(c.Measurement, line, other)
	}
	rest := slices.Sorted(maps.Values(at))
	extra, err := allowed.take(mirror.Extra, rest)
	if err != nil {
		return false, err
	}
	for _, line := range rest {
		v.Union++
		row := Kept
		switch {
		case extra[line]:
		case v.loading:
			row = NotChecked // the source may not show it yet
		default:
			wrong = true // it is enumerated by the next Pass
		}
		v.put(row, 1, 0)
		worst = worse(worst, row)
	}
	v.stands(worst, c)
	return wrong, nil
}

func (v *Verdict) differs(measurement, source, target string) {
	if len(v.Differences) < maxDifferences {
		v.Differences = append(v.Differences, Difference{measurement, strings.TrimSuffix(source, "\n"), strings.TrimSuffix(target, "\n")})
	}
}

// position is a line of one field without its value.
func position(line string) string {
	s, err := lineproto.Parse([]byte(line))
	if err != nil {
		return line
	}
	s.Type, s.Text, s.Bits = mirror.Integer, "", 0
	return string(lineproto.AppendLine(nil, &s))
}
