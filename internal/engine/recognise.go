package engine

import (
	"context"
	"maps"
	"time"

	"influxmirror/internal/mirror"
)

const (
	// samplesToKnow is how many Cells are read to tell whether a bucket is still the one that was proven.
	samplesToKnow = 6
	// largestToKnow bounds each of them, in Samples.
	largestToKnow = 50_000
	// knowFor is how long that is believed of a server that does not tell when it was started.
	knowFor = 10 * time.Minute
)

// twice reports whether two weak identities are addresses of one bucket: no two servers began in the same nanosecond and have the same shards.
func twice(a, b mirror.Probe) bool {
	return mirror.IsWeak(a.Identity) && mirror.IsWeak(b.Identity) && a.Bucket == b.Bucket && a.Counters.Known() && a.Counters.Started == b.Counters.Started &&
		maps.EqualFunc(a.Counters.Shards, b.Counters.Shards, func(_, _ uint64) bool { return true })
}

// recognition is when a bucket with a weak identity was last compared with its Proofs, and which start of its server that was.
type recognition struct {
	at      time.Time
	started string
}

// recognise makes sure, before Proofs of a weak identity are believed, that the bucket still holds some of what was proven: at the first
// probe, after each restart of its server, and now and then where the server does not tell of restarts.
func (m *Mirror) recognise(ctx context.Context, e ends) error {
	if m.trusting {
		return nil
	}
	for i, p := range []mirror.Probe{e.src, e.dst} {
		if was := m.recognised[i]; !mirror.IsWeak(p.Identity) || !was.at.IsZero() && was.started == p.Counters.Started && (p.Counters.Started != "" || time.Since(was.at) < knowFor) {
			continue
		}
		side, end, floor := mirror.SourceSide, m.source, e.policy.SourceFloor
		if i == 1 {
			side, end, floor = mirror.TargetSide, m.target, e.policy.TargetFloor
		}
		same, other, err := Resembles(ctx, m.ledger, side, end, floor)
		if err != nil {
			return err
		}
		switch {
		case same > 0 || other == 0:
		case m.Recover && side == mirror.TargetSide: // that it lost everything is why this is done
			if err := m.void(ctx); err != nil {
				return err
			}
		default:
			back := ""
			if side == mirror.SourceSide && !m.Recover {
				back = "; to give it back what it lost: influxmirror recover " + m.word()
			}
			return blocked("%s bucket %s holds nothing of what was proven in %d windows that were looked at: identity changed, another server answers at this address, or its data was replaced%s; if that is intended: influxmirror accept %s",
				side, p.Bucket, other, back, m.word())
		}
		m.recognised[i] = recognition{time.Now(), p.Counters.Started}
	}
	return nil
}

// Resembles reads some proven Cells of a Ledger on one side and says how many are as they were proven and how many are not. Cells before
// floor, which the server may have dropped, are left out.
func Resembles(ctx context.Context, l Ledger, side mirror.Side, end Source, floor int64) (same, other int, err error) {
	all, err := l.Summaries(ctx)
	if err != nil {
		return 0, 0, err
	}
	// Spread over all groups: a part of the history may have been changed or dropped for good reason.
	step := max(1, len(all)/(2*samplesToKnow))
	for i := 0; i < len(all) && same+other < samplesToKnow; i += step {
		if all[i].Window.Start < floor {
			continue
		}
		g, err := l.Group(ctx, all[i].Measurement, all[i].Window)
		if err != nil {
			return same, other, err
		}
		for _, p := range g.Proofs {
			want := p.Source
			if side == mirror.TargetSide {
				want = p.Target
			}
			if want.Count == 0 || want.Count > largestToKnow || p.Window.Start < floor {
				continue
			}
			r, err := readWindows(ctx, end, mirror.Chunk{Measurement: g.Measurement, Window: p.Window, Width: int64(p.Window.Width())})
			if err != nil {
				return same, other, err
			}
			if r.Live {
				continue
			}
			if r.Total() == want {
				same++
			} else {
				other++
			}
			break // one of each group is enough
		}
	}
	return same, other, nil
}

// void forgets every Proof of the pair, those of other Mirrors as well: what they were about is not there any more.
func (m *Mirror) void(ctx context.Context) error {
	all, err := m.ledger.Summaries(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if err := m.keep(ctx, mirror.Group{Measurement: s.Measurement, Window: s.Window}); err != nil {
			return err
		}
	}
	m.seen, m.queue = seen{}, nil
	return m.ledger.SetState(ctx, SeenNote, m.seen)
}
