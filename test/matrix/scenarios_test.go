package matrix

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"influxmirror/internal/mirror"
	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
)

// A scenario is a column of the table. run fails the test or has shown what the column says. absent is the word why a direction does not
// have it, or "". Core scenarios are lived through in every direction by a plain run.
type scenario struct {
	name   string
	core   bool
	run    func(t *testing.T, from, to kind)
	absent func(from, to kind) string
}

func always(kind, kind) string { return "" }

func bothDirs(word string) func(kind, kind) string {
	return func(from, to kind) string {
		if from.dir && to.dir {
			return word
		}
		return ""
	}
}

var scenarios = []scenario{
	{"first copy", true, firstCopy, always},
	{"late, overwritten", true, lateAndOverwritten, always},
	{"mixed types", true, mixedTypes, always},
	{"link cut", true, linkCut, bothDirs("local")},
	{"live writes", false, liveWrites, always},
	{"future points", false, futurePoints, always},
	{"odd names", false, oddNames, always},
	{"refused", false, refusedByTarget, func(_, to kind) string {
		if to.dir {
			return "never" // a directory takes everything
		}
		return ""
	}},
	{"restarts", false, restarts, always},
	{"retention", false, retention, bothDirs("none")},
}

// A bucket full of everything arrives, and a new process finds it so.
func firstCopy(t *testing.T, from, to kind) {
	c := newCell(t, from, to, sides{})
	c.begin()
	c.settle()
	c.check()
	c.reopen()
	for _, h := range c.hops {
		h.quiet()
	}
}

// Points between those that were mirrored, other values in their place, and weeks that were empty.
func lateAndOverwritten(t *testing.T, from, to kind) {
	c := newCell(t, from, to, sides{})
	c.begin()
	at := c.weeksAgo(9) + 3*dataset.Day
	var first, then []string
	for i := range 40 {
		tags := []string{"n", strconv.Itoa(i % 3)}
		put := func(list *[]string, field, value string) {
			*list = append(*list, dataset.Point("over", tags, []string{field, value}, at+int64(i)*13*dataset.Minute))
		}
		types := c.types()
		for k := range len(types) {
			field := "v_" + types[k:k+1]
			put(&first, field, c.value(types[k]))
			if c.rnd.IntN(3) == 0 {
				put(&then, field, c.value(types[k]))
			}
		}
		// Two values change places: counts, sums, the least and the greatest stay as they were.
		put(&first, "swap", strconv.Itoa(i))
		if i == 7 || i == 8 {
			put(&then, "swap", strconv.Itoa(15-i))
		}
	}
	c.origin.load(t, first)
	c.settle()
	c.origin.load(t, then)
	c.origin.load(t, c.history("cryo stat", 40, c.weeksAgo(9)+dataset.Day, dataset.Day)) // beside the old ones
	c.origin.load(t, c.history("cryo stat", 20, c.weeksAgo(30), dataset.Week))           // where nothing was
	c.origin.load(t, c.history("newcomer", 20, c.weeksAgo(3), 2*dataset.Day))            // a measurement that is new
	c.origin.load(t, c.history("live", 5, c.now-dataset.Hour, 50*dataset.Minute))        // and in the last hour
	c.settle()
	c.check()
}

// A field has another type on each day, with shard groups of a day at both ends; and once more where the target has one group for all of
// them, can hold one type only, and refuses the others.
func mixedTypes(t *testing.T, from, to kind) {
	byDay := bucket{group: 24 * time.Hour}
	write := func(c *cell) {
		start := c.weeksAgo(8)
		var points []string
		for d, types := 0, c.types(); d < len(types); d++ {
			for i := range 40 {
				points = append(points, dataset.Point("mixed", []string{"k", strconv.Itoa(i % 2)}, []string{"v", c.value(types[d]), "n", strconv.Itoa(i) + "i", "only_" + types[d:d+1], c.value(types[d])},
					start+int64(d)*dataset.Day+int64(i)*35*dataset.Minute))
			}
		}
		c.origin.load(t, points)
		c.settle()
	}
	c := newCell(t, from, to, sides{source: byDay, target: byDay})
	write(c)
	c.check()
	c = newCell(t, from, to, sides{source: byDay})
	write(c)
	if to.dir { // holds any types side by side
		c.check()
		return
	}
	held := c.target.holds(t, oracle.Always)
	var letter byte
	for p, v := range held {
		if p.Field == "v" {
			letter = v[0]
		}
	}
	c.refused = func(e *end, p oracle.Place, value string) bool {
		return e == c.target && p.Field == "v" && value[0] != letter
	}
	c.check()
	c.hops[len(c.hops)-1].reasons("field type conflict", mirror.Refused)
}

// Samples come while they are copied.
func liveWrites(t *testing.T, from, to kind) {
	c := newCell(t, from, to, sides{})
	c.begin()
	stop, done := make(chan struct{}), make(chan error, 1)
	var sent atomic.Int64
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				done <- nil
				return
			case <-time.After(10 * time.Millisecond):
			}
			points := []string{dataset.Point("live", []string{"host", "b"}, []string{"n", strconv.Itoa(i) + "i", "ok", "true"}, time.Now().UnixNano())}
			if i%10 == 0 { // and some of them into what is being copied
				points = append(points, dataset.Point("cryo stat", []string{"host", "late"}, []string{"n", strconv.Itoa(i) + "i"}, c.weeksAgo(3)+int64(i)*dataset.Minute))
			}
			if err := dataset.Load(c.origin.on, c.origin.bucket, points); err != nil {
				done <- err
				return
			}
			sent.Add(1)
		}
	}()
	// A quick machine is done with three passes before much was written.
	for n, late := 0, time.Now().Add(time.Minute); n < 3 || sent.Load() < 20 && time.Now().Before(late); n++ {
		for _, h := range c.hops {
			if _, err := h.pass(t.Context()); err != nil {
				t.Errorf("%v", err)
			}
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := sent.Load(); n < 20 {
		t.Errorf("void: %d live points", n)
	}
	c.reopen() // a sample that came later than others of the open minute were copied is copied when the minute closes, or by the next process
	c.settle()
	c.check()
}

// Points ahead of the clock arrive and delay nothing; nor do those at the ends of the axis.
func futurePoints(t *testing.T, from, to kind) {
	c := newCell(t, from, to, sides{})
	c.begin()
	for i, at := range []int64{c.now + 20*second, c.now + dataset.Hour, c.now + dataset.Day, c.now + 40*dataset.Week, c.now + 30*52*dataset.Week, oracle.AxisStop - 1, oracle.AxisStop, oracle.AxisStart, oracle.AxisStart + 1, -1, 0} {
		types := c.types()
		if i < 2 {
			types = "fibs" // until the next Cell begins nothing is proven, and a refusal not remembered
		}
		c.origin.load(t, []string{dataset.Point("future", nil, append(c.fieldsOf(types), "n", strconv.Itoa(i)+"i"), at)})
	}
	c.settle()
	for i := range 5 { // the present goes on
		c.origin.load(t, []string{dataset.Point("live", nil, []string{"n", strconv.Itoa(i) + "i"}, time.Now().UnixNano())})
	}
	c.origin.load(t, []string{dataset.Point("future", nil, []string{"n", "99i"}, c.now+40*dataset.Week+second)})
	c.settle()
	c.check()
}

var bareBackslash = regexp.MustCompile(`\\[,= "\\]`)

// Names that have to be escaped somewhere, as measurement, tag and field, and fields and tags of one name.
func oddNames(t *testing.T, from, to kind) {
	c := newCell(t, from, to, sides{})
	at := c.weeksAgo(4)
	var points []string
	names, odd := slices.Clone(dataset.Names), []rune(`,= "'\/abc☃:;#$%&()[]{}|~.*+?^`)
	for range 10 {
		var b []rune
		for range 1 + c.rnd.IntN(6) {
			b = append(b, odd[c.rnd.IntN(len(odd))])
		}
		// No line can carry a backslash before what is escaped with one, nor at the end; a # begins a comment.
		if name := string(b); name[0] != '#' && !strings.ContainsAny(name[len(name)-1:], `\`) && !bareBackslash.MatchString(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for i, n := range names {
		o := names[(i+1)%len(names)]
		points = append(points,
			dataset.Point(n, []string{n, o}, []string{n, "1i", o, dataset.Text(n)}, at+int64(i)),
			dataset.Point("names", []string{n, o, "plain", n}, []string{"v", "1i"}, at+int64(i)),
			dataset.Point("names", []string{"plain", n}, []string{n, "0.5"}, at+int64(i)))
	}
	points = append(points, dataset.Point("clash", []string{"x", "t", "x_1", "t1", "time_1", "z"}, []string{"x", "1", "x_1", "2i"}, at),
		dataset.Point("clash", []string{"x", "t"}, []string{"x", "4"}, at), dataset.Point("clash", nil, []string{"x", "5", "x_1", "6i"}, at))
	c.origin.load(t, points)
	c.settle()
	c.check()
}

// The target holds fields of another type: what it refuses is excepted, by name and reason, and takes nothing else with it.
func refusedByTarget(t *testing.T, from, to kind) {
	c := newCell(t, from, to, sides{})
	c.begin()
	at := c.weeksAgo(3)
	var points []string
	for i := range 80 {
		points = append(points, dataset.Point("m", []string{"h", strconv.Itoa(i % 3)}, []string{"ok", "true", "v", strconv.Itoa(i) + "i", "w", "1.5"}, at+int64(i)*dataset.Hour))
	}
	c.origin.load(t, points)
	before := []string{dataset.Point("m", []string{"h", "x"}, []string{"v", "0.5"}, at+dataset.Minute), dataset.Point("m", []string{"h", "2"}, []string{"v", dataset.Text("taken")}, at-dataset.Day)}
	c.target.load(t, before)
	c.extra = len(before)
	c.refused = func(e *end, p oracle.Place, _ string) bool {
		return e == c.target && p.Measurement == "m" && p.Field == "v"
	}
	c.settle()
	c.check()
	c.hops[len(c.hops)-1].reasons("field type conflict", mirror.Refused)
	c.reopen()
	for _, h := range c.hops {
		h.quiet()
	}
}

// restarting keeps cells apart that restart the same servers.
var restarting = make(chan struct{}, 1)

// Each end is killed and comes back, between Passes and while one runs; so does the program.
func restarts(t *testing.T, from, to kind) {
	restarting <- struct{}{}
	defer func() { <-restarting }()
	c := newCell(t, from, to, sides{servers: "restarted "})
	c.begin()
	c.origin.load(t, []string{dataset.Point("axis", nil, []string{"v", "1i"}, oracle.AxisStart), dataset.Point("axis", nil, []string{"v", "2i"}, oracle.AxisStop)})
	c.settle()
	for i, e := range []*end{c.origin, c.target} {
		if e.dir {
			c.reopen()
			continue
		}
		c.origin.load(t, c.history(fmt.Sprint("while ", i), 200, c.weeksAgo(5+i), dataset.Week))
		passing := make(chan struct{})
		go func() {
			defer close(passing)
			for _, h := range c.hops {
				if h.source == e || h.target == e {
					_, _ = h.mirror.Pass(t.Context(), goal) // may end in any way
				}
			}
		}()
		select {
		case <-passing:
		case <-time.After(time.Duration(c.rnd.IntN(60)) * time.Millisecond): // somewhere inside it
		}
		e.on.Kill()
		e.on.Restart()
		<-passing
		c.settle()
	}
	c.check()
	c.origin.load(t, c.history("after", 20, c.weeksAgo(5), dataset.Week))
	c.reopen()
	c.settle()
	c.check()
}

// reasons requires that every exception of the classes says why in the server's words, and that there is one.
func (h *hop) reasons(word string, classes ...mirror.Class) {
	h.Helper()
	n := h.exceptions(word, classes...)
	if n == 0 {
		h.Errorf("no exception speaks of %q", word)
	}
}
