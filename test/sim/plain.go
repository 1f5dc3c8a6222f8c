package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// write puts a few samples into the source: now, late, long ago, ahead, or over what is there.
func (w *world) write() {
	n := 1 + w.rnd.IntN(20)
	var b strings.Builder
	kind := []string{"live", "live", "live", "late", "old", "future", "overwrite", "edge"}[w.rnd.IntN(8)]
	var have []influxtest.Sample
	if kind == "overwrite" {
		if have = w.src.Dump(bucket); len(have) == 0 {
			kind = "live"
		}
	}
	now := time.Now().UnixNano()
	for i := range n {
		t := now - int64(i)*int64(time.Second)
		switch kind {
		case "late":
			t = now - w.rnd.Int64N(int64(48*time.Hour))
		case "old":
			t = now - w.rnd.Int64N(int64(20*365*24*time.Hour))
		case "future":
			t = now + w.rnd.Int64N(int64(100*24*time.Hour))
		case "edge":
			t = []int64{mirror.MinTime + int64(2*week), mirror.MaxTime, mirror.MaxTime - 1, 0, -1}[w.rnd.IntN(5)]
		case "overwrite":
			s := have[w.rnd.IntN(len(have))]
			b.WriteString(overwrite(s, w.rnd))
			continue
		}
		m := w.rnd.IntN(3)
		fmt.Fprintf(&b, "m%d,host=h%d ", m, w.rnd.IntN(3))
		// One type per field and shard: fields of a measurement take turns by the week.
		switch k := (weeks.Group(t).Stop/int64(week) + int64(m)) & 3; {
		case m == 2 && k == 0:
			fmt.Fprintf(&b, "v=%di,ok=true", w.rnd.Int64())
		case m == 2 && k == 1:
			fmt.Fprintf(&b, "v=%q", fmt.Sprint("s", w.rnd.IntN(9)))
		case m == 2 && k == 2:
			fmt.Fprintf(&b, "v=%t", w.rnd.IntN(2) == 0)
		default:
			fmt.Fprintf(&b, "v=%v,w=%d", w.rnd.NormFloat64(), w.rnd.IntN(100))
		}
		fmt.Fprintf(&b, " %d\n", t)
	}
	w.note("write %s: %d lines", kind, n)
	w.src.Write(bucket, b.String())
}

// overwrite returns a line that gives a sample another value of the same type.
func overwrite(s influxtest.Sample, rnd *rand.Rand) string {
	m := mirror.Sample{Measurement: s.Measurement, Field: s.Field, Time: s.Time}
	for _, t := range s.Tags {
		m.Tags = append(m.Tags, mirror.Tag{Key: t.Key, Value: t.Value})
	}
	switch s.Value.(type) {
	case float64:
		m.Type, m.Bits = mirror.Float, math.Float64bits(rnd.NormFloat64())
	case int64:
		m.Type, m.Bits = mirror.Integer, rnd.Uint64()
	case bool:
		m.Type, m.Bits = mirror.Boolean, uint64(rnd.IntN(2))
	case string:
		m.Type, m.Text = mirror.String, fmt.Sprint("o", rnd.IntN(1000))
	}
	return string(lineproto.AppendLine(nil, &m))
}

// breakLink makes the next few requests of one side go wrong.
func (w *world) breakLink() {
	type named struct {
		name  string
		fault influxtest.Fault
	}
	f := []named{
		{"refuse", influxtest.Refuse()},
		{"cut", influxtest.CutAfter(w.rnd.IntN(3000))},
		{"reset after apply", influxtest.ResetAfterApply()},
		{"truncate clean", influxtest.TruncateClean(w.rnd.IntN(3000))},
		{"end by close", influxtest.EndByClose(w.rnd.IntN(3000))},
		{"html", influxtest.HTML()},
		{"redirect", influxtest.Redirect(302, "http://127.0.0.1:1")},
		{"503", influxtest.Status(503, 2*time.Second, "busy")},
		{"500", influxtest.Status(500, 0, "timeout")},
		{"204 and nothing done", influxtest.Status(204, 0, "")},
		{"stall", influxtest.Stall(0)},
		{"a part lost", influxtest.Rewrite(w.losePart)},
		{"the end lost", influxtest.Rewrite(w.loseEnd)},
	}[w.rnd.IntN(13)]
	s, side := w.src, "source"
	match := influxtest.Queries
	if w.rnd.IntN(2) == 0 {
		s, side = w.dst, "target"
		match = []func(*http.Request) bool{influxtest.Queries, influxtest.Writes, nil}[w.rnd.IntN(3)]
	}
	n := 1 + w.rnd.IntN(4)
	w.note("fault %s at the %s, %d times", f.name, side, n)
	w.faults = append(w.faults, injected{f.name, s.Fault(match, f.fault).Times(n)})
}
