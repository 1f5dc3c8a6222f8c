package verifier

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
	"influxmirror/test/oracle/dataset"
)

// onlooker is what a process without the lock sees of a pair.
type onlooker struct{ *ledger.Pair }

func (onlooker) Record(context.Context, mirror.Group) error          { return nil }
func (onlooker) SetState(context.Context, string, interface{}) error { return nil }

// TestNoFalseAlarm: beside an instrument that writes and a mirror that runs, both with real servers, verify never says that samples differ. How long
// depends on -edits. test/sim does the same in virtual time, for days.
func TestNoFalseAlarm(t *testing.T) {
	t.Parallel()
	src, dst := newReal(t), newReal(t)
	r := rand.New(rand.NewPCG(*seed, 2))
	put(t, src, nil, lay(r, dataset.Monday(time.Now().UnixNano())-4*dataset.Week))
	dir := t.TempDir()
	p := newPairIn(t, dir, src, dst)
	p.sync()
	shown, err := ledger.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shown.Close() })
	beside := p.like(func(ctx context.Context, key, source, target string) (engine.Ledger, error) {
		pair, err := shown.PairFrom(ctx, key, source, target)
		return onlooker{pair}, err
	})
	beside.Beside = true

	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(*howMany)*100*time.Millisecond)
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	others.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	others.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			at := time.Now().UnixNano() - r.Int64N(second)
			if n%50 == 49 {
				at -= r.Int64N(2 * dataset.Day)
			}
			src.write(t, fmt.Sprintf("cpu,host=a load=%v,n=%di %d\nlive%d v=%di %d", r.NormFloat64(), n, at, n%3, n, at))
			time.Sleep(time.Duration(10+r.IntN(100)) * time.Millisecond)
		}
	})
	open, times := 0, 0
	for ; ctx.Err() == nil; times++ {
		v, err := beside.Verify(ctx, true)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			t.Fatalf("verify: %v", err)
		}
		if word, code := v.Result(); code != 0 || v.Rows[engine.Different].Windows > 0 || !v.AddsUp() {
			t.Fatalf("verify %d: %s: %+v, %v", times, word, v.Rows, v.Differences[:min(3, len(v.Differences))])
		}
		if v.Rows[engine.OpenRow].Samples > 0 {
			open++
		}
	}
	if open == 0 {
		t.Errorf("void: in none of %d times anything was being written", times)
	}
	t.Logf("%d times, %d of them with something that was being written", times, open)
}
