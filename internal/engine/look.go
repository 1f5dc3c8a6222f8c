package engine

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// SeenNote is the note of what lets work be skipped. Without it everything is looked at again.
const SeenNote = "seen"

const (
	second = int64(1e9)
	// stillFor is how long a write counter must rest before what it counted is believed to be visible (facts 23).
	stillFor = 30 * second
	// wholeEvery is the longest time between surveys of the whole axis.
	wholeEvery = 24 * 3600 * second
	// wholeBlind is the shortest time between them where no counter tells whether anything changed, unless asked for.
	wholeBlind = 900 * second
	// surveyShare: a survey of the whole axis may take this part of the time: 1/50 is 2 %.
	surveyShare = 50
	// rereadEvery is the shortest time between two reads of the shard group that is being written, for the sake of its counter,
	// in run; rereadOld of an older one that somebody keeps writing to. Once more when its counter has come to rest.
	rereadEvery = 3600 * second
	rereadOld   = 600 * second
)

// seen is what the last Pass saw of the servers: hints to skip work, never a proof.
type seen struct {
	Source, Target mirror.Counters
	Moved          map[string]int64         // shards of the source → source clock when the counter last moved
	SourceShards   map[string]mirror.Window // where each shard's data lies
	TargetShards   map[string]mirror.Window
	Whole          int64            // source clock of the last survey of the whole axis; 0 asks for one
	Took           int64            // how long it took
	Digest         string           // of the Settings it was seen under
	Backlog        bool             // something was unsettled: a new process has to look everywhere
	Restarted      int64            // source clock when its server was found restarted; 0: never
	TargetAt       int64            // target clock when it was last seen
	TargetMoved    map[string]int64 // shards of the target that another hand wrote to → target clock when that was last seen
	Doubt          doubt            // what the target may have lost in a restart
	// Others is what was seen under other Settings, by their Digest.
	Others map[string]seen `json:",omitempty"`
}

// scope says where a Pass has to look.
type scope struct {
	whole   bool            // the whole axis
	windows []mirror.Window // else only these, by time
	reread  []mirror.Window // shard groups written to since they were proven: counts alone do not clear them
	restart bool            // the target was restarted
	still   []string        // shards whose counter has been at rest long enough for this look to see all it counted
	again   map[key]bool    // slots whose reread is still to be done from an earlier Pass
	sums    bool            // no counters: compare numeric sums
}

// scope decides by the write counters, if both servers tell them, where anything can have changed.
func (m *Mirror) scope(e ends, insist bool) scope {
	var s scope
	s.sums = !e.src.Counters.Known()
	if m.seenKnown && m.seen.Target.Started != "" && e.dst.Counters.Started != "" && m.seen.Target.Started != e.dst.Counters.Started {
		s.restart = true
	}
	src, okSource := m.seen.Source.Moved(e.src.Counters)
	dst, okTarget := m.seen.Target.Moved(e.dst.Counters)
	now := e.src.Date
	m.foreign(e, dst, s.restart)
	if !okSource && m.seenKnown && m.seen.Source.Known() {
		s.sums = true // restarted: what was written meanwhile was not counted
	}
	if !m.seenKnown && len(m.sums) > 0 && !m.Recover || m.uncounted && !m.compared {
		s.sums = true // proven, and nobody remembers what the counters were then
	}
	age := now - m.seen.Whole
	switch blind := m.seenKnown && !(e.src.Counters.Known() && e.dst.Counters.Known()); {
	case insist || !m.seenKnown || m.seen.Whole == 0 || m.seen.Digest != m.Seen() || age > wholeEvery || age < 0:
		s.whole = true
	case blind:
		// No counters to go by: the newest groups each time, everything as often as the survey's own cost allows.
		s.whole = age > max(wholeBlind, surveyShare*m.seen.Took)
		newest := e.policy.Grid.Group(e.policy.Edge)
		s.windows = append(s.windows, newest, e.policy.Grid.Group(newest.Start-1))
	case !okSource || !okTarget:
		s.whole = true
	}
	if m.seen.Moved == nil {
		m.seen.Moved = map[string]int64{}
	}
	if !okSource && e.src.Counters.Known() && m.seenKnown {
		for id, n := range e.src.Counters.Shards {
			if n > 0 { // since the restart
				src = append(src, id)
			}
		}
	}
	for _, id := range src {
		m.seen.Moved[id] = now
	}
	live := e.policy.Grid.Group(now)
	for id, at := range m.seen.Moved {
		if _, ok := e.src.Counters.Shards[id]; !ok {
			delete(m.seen.Moved, id)
			continue
		}
		w, known := m.seen.SourceShards[id]
		if !known {
			s.whole = s.whole || !m.lost[0][id] || age > wholeBlind
			continue
		}
		still, pause := now-at > stillFor, rereadOld
		due := still
		if w.Overlaps(live) {
			due, pause = false, rereadEvery
		}
		if due = due || insist || now-m.reread[w.Start] > pause; due {
			s.reread = append(s.reread, w)
		}
		if due && still {
			s.still = append(s.still, id)
		}
		if due || !still {
			s.windows = append(s.windows, w)
		}
	}
	for _, id := range dst {
		if w, ok := m.seen.TargetShards[id]; ok {
			s.windows = append(s.windows, w)
		} else {
			s.whole = s.whole || !m.lost[1][id] || age > wholeBlind
		}
	}
	for k := range m.backlog {
		s.windows = append(s.windows, e.policy.Grid.Group(k.start))
	}
	if len(s.windows) > 0 {
		// The tail moves on with the clock: what was open then has closed now.
		s.windows = append(s.windows, e.policy.Grid.Group(e.policy.Edge), live)
	}
	slices.SortFunc(s.windows, func(a, b mirror.Window) int { return cmp.Compare(a.Start, b.Start) })
	s.windows = slices.Compact(s.windows)
	return s
}

// Seen tells apart what Mirrors of one pair have seen: it is of the settings that decide what is mirrored at all.
func (s Settings) Seen() string {
	if s.Since == 0 {
		s.Since = mirror.MinTime
	}
	return fmt.Sprint(s.Since, " ", s.Digest)
}

// counted is what the two surveys say of one measurement in one shard group.
type counted struct {
	source, target uint64
	digest         [2]uint64
}

// look surveys both sides where the scope says and returns the slots that need work.
func (m *Mirror) look(ctx context.Context, e ends, sc scope) ([]plan.Slot, error) {
	found := map[key]*counted{}
	grid := e.policy.Grid
	windows := sc.windows
	if sc.whole {
		windows = []mirror.Window{mirror.Axis}
	}
	var totals [2]uint64
	for side, s := range []Source{m.source, m.target} {
		for _, w := range joined(windows) {
			req := mirror.SurveyRequest{Window: w, Width: grid.Duration(), Offset: grid.Offset(), Sums: sc.sums}
			err := s.Survey(ctx, req, func(n mirror.Count) error {
				if side == 0 || m.wanted(n.Measurement) { // a target may be shared
					totals[side] += n.Samples
				}
				if n.Unreadable != "" || !m.wanted(n.Measurement) {
					return nil
				}
				k := key{n.Measurement, grid.Group(n.Window.Start).Start}
				c := found[k]
				if c == nil {
					c = &counted{}
					found[k] = c
				}
				if side == 0 {
					c.source += n.Samples
				} else {
					c.target += n.Samples
				}
				c.digest[side] ^= n.Digest
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	if sc.whole {
		if err := m.believe(ctx, e, totals); err != nil {
			return nil, err
		}
		if err := m.locate(ctx, e, found); err != nil {
			return nil, err
		}
		if m.Recover {
			again, err := m.overtaken(ctx, e)
			if err != nil {
				return nil, err
			}
			sc.reread = append(sc.reread, again...)
		}
	}
	return m.slots(ctx, e, sc, found)
}

// joined merges windows that touch.
func joined(ws []mirror.Window) (out []mirror.Window) {
	for _, w := range ws {
		if n := len(out); n > 0 && w.Start <= out[n-1].Stop {
			out[n-1].Stop = max(out[n-1].Stop, w.Stop)
			continue
		}
		out = append(out, w)
	}
	return out
}

// locate learns which shard holds which shard group, where the endpoint can tell, for groups it does not know yet. Shards that are
// not found so ask for a look at the whole axis, but not in every Pass.
func (m *Mirror) locate(ctx context.Context, e ends, found map[key]*counted) error {
	for side, s := range []Source{m.source, m.target} {
		l, ok := s.(Locator)
		if !ok {
			continue
		}
		known, counters := &m.seen.SourceShards, e.src.Counters.Shards
		if side == 1 {
			known, counters = &m.seen.TargetShards, e.dst.Counters.Shards
		}
		mapped := map[mirror.Window]bool{}
		for id, w := range *known {
			if _, alive := counters[id]; !alive {
				delete(*known, id)
				continue
			}
			mapped[w] = true
		}
		if *known == nil {
			*known = map[string]mirror.Window{}
		}
		// The smallest measurements of a group are the cheapest to ask for. One would do, but for groups that an older duration cut differently.
		type candidate struct {
			measurement string
			samples     uint64
		}
		groups := map[mirror.Window][]candidate{}
		for k, c := range found {
			n := c.source
			if side == 1 {
				n = c.target
			}
			if w := e.policy.Grid.Group(k.start); n > 0 && !mapped[w] {
				groups[w] = append(groups[w], candidate{k.measurement, n})
			}
		}
		at := map[mirror.Window][]string{}
		for w, list := range groups {
			slices.SortFunc(list, func(a, b candidate) int {
				return cmp.Or(cmp.Compare(a.samples, b.samples), cmp.Compare(a.measurement, b.measurement))
			})
			for _, c := range list[:min(len(list), 3)] {
				at[w] = append(at[w], c.measurement)
			}
		}
		if len(at) > 0 {
			shards, err := l.Locate(ctx, at)
			if err != nil {
				return err
			}
			for id, w := range shards {
				(*known)[id] = w
			}
		}
		m.lost[side] = map[string]bool{}
		for id := range counters {
			if _, ok := (*known)[id]; !ok {
				m.lost[side][id] = true
			}
		}
	}
	return nil
}

// slots picks what is not settled and surveys it finely where Proofs or size ask for it.
func (m *Mirror) slots(ctx context.Context, e ends, sc scope, found map[key]*counted) ([]plan.Slot, error) {
	grid, p := e.policy.Grid, e.policy
	looked := func(w mirror.Window) bool {
		return sc.whole || slices.ContainsFunc(sc.windows, func(v mirror.Window) bool { return v.Overlaps(w) })
	}
	for k, s := range m.sums { // what was proven and is gone on both sides shows in no survey
		if found[k] == nil && looked(s.Window) && m.wanted(k.measurement) {
			found[k] = &counted{}
		}
	}
	var slots []plan.Slot
	fine := map[mirror.Window][]int{} // shard group → slots to survey by Cell
	for _, k := range slices.SortedFunc(maps.Keys(found), key.compare) {
		c, w := found[k], grid.Group(k.start)
		if w.Stop <= p.Floor() || w.Start >= p.Until {
			continue
		}
		sum := m.sums[k]
		sum.Window = w
		reread := slices.ContainsFunc(sc.reread, func(v mirror.Window) bool { return v.Overlaps(w) }) && sum.Cells > 0 || sc.again[k]
		live := w.Stop > p.Edge-mergeAge && w.Start < p.Horizon
		differ := sc.sums && c.digest[0] != c.digest[1] && sum.Cells > 0 && m.explained[cell{k.measurement, w.Start}] != [2]sums{{c.digest[0], c.source}, {c.digest[1], c.target}}
		if p.Settled(sum, c.source, c.target) && !reread && !differ && !(live && c.source > 0 && sc.moved(w)) {
			delete(m.backlog, k)
			continue
		}
		m.looked[k] = c.source
		if m.shrank(e, sum, c.source, c.target, &m.shrunk) {
			continue
		}
		s := plan.Slot{Group: mirror.Group{Measurement: k.measurement, Window: w}}
		if sum.Cells > 0 {
			g, err := m.ledger.Group(ctx, k.measurement, w)
			if err != nil {
				return nil, err
			}
			s.Group = g
		}
		if reread {
			s.Reread = plan.Changed
		}
		if sum.Cells > 0 || live || c.source > p.MaxSamples || w.Start < p.Floor() || w.Contains(p.Until) {
			fine[w] = append(fine[w], len(slots))
		} else {
			s.Cells = []plan.Cell{{Window: w, Source: c.source, Target: c.target}}
		}
		slots = append(slots, s)
	}
	for _, w := range slices.SortedFunc(maps.Keys(fine), mirror.Window.Compare) {
		if err := m.fine(ctx, e, sc, w, slots, fine[w]); err != nil {
			return nil, err
		}
	}
	return slots, nil
}

func (s scope) moved(w mirror.Window) bool {
	return s.whole || slices.ContainsFunc(s.windows, func(v mirror.Window) bool { return v.Overlaps(w) })
}

// fine surveys the listed slots of one shard group by Cell, and by minutes where a Cell is open or proven in part.
func (m *Mirror) fine(ctx context.Context, e ends, sc scope, group mirror.Window, slots []plan.Slot, list []int) error {
	p := e.policy
	w := group
	w.Start = max(w.Start, p.Since)
	byName := map[string]*plan.Slot{}
	var names []string
	for _, i := range list {
		s := &slots[i]
		byName[s.Group.Measurement] = s
		names = append(names, s.Group.Measurement)
	}
	slices.Sort(names)
	open := p.Grid.Cell(p.Edge - 1).Span(mirror.Window{Start: p.Edge, Stop: p.Horizon})
	sums := sc.sums || (group.Start < p.Horizon && group.Stop > p.Edge)
	cells, err := m.survey(ctx, names, w, p.Grid.Width(), e, sums)
	if err != nil {
		return err
	}
	// Cells that Proofs cover in part are surveyed by minutes, so that only what is new is read.
	minutes := map[mirror.Window][]string{}
	for _, name := range names {
		for _, c := range cells[name] {
			if c.Window.Overlaps(open) || c.Window.Contains(p.Floor()) || c.Window.Contains(p.Until) || partly(byName[name].Group.Proofs, c) {
				minutes[c.Window] = append(minutes[c.Window], name)
			}
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(minutes), mirror.Window.Compare) {
		some := minutes[at]
		more, err := m.survey(ctx, some, at, mirror.TailWidth, e, sums)
		if err != nil {
			return err
		}
		for _, name := range some {
			cells[name] = slices.DeleteFunc(cells[name], func(c plan.Cell) bool { return c.Window == at })
			cells[name] = append(cells[name], more[name]...)
		}
	}
	for _, name := range names {
		list := cells[name]
		slices.SortFunc(list, func(a, b plan.Cell) int { return cmp.Compare(a.Window.Start, b.Window.Start) })
		byName[name].Cells = list
	}
	return nil
}

// partly reports whether Proofs cover some of a Cell, but not all of it, and not everything the servers count in it.
func partly(proofs []mirror.Proof, c plan.Cell) bool {
	var source, target uint64
	part := false
	for _, p := range proofs {
		if p.Window.Overlaps(c.Window) {
			source += p.Source.Count
			target += p.Target.Count
			part = part || p.Window.Width() < c.Window.Width()
		}
	}
	return part && (c.Differ || source != c.Source || target != c.Target)
}

// survey asks both sides and pairs their answers.
func (m *Mirror) survey(ctx context.Context, names []string, w mirror.Window, width int64, e ends, digests bool) (map[string][]plan.Cell, error) {
	all := map[cell]*plan.Cell{}
	seen := map[cell]*[2]sums{}
	req := mirror.SurveyRequest{Measurements: names, Window: w, Width: width, Offset: mod(e.policy.Grid.Offset(), width), Sums: digests}
	for side, s := range []Source{m.source, m.target} {
		err := s.Survey(ctx, req, func(n mirror.Count) error {
			k := cell{n.Measurement, n.Window.Start}
			if all[k] == nil {
				all[k], seen[k] = &plan.Cell{Window: n.Window}, &[2]sums{}
			}
			seen[k][side] = sums{seen[k][side].digest ^ n.Digest, seen[k][side].samples + n.Samples}
			if side == 0 {
				all[k].Source += n.Samples
			} else {
				all[k].Target += n.Samples
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	out := map[string][]plan.Cell{}
	for k, c := range all {
		if d := *seen[k]; digests && d[0] != d[1] {
			c.Differ = m.explained[k] != d
			m.pending[k] = d
		}
		out[k.measurement] = append(out[k.measurement], *c)
	}
	return out, nil
}

// explain remembers that the sums of t's Cells differ between the sides although every Sample was compared.
func (m *Mirror) explain(t plan.Transfer) {
	for k, d := range m.pending {
		if k.measurement == t.Chunk.Measurement && t.Chunk.Window.Contains(k.start) {
			m.explained[k] = d
			delete(m.pending, k)
		}
	}
}

func mod(a, b int64) int64 { return (a%b + b) % b }
