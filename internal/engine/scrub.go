package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// Scrub is how old a Proof may become on each side before that side is read again and compared; 0 is never.
type Scrub struct{ Target, Source time.Duration }

const (
	// scrubShare: scrubbing takes this part of the time at most, of each side: 1/50 is 2 %.
	scrubShare = 50
	// scrubSlice and syncSlice are the most that one Pass of run, and of sync, scrubs of each side.
	scrubSlice = 5 * time.Second
	syncSlice  = time.Minute
	// Every Proof is read again once in 3/4 of the period, those that are oldest first, spread evenly. None is that is younger than 1/10 of it, and
	// where that was not enough those older than 9/10 go as fast as scrubShare allows.
	scrubNumerator, scrubDenominator = 3, 4

	// scrubNote is the note of the allowance of the target's scrub; the source's has its side behind it.
	scrubNote = "scrub"
	// scrubAgain is the longest time between two looks for what is old.
	scrubAgain = 3600 * second
)

// aged adds up what a Pass did because of age and doubt.
type aged struct {
	Target uint64 // Samples read there again
	Wrong  int    // Proofs that were not true there any more
	Differ uint64 // Samples that a scrub of both sides found missing or different, and wrote
}

// allotment is how much may be scrubbed. What is old is known by the Proofs: losing this costs nothing.
type allotment struct {
	At      int64   // the side's clock
	Owed    int64   // ns of its time that were taken beyond the share; below 0: that may be taken
	Samples float64 // that may be read
}

// scrubber goes round one side. One goroutine uses it.
type scrubber struct {
	side   mirror.Side
	period int64
	note   string
	loaded bool
	may    allotment
	total  float64 // Samples
	order  []mirror.Summary
	looked int64 // the side's clock when order was made
}

// date is when a group was last read on the side, of its oldest Proof.
func (s *scrubber) date(g mirror.Summary) int64 {
	if s.side == mirror.SourceSide {
		return g.AsOf
	}
	return g.Checked
}

func (s *scrubber) dateOf(p mirror.Proof) int64 {
	if s.side == mirror.SourceSide {
		return p.AsOf
	}
	return p.CheckedAt
}

// grow adds what the time since the last call allows.
func (s *scrubber) grow(now int64, most time.Duration) {
	dt := now - s.may.At
	if s.may.At == 0 || dt < 0 {
		dt = 0
	}
	s.may.At = now
	s.may.Owed = max(s.may.Owed-dt/scrubShare, -int64(most))
	s.may.Samples = min(s.may.Samples+s.total*float64(dt)*scrubDenominator/scrubNumerator/float64(s.period), s.total)
}

// age is how long ago date was. What is of a time to come was dated by a clock that was wrong: nobody knows how old it is.
func (s *scrubber) age(date, now int64) int64 {
	if date > now+scrubAgain {
		return s.period
	}
	return now - date
}

// again is how soon the scrubber looks anew for what is old, and tries what could not be read.
func (s *scrubber) again() int64 { return min(scrubAgain, s.period/20) }

// due reports whether something as old as date may be read now.
func (s *scrubber) due(date, now int64) bool {
	age := s.age(date, now)
	return s.may.Owed < 0 && age >= s.period/10 && (s.may.Samples > 0 || age >= s.period/10*9)
}

// scrub reads a little again in each Pass, and compares it with what was proven: the target, and the source too where that is asked for.
func (m *Mirror) scrub(ctx context.Context, e ends, g Goal, r *Report) error {
	if m.Recover {
		return nil
	}
	for _, s := range m.scrubbers() {
		if s.side == mirror.SourceSide && m.loading(e) {
			continue
		}
		if err := m.scrubSide(ctx, e, s, g, r); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mirror) scrubbers() []*scrubber {
	if m.scrubs == nil {
		m.scrubs = []*scrubber{}
		if m.Scrub.Target > 0 {
			m.scrubs = append(m.scrubs, &scrubber{side: mirror.TargetSide, period: int64(m.Scrub.Target), note: scrubNote})
		}
		if m.Scrub.Source > 0 {
			m.scrubs = append(m.scrubs, &scrubber{side: mirror.SourceSide, period: int64(m.Scrub.Source), note: scrubNote + " source"})
		}
	}
	return m.scrubs
}

// prepare brings a scrubber up to date: what may be read now, and the shard groups by age.
func (m *Mirror) prepare(ctx context.Context, e ends, s *scrubber, most time.Duration) (now int64, err error) {
	if now = e.dst.Date; s.side == mirror.SourceSide {
		now = e.src.Date
	}
	if !s.loaded {
		if _, err := m.ledger.State(ctx, s.note, &s.may); err != nil {
			return now, err
		}
		if s.loaded = true; s.may.At == 0 {
			s.may.At = now
			if err := m.ledger.SetState(ctx, s.note, s.may); err != nil {
				return now, err
			}
		}
	}
	if s.looked == 0 || now-s.looked >= s.again() || now < s.looked {
		s.looked, s.order, s.total = now, nil, 0
		for _, g := range m.ordered() {
			if g.Cells == 0 || g.Window.Stop <= e.policy.Floor() || g.Window.Start >= e.policy.Until {
				continue
			}
			n := g.Target
			if s.side == mirror.SourceSide {
				n = g.Source
			}
			s.total += float64(n)
			if s.age(s.date(g), now)+s.again() >= s.period/10 {
				s.order = append(s.order, g)
			}
		}
		slices.SortStableFunc(s.order, func(a, b mirror.Summary) int {
			return cmp.Compare(s.age(s.date(b), now), s.age(s.date(a), now))
		})
	}
	s.grow(now, most)
	if len(s.order) == 0 && s.may.Samples > 0 && s.looked == now { // what nobody needed is not saved up
		s.may.Samples = 0
		return now, m.ledger.SetState(ctx, s.note, s.may)
	}
	return now, nil
}

// old returns the Proofs of a shard group that are read again together: those about as old as the oldest that both sides still keep.
func (s *scrubber) old(g mirror.Group, p plan.Policy, now int64) (out []mirror.Proof, oldest int64) {
	kept := slices.DeleteFunc(slices.Clone(g.Proofs), func(q mirror.Proof) bool { return q.Window.Start < p.Floor() || q.Window.Stop > p.Until })
	oldest, most := now, int64(0)
	for _, q := range kept {
		if age := s.age(s.dateOf(q), now); age >= most {
			oldest, most = s.dateOf(q), age
		}
	}
	return slices.DeleteFunc(kept, func(q mirror.Proof) bool {
		age := s.age(s.dateOf(q), now)
		return age < most-s.period/4 || age < s.period/10
	}), oldest
}

func (m *Mirror) scrubSide(ctx context.Context, e ends, s *scrubber, g Goal, r *Report) error {
	most := scrubSlice
	if g.Insist {
		most = syncSlice
	}
	now, err := m.prepare(ctx, e, s, most)
	if err != nil {
		return err
	}
	did := false
	for len(s.order) > 0 && ctx.Err() == nil {
		at := m.summary(key{s.order[0].Measurement, s.order[0].Window.Start})
		if at.Cells == 0 || s.age(s.date(at), now) < s.period/10 { // gone, or read again since
			s.order = s.order[1:]
			continue
		}
		if !s.due(s.date(at), now) {
			break
		}
		group, err := m.ledger.Group(ctx, at.Measurement, at.Window)
		if err != nil {
			return err
		}
		list, oldest := s.old(group, e.policy, now)
		if len(list) == 0 || !s.due(oldest, now) {
			s.order = s.order[1:] // what is older is behind retention
			continue
		}
		began, before := time.Now(), m.aged.Target+r.Samples
		until := began.Add(time.Duration(-s.may.Owed))
		var rest bool
		if s.side == mirror.SourceSide {
			rest, err = m.scrubSource(ctx, e, at.Window, at.Measurement, list, until, r)
		} else {
			in := map[mirror.Window]bool{}
			for _, p := range list {
				in[p.Window] = true
			}
			rest, err = m.checkTarget(ctx, e, at, until, func(p mirror.Proof) bool { return in[p.Window] })
		}
		did = true
		s.may.Owed += int64(time.Since(began))
		s.may.Samples -= float64(m.aged.Target + r.Samples - before)
		switch {
		case err != nil && (mirror.KindOf(err) == "" || ctx.Err() != nil):
			return err
		case err != nil:
			m.log.Warn("scrub of a shard group is put off", "side", s.side, "measurement", at.Measurement, "window", at.Window, "err", err)
		}
		if err != nil && stops(err) {
			break
		}
		if err != nil || !rest || !over(until, 0) {
			s.order = s.order[1:] // what could not be read now is found by the next look
		}
	}
	if !did {
		return ctx.Err()
	}
	return m.ledger.SetState(context.WithoutCancel(ctx), s.note, s.may)
}

// scrubSource compares both sides where Proofs of a shard group are old.
func (m *Mirror) scrubSource(ctx context.Context, e ends, group mirror.Window, measurement string, proofs []mirror.Proof, until time.Time, r *Report) (rest bool, err error) {
	for len(proofs) > 0 {
		if over(until, 0) || ctx.Err() != nil {
			return true, ctx.Err()
		}
		t, n := scrubStep(group, measurement, proofs, uint64(max(minChunk, m.limit.Load())))
		proofs = proofs[n:]
		o, left, err := m.persist(ctx, e, t, until)
		r.Samples += o.Samples
		r.Written += o.Written
		if o.Written > 0 || err != nil {
			m.wrote[group] = append(m.wrote[group], measurement)
		}
		if o.Repair > 0 {
			m.log.Warn("the scrub found what differs, and repaired it", "measurement", measurement, "window", t.Chunk.Window, "samples", o.Repair)
			m.aged.Differ += o.Repair
		}
		if rest = rest || len(left) > 0 || o.Live; err != nil {
			return true, err
		}
	}
	return rest, nil
}

// scrubStep is the Transfer that reads the first n of the Proofs again, of about size Samples.
func scrubStep(group mirror.Window, measurement string, proofs []mirror.Proof, size uint64) (t plan.Transfer, n int) {
	t = plan.Transfer{Group: group, Reason: plan.Scrub, Compare: true, Prove: true}
	t.Chunk, n, t.Held = chunkOf(measurement, proofs, size)
	for _, p := range proofs[:n] {
		t.Samples += p.Source.Count
	}
	return t, n
}

// agenda lists what a Pass reads again although nothing is known to have changed: of a restarted target, of one that another hand wrote to, and for age. Of
// steps that are Back the target only is read.
func (m *Mirror) agenda(ctx context.Context, e ends) ([]plan.Transfer, error) {
	var out []plan.Transfer
	add := func(s mirror.Summary, list []mirror.Proof, back bool) {
		for len(list) > 0 {
			t, n := scrubStep(s.Window, s.Measurement, list, maxChunk)
			if list = list[n:]; back {
				t.Back, t.Samples = true, t.Held
			}
			out = append(out, t)
		}
	}
	seen := map[key]bool{}
	list, err := m.suspects(ctx, e)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		g, err := m.ledger.Group(ctx, s.Measurement, s.Window)
		if err != nil {
			return nil, err
		}
		seen[key{s.Measurement, s.Window.Start}] = true
		add(s.Summary, slices.DeleteFunc(g.Proofs, func(p mirror.Proof) bool { return !m.seen.Doubt.of(p) || p.Window.Start < e.policy.Floor() }), true)
	}
	for _, s := range m.scrubbers() {
		now, err := m.prepare(ctx, e, s, syncSlice)
		if err != nil {
			return nil, err
		}
		for _, at := range s.order {
			if seen[key{at.Measurement, at.Window.Start}] {
				continue
			}
			if !s.due(s.date(at), now) {
				break
			}
			g, err := m.ledger.Group(ctx, at.Measurement, at.Window)
			if err != nil {
				return nil, err
			}
			proofs, oldest := s.old(g, e.policy, now)
			if len(proofs) == 0 || !s.due(oldest, now) {
				continue
			}
			for _, p := range proofs {
				s.may.Samples -= float64(p.Target.Count)
			}
			add(at, proofs, s.side == mirror.TargetSide)
		}
		s.loaded, s.looked = false, 0
	}
	return out, nil
}

// Estimate is what scrubbing one side comes to.
type Estimate struct {
	Side   mirror.Side
	Every  time.Duration
	Daily  uint64 // Samples that are read there a day
	Oldest int64  // that side's clock when the oldest Proof was last read there
}

// Estimates says what scrubbing comes to, of each side that is scrubbed.
func (m *Mirror) Estimates() (out []Estimate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.scrubbers() {
		x := Estimate{Side: s.side, Every: time.Duration(s.period)}
		var n float64
		for _, g := range m.sums {
			if g.Cells == 0 {
				continue
			}
			if d := s.date(g); x.Oldest == 0 || d < x.Oldest {
				x.Oldest = d
			}
			if s.side == mirror.SourceSide {
				n += float64(g.Source)
			} else {
				n += float64(g.Target)
			}
		}
		x.Daily = uint64(n * float64(24*time.Hour) * scrubDenominator / scrubNumerator / float64(s.period))
		out = append(out, x)
	}
	return out
}
