package ledger

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"influxmirror/internal/mirror"
)

const (
	testHour = int64(3600) * second
	testBase = int64(1_790_000_000) / 604800 * 604800 * second
)

func TestMain(m *testing.M) {
	if role := os.Getenv("LEDGER_TEST_CHILD"); role != "" {
		children[role](os.Getenv("LEDGER_TEST_DIR"))
		return
	}
	os.Exit(m.Run())
}

// children are what the test binary does when it is started again as a process of its own.
var children = map[string]func(dir string){"record": recordForEver, "lock": holdLock}

func openTest(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func pairOf(t testing.TB, l *Ledger, key string) *Pair {
	t.Helper()
	p, err := l.Pair(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustRecord(t testing.TB, p *Pair, g mirror.Group) {
	t.Helper()
	if err := p.Record(context.Background(), g); err != nil {
		t.Fatal(err)
	}
}

func getGroup(t testing.TB, p *Pair, g mirror.Group) mirror.Group {
	t.Helper()
	got, err := p.Group(context.Background(), g.Measurement, g.Window)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func week(i int) mirror.Window {
	start := testBase + int64(i)*168*testHour
	return mirror.Window{Start: start, Stop: start + 168*testHour}
}

// normalGroup is what a week of one measurement looks like: 56 cells of 3 h, dates in whole seconds.
func normalGroup(measurement string, i int, seed uint64) mirror.Group {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	g := mirror.Group{Measurement: measurement, Window: week(i)}
	for c := range int64(56) {
		w := mirror.Window{Start: g.Window.Start + c*3*testHour, Stop: g.Window.Start + (c+1)*3*testHour}
		f := mirror.Fingerprint{Count: 108_000 + r.Uint64N(1000), Hi: r.Uint64(), Lo: r.Uint64()}
		asOf := w.Stop + 30*second + r.Int64N(20)*second
		g.Proofs = append(g.Proofs, mirror.Proof{Window: w, Source: f, Target: f, AsOf: asOf, CheckedAt: asOf + 2*second})
	}
	return g
}

// oddGroup has exceptions of two classes and names that are no text.
func oddGroup(measurement string, i int, seed uint64) mirror.Group {
	g := normalGroup(measurement, i, seed)
	ex := mirror.Fingerprint{Count: 3, Hi: seed, Lo: 7}
	more := mirror.Fingerprint{Count: 2, Hi: 1, Lo: ^seed}
	p := &g.Proofs[5]
	p.Excepted, p.Extra = ex, more
	p.Target = p.Source.Sub(ex).Add(more)
	g.Proofs = append(g.Proofs[:20], g.Proofs[25:]...)
	g.Exceptions = []mirror.Exception{
		{Class: mirror.Refused, Window: p.Window, Field: "a\x00\xff", Type: mirror.String, Reason: "field type conflict", Samples: ex, Example: "cpu,host=\xc3"},
		{Class: mirror.Extra, Window: p.Window, Field: "", Type: mirror.Float, Reason: "", Samples: more, Example: fmt.Sprint(seed)},
	}
	return g
}
