package matrix

import (
	"strings"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
	"influxmirror/test/proxy"
)

var goal = engine.Goal{Insist: true}

// The link to either server breaks again and again, in each way a link can break, while samples come and while they are sent.
func linkCut(t *testing.T, from, to kind) {
	c := newCell(t, from, to, sides{})
	c.begin()
	if from.dir {
		c.hops[0].settle() // the link is behind the directory
	}
	const cuts = 6
	kinds := []proxy.Kind{proxy.Cut, proxy.Reset, proxy.Truncate}
	var proxies []*proxy.Proxy
	// random draws before the connections come, which are in no order.
	draw := func(n int64) (out [cuts]int64) {
		for i := range out {
			out[i] = c.rnd.Int64N(n)
		}
		return out
	}
	if !from.dir {
		p, after := c.origin.between(t), draw(1500)
		p.Plan(func(n int) proxy.Fault {
			if n >= cuts {
				return proxy.Fault{}
			}
			return proxy.Fault{Kind: kinds[n%3], Dir: proxy.Down, After: 100 + after[n], When: "EXPLAIN"}
		})
		proxies = append(proxies, p)
	}
	if !to.dir {
		write := "POST /api/v2/write"
		if to.server.Old() {
			write = "POST /write"
		}
		p, after := c.target.between(t), draw(500)
		p.Plan(func(n int) proxy.Fault {
			switch {
			case n >= cuts:
				return proxy.Fault{}
			case n%3 == 2: // the answer is lost, what was written is stored
				return proxy.Fault{Kind: kinds[n/3%2], Dir: proxy.Down, When: write}
			}
			return proxy.Fault{Kind: kinds[n%3], Dir: proxy.Up, After: after[n], When: write}
		})
		proxies = append(proxies, p)
	}
	c.settle()
	for _, p := range proxies {
		fired := 0
		for _, k := range kinds {
			fired += p.Fired(k)
		}
		if fired < 2 {
			t.Errorf("void: %d faults fired at an end", fired)
		}
		p.Plan(nil)
	}
	c.check()
}

// What one side does not keep is neither sent nor claimed: retention at the source, then at the target.
func retention(t *testing.T, from, to kind) {
	const month = 30 * 24 * time.Hour
	kept := bucket{retention: month, group: 24 * time.Hour}
	for side, s := range map[mirror.Side]sides{mirror.SourceSide: {source: kept}, mirror.TargetSide: {target: kept, source: bucket{group: 24 * time.Hour}}} {
		if side == mirror.SourceSide && from.dir || side == mirror.TargetSide && to.dir {
			continue
		}
		t.Run("at the "+string(side), func(t *testing.T) {
			c := newCell(t, from, to, s)
			edge := c.now - int64(month)
			var points []string
			if side == mirror.TargetSide {
				points = append(points, c.history("gone", 50, edge-10*dataset.Day, dataset.Day)...)
				points = append(points, c.history("gone", 20, edge-30*dataset.Minute, 20*dataset.Minute)...)
			}
			c.signed = true // the Cell at the edge shrinks by the minute, and what is refused in it is found anew
			points = append(points, c.history("edge", 60, edge+dataset.Minute, 30*dataset.Minute)...)
			c.signed = false
			points = append(points, c.history("edge", 100, edge+2*dataset.Day, 20*dataset.Day)...)
			c.origin.load(t, append(points, c.tail(50)...))
			c.settle()
			within := oracle.Span{First: edge + 10*dataset.Minute, Last: c.now}
			truth := c.origin.holds(t, within)
			if len(truth) < 100 {
				t.Fatalf("void: %d samples", len(truth))
			}
			for _, h := range c.hops {
				want := oracle.Contents{}
				for p, v := range truth {
					if !c.cannot(h.target, p, v) {
						want[p] = v
					}
				}
				got := h.target.holds(t, within)
				oracle.Compare(want, got).Report(t, want, got)
				v, err := h.mirror.Verify(t.Context(), true)
				if err != nil {
					t.Fatal(err)
				}
				if word, code := v.Result(); code != 0 || v.Rows[engine.Different].Samples != 0 {
					t.Errorf("verify says %q: %v", word, v.Rows)
				}
				if n := v.Rows[engine.ExpiredRow].Samples; (n > 0) != (side == mirror.TargetSide && h.target == c.target) {
					t.Errorf("verify counts %d samples too old for the target: %v", n, v.Rows)
				}
				h.quiet()
			}
			if gone := c.target.holds(t, oracle.Span{First: oracle.AxisStart, Last: edge - dataset.Hour}); len(gone) != 0 {
				t.Errorf("the target holds %d samples that it does not keep", len(gone))
			}
		})
	}
}

// exceptions counts those in the ledger of these classes whose reason holds the word.
func (h *hop) exceptions(word string, classes ...mirror.Class) (n int) {
	h.Helper()
	for _, p := range h.pairs() {
		for x, err := range p.Exceptions(h.Context(), classes...) {
			if err != nil {
				h.Fatal(err)
			}
			if strings.Contains(x.Reason, word) {
				n++
			}
		}
	}
	return n
}
