package engine

import (
	"context"
	"time"

	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// young returns where what is still being written begins: at the edge, or before it where nothing is proven yet. A Cell that has just closed is
// complete at the target only after the next Pass.
func (m *Mirror) young(e ends, g mirror.Group) int64 {
	at := e.policy.Edge - int64(m.Margin()) - mirror.TailWidth
	for _, p := range g.Proofs {
		if p.Window.Stop <= e.policy.Edge {
			at = max(at, p.Window.Stop)
		}
	}
	return at
}

// passed returns the policy at this moment. To verify years takes hours, in which the future and what retention drops come nearer.
func (m *Mirror) passed(e ends) plan.Policy {
	p, took := e.policy, int64(time.Since(e.at))
	p.Horizon = plan.NewPolicy(p.Grid, e.src.Date+took, int64(m.Margin())).Horizon
	p.SourceFloor = plan.Retained(e.src.Date+took, e.src.Retention)
	p.TargetFloor = plan.Retained(e.dst.Date+took, e.dst.Retention)
	return p
}

// verifyYoung compares what is too young to be proven, in a shard group without a Proof: a new one, or a new measurement.
func (m *Mirror) verifyYoung(ctx context.Context, e ends, v *Verdict, g mirror.Group) (wrong bool, err error) {
	w := mirror.Window{Start: max(g.Window.Start, m.young(e, g)), Stop: min(g.Window.Stop, m.passed(e).Horizon)}
	if w.Empty() {
		return false, nil
	}
	return m.verifyChunk(ctx, e, v, g, mirror.Chunk{Measurement: g.Measurement, Window: w, Width: e.policy.Grid.Width()}, enumerated(g))
}

// late reports whether what differs in a Cell may be only what was written at the source since it was proven: the target lacks samples, or holds just
// what was proven there.
func (m *Mirror) late(ctx context.Context, group mirror.Window, c mirror.Chunk, s, t mirror.Fingerprint) (bool, error) {
	if s.Count > t.Count {
		return true, nil
	}
	g, err := m.ledger.Group(ctx, c.Measurement, group) // as it is now
	if err != nil {
		return false, err
	}
	var src, dst mirror.Fingerprint
	for _, p := range g.Proofs {
		switch {
		case c.Window.Covers(p.Window):
			src, dst = src.Add(p.Source), dst.Add(p.Target)
		case c.Window.Overlaps(p.Window):
			return false, nil
		}
	}
	return t == dst && s != src, nil
}

// awaited reads a Cell again until both sides are equal, for as long as the process that mirrors beside takes for two Passes; a Verify waits for
// three such Cells, and no longer for what else comes late. It returns what both sides held last, and whether the source goes on to be written there.
func (m *Mirror) awaited(ctx context.Context, v *Verdict, c mirror.Chunk, s, t mirror.Fingerprint) (_, _ mirror.Fingerprint, open bool, err error) {
	began, first := time.Now(), s
	limit := min(3*m.Margin(), 9*m.Margin()-v.waited)
	for s != t && time.Since(began) < limit {
		select {
		case <-ctx.Done():
			return s, t, false, ctx.Err()
		case <-time.After(m.Margin() / 2):
		}
		var src, dst mirror.Reading
		err = m.again(ctx, time.Time{}, plan.Transfer{}, func() (err error) { src, err = m.source.Read(ctx, c, nil); return err })
		if err == nil {
			err = m.again(ctx, time.Time{}, plan.Transfer{}, func() (err error) { dst, err = m.target.Read(ctx, c, nil); return err })
		}
		if err != nil {
			return s, t, false, err
		}
		s, t = src.Total(), dst.Total()
	}
	v.waited += time.Since(began)
	return s, t, s != first, nil
}
