package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
	"influxmirror/test/proxy"
	"influxmirror/test/servers"
)

// howManyCells of the matrix of network faults are tried. There are some forty; more than that begin again with other lots.
var (
	howManyCells = flag.Int("cells", 2, "how many cells of the matrix of network faults are tried")
	cellSeed     = flag.Uint64("cell-seed", 1, "what the cells draw their lots from")
)

// A cell is one fault on one side in one direction.
type cell struct {
	*scene
	hazard
	side  mirror.Side
	dir   proxy.Dir
	at    *proxy.Proxy // on that side
	other *proxy.Proxy
	kept  int // writes of the copy
	rnd   *rand.Rand
}

// A hazard is what a network does, by its rows in docs/reliability.md.
type hazard struct {
	name     string
	rows     string
	on       []string // "source up", …
	fires    []proxy.Kind
	atLeast  int // how often in the copy
	patience time.Duration
	begin    func(*cell)
	each     func(*cell, engine.Report, error) // after each Pass; nil: nothing
	later    func(*cell)                       // when the changes have arrived; nil: nothing
	alone    bool                              // on servers of its own, which have little to tell of themselves
}

var (
	everywhere = []string{"source down", "target up", "target down", "source up"}
	soonOver   = 2 * time.Minute
)

// hazards are ordered so that the first ones of every kind come before the other sides and directions of any.
var hazards = []hazard{
	{"cut, reset and truncated", "N3 N4 N6", []string{"target up"}, []proxy.Kind{proxy.Cut, proxy.Reset, proxy.Truncate}, 50, soonOver, (*cell).atBothEnds, nil, nil, false},
	{"up now and then", "N1 N22", []string{"source down", "target up"}, []proxy.Kind{proxy.Refuse}, 1, 5 * time.Minute, (*cell).nowAndThen, nil, nil, true},
	{"stall", "N2", everywhere, []proxy.Kind{proxy.Stall}, 1, 4 * time.Minute, few(proxy.Stall, 2), nil, nil, false},
	{"old writes repeated", "N20", []string{"target up"}, []proxy.Kind{proxy.Keep}, 1, soonOver, (*cell).keepWrites, nil, (*cell).repeatWrites, false},
	{"dead connections", "N19", []string{"source up", "target up"}, []proxy.Kind{proxy.Forget}, 3, soonOver, (*cell).forget, nil, nil, false},
	{"slices", "N10", everywhere, []proxy.Kind{proxy.Slice}, 10, soonOver, (*cell).slices, nil, nil, false},
	{"one direction only", "N23", []string{"target up", "source up"}, []proxy.Kind{proxy.Reset}, 3, soonOver, (*cell).oneKind, (*cell).named, nil, false},
	{"large writes vanish", "N11", []string{"target up"}, []proxy.Kind{proxy.Stall}, 2, 8 * time.Minute, (*cell).vanish, nil, nil, false},
	{"cut", "N3 N4", everywhere, []proxy.Kind{proxy.Cut}, 10, soonOver, few(proxy.Cut, 25), nil, nil, false},
	{"reset", "N3 N4", everywhere, []proxy.Kind{proxy.Reset}, 10, soonOver, few(proxy.Reset, 25), nil, nil, false},
	{"truncate", "N3 N4 N6", everywhere, []proxy.Kind{proxy.Truncate}, 10, soonOver, few(proxy.Truncate, 25), nil, nil, false},
	{"latency", "N10", everywhere, []proxy.Kind{proxy.Late}, 20, 3 * time.Minute, link(proxy.Link{Latency: 80 * time.Millisecond}), nil, nil, false},
	{"rate", "N10", everywhere, []proxy.Kind{proxy.Late}, 20, 5 * time.Minute, link(proxy.Link{Rate: 80_000}), nil, nil, false},
	{"a byte a second", "N9", everywhere, []proxy.Kind{proxy.Drip}, 1, 8 * time.Minute, few(proxy.Drip, 2), nil, nil, false},
}

// texts in which what a fault waits for begins.
const (
	aWrite = "POST /api/v2/write"
	aQuery = "POST /query"
	aRead  = "EXPLAIN+SELECT"
)

// large is what a fault waits for in the bytes of its side.
func (c *cell) large() string {
	switch {
	case c.side == mirror.SourceSide && c.dir == proxy.Down:
		return aRead
	case c.side == mirror.SourceSide:
		return aQuery
	}
	return aWrite
}

// few has a fault befall the first n connections.
func few(k proxy.Kind, n int) func(*cell) {
	return func(c *cell) {
		most := int64(20_000)
		if c.side == mirror.TargetSide && c.dir == proxy.Down { // the answer to a write is short: it is lost, what was written is stored
			most = 100
		}
		if c.side == mirror.SourceSide && c.dir == proxy.Up {
			most = 600
		}
		c.at.Plan(func(i int) proxy.Fault {
			if i >= n {
				return proxy.Fault{}
			}
			return proxy.Fault{Kind: k, Dir: c.dir, After: c.rnd.Int64N(most), When: c.large()}
		})
	}
}

func link(l proxy.Link) func(*cell) {
	return func(c *cell) {
		l := l
		l.Only = c.only()
		c.at.SetLink(l)
	}
}

func (c *cell) only() proxy.Way {
	if c.dir == proxy.Up {
		return proxy.OnlyUp
	}
	return proxy.OnlyDown
}

func (c *cell) slices() { c.at.SetLink(proxy.Link{Slice: 17, Only: c.only()}) }

// nowAndThen is up three seconds of six, slow and late.
func (c *cell) nowAndThen() {
	c.compress = true                        // else what a server tells of itself takes longer than the link is up
	deeper(c.scene, 13_000, "more", "broad") // not all of it in the first three seconds
	c.at.SetLink(proxy.Link{Latency: 30 * time.Millisecond, Rate: 60_000, Up: 3 * time.Second, Cycle: 6 * time.Second})
}

func (c *cell) keepWrites() {
	c.at.Plan(func(int) proxy.Fault { return proxy.Fault{Kind: proxy.Keep, When: aWrite} })
}

// repeatWrites stores again what was overwritten since.
func (c *cell) repeatWrites() {
	if n := c.at.Repeat(c.kept); n == 0 {
		c.t.Error("void: no write was repeated")
	}
	source, target := c.contents(always)
	if d := compare(source, target); len(d.Different) == 0 {
		c.t.Error("void: the old writes changed nothing")
	}
}

// forget makes the open connections dead every now and then, in the middle of a Pass and between two.
func (c *cell) forget() {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(300 * time.Millisecond):
				if c.at.Fired(proxy.Forget) < 20 {
					c.at.Forget()
				}
			}
		}
	}()
	c.t.Cleanup(func() { close(done); <-ended })
}

// oneKind lets the reads of one side through and not its writes, or the other way round, for a while.
func (c *cell) oneKind() {
	c.at.Plan(func(i int) proxy.Fault {
		if i >= 15 {
			return proxy.Fault{}
		}
		if c.side == mirror.TargetSide {
			return proxy.Fault{Kind: proxy.Reset, Dir: proxy.Up, When: aWrite}
		}
		return proxy.Fault{Kind: proxy.Reset, Dir: proxy.Up, When: aRead}
	})
}

// named checks that what goes wrong is said of the side where it does.
func (c *cell) named(r engine.Report, err error) {
	for _, say := range append(r.Errors, fmt.Sprint(err)) {
		if other := map[mirror.Side]string{mirror.SourceSide: "target http", mirror.TargetSide: "source http"}[c.side]; strings.Contains(say, other) {
			c.t.Errorf("the %s is broken, and it says %q", c.side, say)
		}
	}
}

// vanish lets no write of more than a KiB through, head and all.
func (c *cell) vanish() {
	c.at.Plan(func(int) proxy.Fault {
		return proxy.Fault{Kind: proxy.Stall, Dir: proxy.Up, After: 1024, When: aWrite, Each: true}
	})
}

// atBothEnds breaks connections in each way, at both ends at once, while samples come and while they are sent.
func (c *cell) atBothEnds() {
	const cuts = 70 // at most, at each end; fifty have to fire
	kinds := []proxy.Kind{proxy.Cut, proxy.Reset, proxy.Truncate}
	lots := func(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(c.rnd.Uint64(), seed)) }
	up, down := lots(1), lots(2)
	// A connection serves requests until its fault.
	c.other.Plan(func(n int) proxy.Fault {
		if n >= cuts {
			return proxy.Fault{}
		}
		return proxy.Fault{Kind: kinds[n%3], Dir: proxy.Down, After: 200 + down.Int64N(20_000), When: aRead}
	})
	c.at.Plan(func(n int) proxy.Fault {
		if n >= cuts {
			return proxy.Fault{}
		}
		if n%4 == 0 {
			return proxy.Fault{Kind: kinds[n/4%2], Dir: proxy.Down, When: aWrite}
		}
		return proxy.Fault{Kind: kinds[n%3], Dir: proxy.Up, After: up.Int64N(25_000), When: aWrite}
	})
}

// run is a first copy and then changes, both through the fault.
func (c *cell) run() {
	deep(c.scene, 4000)
	src, dst := c.between()
	if c.at, c.other = src, dst; c.side == mirror.TargetSide {
		c.at, c.other = dst, src
	}
	c.begin(c)
	c.start()
	began, had := time.Now(), 0
	var since int64 = axisStart
	step := func(what string) {
		passes := c.until(c.patience, func(r engine.Report, err error) {
			n := c.proofsSince(since, proofsMayBeMissing)
			if c.name == "up now and then" && r.Done > 0 && n < had {
				c.t.Errorf("%d proofs after a Pass, %d before it", n, had)
			}
			had = n
			if c.each != nil {
				c.each(c, r, err)
			}
		})
		c.t.Logf("%s: %d passes, %v", what, passes, time.Since(began).Round(100*time.Millisecond))
	}
	step("copy")
	fired := 0
	for _, k := range c.fires {
		n := c.at.Fired(k) + c.other.Fired(k)
		c.t.Logf("%s fired %d times", k, n)
		if n == 0 && k != proxy.Keep {
			c.t.Errorf("void: %s never fired", k)
		}
		fired += n
	}
	if fired < c.atLeast && c.later == nil {
		c.t.Errorf("void: %d faults fired, want %d", fired, c.atLeast)
	}
	c.identical(always)

	c.kept = c.at.Kept()
	since = (time.Now().UnixNano()/int64(time.Second) + 1) * int64(time.Second) // by the clock of servers, which tell whole seconds
	had = 0
	c.changes()
	step("changes")
	c.identical(always)
	if c.later != nil {
		since = (time.Now().UnixNano()/int64(time.Second) + 1) * int64(time.Second)
		c.later(c)
		if fired = c.at.Fired(c.fires[0]); fired < c.atLeast {
			c.t.Errorf("void: %d faults fired, want %d", fired, c.atLeast)
		}
		step("later")
	}
	for _, p := range []*proxy.Proxy{c.at, c.other} {
		p.Plan(nil)
		p.SetLink(proxy.Link{})
	}
	c.identical(always)
	c.verdict("IDENTICAL")
	c.proofs(100)
}

// changes overwrites, adds between and adds behind what deep made.
func (c *cell) changes() {
	now := time.Now().UnixNano()
	var points []string
	for i := range 200 {
		at := monday(now) - int64(1+i%20)*week + int64(i/20)*(week/int64(4000/20+1))
		points = append(points, point("late", nil, []string{"v", strconv.Itoa(i) + "i"}, at+1))
		if i%2 == 0 {
			points = append(points, point("deep", []string{"h", strconv.Itoa(i % 4)}, []string{"v", "-1.25", "s", text("overwritten")}, at))
		}
	}
	load(c.src, c.bucket, points)
}

// The matrix of network faults: fault × side × direction. In each cell a first copy and then changes go through a proxy that has the fault, with real
// servers. No Proof on the way is false, the fault fires, and in the end both buckets hold the same.
func TestNetworkFaults(t *testing.T) {
	t.Parallel()
	type one struct {
		hazard
		on string
	}
	var all []one
	for turn := range 4 { // of each hazard its first place, then the second, …
		for _, h := range hazards {
			if turn < len(h.on) {
				all = append(all, one{h, h.on[turn]})
			}
		}
	}
	for i := range *howManyCells {
		h := all[i%len(all)]
		seed := *cellSeed + uint64(i/len(all))
		t.Run(fmt.Sprintf("%s, %s, %d", h.name, h.on, seed), func(t *testing.T) {
			t.Parallel()
			src, dst := sharedServers(t)
			if h.alone {
				src, dst = servers.Start(t, servers.V2), servers.Start(t, servers.V2)
			}
			c := &cell{scene: sceneOn(t, src, dst, buckets{}), hazard: h.hazard, rnd: rand.New(rand.NewPCG(seed, uint64(i)))}
			side, dir, _ := strings.Cut(h.on, " ")
			if c.side = mirror.Side(side); dir == "up" {
				c.dir = proxy.Up
			}
			c.run()
		})
	}
}
