package ledger

import (
	"fmt"
	"testing"
	"time"

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
	b.ReportMetric(float64(len(body)), "bytes/group")
	for b.Loop() {
		if _, err := parseProofs(body, g.Window); err != nil {
			b.Fatal(err)
		}
	}
}

// B10: 200 000 groups are 11 million cells.
func BenchmarkSummaries200k(b *testing.B) {
	dir := b.TempDir()
	l := openTest(b, dir)
	p := pairOf(b, l, "k")
	if _, err := l.w.Exec(`PRAGMA synchronous = off`); err != nil {
		b.Fatal(err)
	}
	for m := range 400 {
		for i := range 500 {
			mustRecord(b, p, normalGroup(fmt.Sprintf("measurement_%03d", m), i, 1))
		}
	}
	l.Close()
	began := time.Now()
	l = openTest(b, dir)
	opened := time.Since(began)
	p = pairOf(b, l, "k")
	b.ReportAllocs()
	for b.Loop() {
		if all, err := p.Summaries(ctx); err != nil || len(all) != 200_000 {
			b.Fatal(len(all), err)
		}
	}
	b.ReportMetric(opened.Seconds(), "s/open")
}
