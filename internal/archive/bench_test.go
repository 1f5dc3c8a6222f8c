package archive

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"influxmirror/internal/mirror"
)

// chunkLines are n samples as a server sends them: series by series, four fields a line.
func chunkLines(n int, from int64) (batches [][]byte) {
	const series = 50
	var b []byte
	for s := range series {
		for i := range n / series / 4 {
			t := from + int64(i)*int64(time.Second)
			b = fmt.Appendf(b, "weather,site=north,station=st%02d gust=%v,humidity=%v,pressure=%v,temperature=%v %d\n", s,
				float64(i%97)/8, 40+float64(i%313)/10, 1013.25+float64(i%17)/100, math.Round(1000*math.Sin(float64(i)/500))/100, t)
			if len(b) > batchSize {
				batches = append(batches, b)
				b = nil
			}
		}
	}
	return append(batches, b)
}

var benchChunk = mirror.Chunk{Measurement: "weather", Window: mirror.Axis, Width: math.MaxInt64}

func BenchmarkWrite(b *testing.B) {
	const n = 1_000_000
	batches := chunkLines(n, 1_700_000_000e9)
	for b.Loop() {
		b.StopTimer()
		a := fresh(b, b.TempDir(), week)
		b.StartTimer()
		w, err := a.Open(context.Background(), benchChunk)
		if err != nil {
			b.Fatal(err)
		}
		for _, lines := range batches {
			if err := w.Write(lines); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Close(); err != nil {
			b.Fatal(err)
		}
		a.Close()
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}

// BenchmarkProbe is what an idle Pass costs: 10 measurements over ten years.
func BenchmarkProbe(b *testing.B) {
	a := fresh(b, b.TempDir(), week)
	defer a.Close()
	for m := range 10 {
		var samples []mirror.Sample
		for w := range int64(520) {
			samples = append(samples, integer(fmt.Sprint("m", m), w*int64(week), 1))
		}
		write(b, a, samples...)
	}
	for b.Loop() {
		if _, err := a.Probe(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	const n = 1_000_000
	a := fresh(b, b.TempDir(), week)
	defer a.Close()
	w, err := a.Open(context.Background(), benchChunk)
	if err != nil {
		b.Fatal(err)
	}
	for _, lines := range chunkLines(n, 1_700_000_000e9) {
		if err := w.Write(lines); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := a.Read(context.Background(), benchChunk, func([]byte) error { return nil })
		if err != nil || r.Total().Count != n {
			b.Fatal(r.Total(), err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "samples/s")
}
