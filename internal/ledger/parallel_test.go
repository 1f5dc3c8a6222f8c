package ledger

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
)

func TestCancelled(t *testing.T) {
	l := openTest(t, t.TempDir())
	p := pairOf(t, l, "k")
	g := normalGroup("cpu", 0, 1)
	mustRecord(t, p, g)
	stopped, stop := context.WithCancel(ctx)
	stop()
	if err := p.Record(stopped, normalGroup("cpu", 0, 2)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := getGroup(t, p, g); !reflect.DeepEqual(got, g) {
		t.Error("the group changed")
	}
	mustRecord(t, p, normalGroup("cpu", 0, 3)) // and the ledger goes on
}

func TestParallel(t *testing.T) {
	l := openTest(t, t.TempDir())
	p := pairOf(t, l, "k")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 50 {
				g := oddGroup("cpu", n%3, uint64(n+i))
				if err := p.Record(ctx, g); err != nil {
					t.Error(err)
				}
				if got, err := p.Group(ctx, g.Measurement, g.Window); err != nil || len(got.Exceptions) != 2 {
					t.Error(got, err)
				}
				if q, err := l.Pair(ctx, fmt.Sprint("pair", n)); err != nil || q.Key() == "" {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if all, err := l.Pairs(ctx); err != nil || len(all) != 51 || l.Dropped() != 0 {
		t.Errorf("%d pairs, %v, %d dropped", len(all), err, l.Dropped())
	}
}
