package main

import (
	"context"

	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// knownNote is where the exceptions that the owner knows are kept beside the proofs.
const knownNote = "known exceptions"

// excepted counts what the target cannot hold, by class, measurement and field.
func excepted(ctx context.Context, pair *ledger.Pair) (map[string]uint64, error) {
	out := map[string]uint64{}
	for x, err := range pair.Exceptions(ctx, mirror.Refused, mirror.Unwritable, mirror.Expired) {
		if err != nil {
			return nil, err
		}
		out[string(x.Class)+"\x00"+x.Measurement+"\x00"+x.Field] += x.Samples.Count
	}
	return out, nil
}

// newExceptions counts the exceptions beyond those that the owner accepted; known reports whether any were accepted.
func (w *wired) newExceptions(ctx context.Context) (n uint64, known bool, err error) {
	if w.memory.pair == nil {
		return 0, false, nil
	}
	accepted := map[string]uint64{}
	if known, err = w.memory.pair.State(ctx, knownNote, &accepted); err != nil {
		return 0, false, err
	}
	now, err := excepted(ctx, w.memory.pair)
	if err != nil {
		return 0, false, err
	}
	for k, have := range now {
		if have > accepted[k] {
			n += have - accepted[k]
		}
	}
	return n, known, nil
}
