package engine

import (
	"context"
	"errors"
	"time"
)

const acceptedNote = "accepted"

// accepted is what the owner decided about this pair.
type accepted struct {
	Emptied   bool // an empty source is a fact
	OldTarget bool // what the target held at first contact may stay
}

// scriptTags are the tags that the old script's way of writing leaves in a bucket.
var scriptTags = []string{"_start", "_stop", "table", "result"}

// believe refuses to take for a fact what is an alarm until the owner decides: an empty source where the ledger or the target
// remember samples, and a target that another tool filled.
func (m *Mirror) believe(ctx context.Context, e ends, totals [2]uint64) error {
	var ok accepted
	if _, err := m.ledger.State(ctx, acceptedNote, &ok); err != nil {
		return err
	}
	if totals[0] > 0 && ok.Emptied {
		ok.Emptied = false
		if err := m.ledger.SetState(ctx, acceptedNote, ok); err != nil {
			return err
		}
	}
	var proven uint64
	for _, s := range m.sums {
		if s.Window.Stop > e.policy.SourceFloor {
			proven += s.Source
		}
	}
	if m.Recover { // that the target lost everything is why this is done
		if totals[0] == 0 {
			return blocked("bucket %s, which is to give back what it has, is empty: there is nothing to recover from; what the other side has is mirrored by: influxmirror sync %s", e.src.Bucket, m.word())
		}
		return nil
	}
	if totals[0] == 0 && !ok.Emptied {
		switch {
		case proven > 0:
			return blocked("source bucket %s is empty now, and %d samples of it are proven on the target, which keeps them; to give them back: influxmirror recover %s; if that is intended: influxmirror accept %s",
				e.src.Bucket, proven, m.word(), m.word())
		case totals[1] > 0 && len(m.sums) == 0:
			return blocked("target bucket %s holds %d samples and source bucket %s none: are source and target swapped? if the source lost them: influxmirror recover %s; if that is intended: influxmirror accept %s",
				e.dst.Bucket, totals[1], e.src.Bucket, m.word(), m.word())
		}
	}
	if inspector, can := m.target.(Inspector); can && len(m.sums) == 0 && totals[1] > 0 && !ok.OldTarget {
		tags, err := inspector.TagKeys(ctx)
		if err != nil {
			return err
		}
		for _, t := range scriptTags {
			if !tags[t] {
				return nil
			}
		}
		return blocked("target bucket %s was filled by the old script (tags _start, _stop, table, result; integers as floats), and exact samples would be refused there; "+
			"keep it under another name (influx bucket update --id %s --name %s_old) and let influxmirror create %s anew, or mirror into another bucket, or take it as it is: influxmirror accept %s",
			e.dst.Bucket, e.dst.BucketID, e.dst.Bucket, e.dst.Bucket, m.word())
	}
	return nil
}

// Accept records the owner's decision that unblocks this pair.
func (m *Mirror) Accept(ctx context.Context) error {
	m.trusting = true
	e, err := m.probe(ctx)
	if m.trusting = false; err != nil {
		return err
	}
	if err := m.recognise(ctx, e); errors.As(err, new(*Blocked)) {
		err = m.void(ctx)
		if err != nil {
			return err
		}
		m.recognised = [2]recognition{{time.Now(), e.src.Counters.Started}, {time.Now(), e.dst.Counters.Started}}
	} else if err != nil {
		return err
	}
	return m.ledger.SetState(ctx, acceptedNote, accepted{Emptied: true, OldTarget: true})
}
