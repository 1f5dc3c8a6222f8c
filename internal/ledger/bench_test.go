package ledger

import (
	"fmt"
	"testing"

	"influxmirror/internal/mirror"
)

func BenchmarkRecord(b *testing.B) {
	p := pairOf(b, openTest(b, b.TempDir()), "k")
	groups := make([]mirror.Group, 64)
	for i := range groups {
		groups[i] = normalGroup("cpu", i, 1)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		mustRecord(b, p, groups[i%len(groups)])
	}
}

func BenchmarkGroup(b *testing.B) {
	p := pairOf(b, openTest(b, b.TempDir()), "k")
	g := normalGroup("cpu", 0, 1)
	mustRecord(b, p, g)
	b.ReportAllocs()
	for b.Loop() {
		getGroup(b, p, g)
	}
}

func BenchmarkBody(b *testing.B) {
	g := normalGroup("cpu", 0, 1)
	body := appendProofs(nil, g.Window, g.Proofs)
	for b.Loop() {
		if _, err := parseProofs(body, g.Window); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(body)), "bytes/group")
}

// B10: 200 000 groups are 11 million cells.
func Benchmark200k(b *testing.B) {
	const measurements, weeks = 400, 500
	dir := b.TempDir()
	l := openTest(b, dir)
	p := pairOf(b, l, "k")
	if _, err := l.w.Exec(`PRAGMA synchronous = off`); err != nil {
		b.Fatal(err)
	}
	name := func(i int) string { return fmt.Sprintf("measurement_%03d", i%measurements) }
	for i := range measurements * weeks {
		mustRecord(b, p, normalGroup(name(i/weeks), i%weeks, 1))
	}
	l.Close()

	b.Run("Open", func(b *testing.B) {
		for b.Loop() {
			openTest(b, dir).Close()
		}
	})
	p = pairOf(b, openTest(b, dir), "k")
	b.Run("Summaries", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if all, err := p.Summaries(ctx); err != nil || len(all) != measurements*weeks {
				b.Fatal(len(all), err)
			}
		}
	})
	b.Run("RecordAnywhere", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			mustRecord(b, p, normalGroup(name(i*7), i*13%weeks, uint64(i)))
		}
	})
	b.Run("RecordTail", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			mustRecord(b, p, normalGroup(name(i), weeks, uint64(i)))
		}
	})
}
