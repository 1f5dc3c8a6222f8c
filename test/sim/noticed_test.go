package sim

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
)

// changeOf is a kind of change, with how soon it has to be noticed and mended, or reported, with write counters and without.
type changeOf struct {
	name string
	// make does it; old is the start of a week long ago that holds 20 samples a quarter of an hour apart, of which nobody else makes use.
	make          func(s *scene, old int64)
	with, without time.Duration // 0: by a scrub, or by verify --full
	started       time.Duration // without, where the server tells at least when it was started: 2.x
	extra         int           // samples that are only on the target from then on
	quiet         time.Duration // the instrument writes so seldom
}

const (
	nextPass = 45 * time.Second // after a wait of 30 s
	inPasses = 2 * time.Minute  // when the counter of an old shard group rests, which is half a minute, or in the Pass after what found it
	inABit   = 15*time.Minute + nextPass
	inADay   = 24*time.Hour + nextPass
)

// The table of docs: every kind of change, how soon it is noticed.
var changesNoticed = []changeOf{
	{name: "new", with: nextPass, without: nextPass, make: func(s *scene, _ int64) { s.put("live v=1 %d", now()) }},
	{name: "late", with: nextPass, without: nextPass, make: func(s *scene, _ int64) { s.put("live v=1 %d", now()-int64(5*time.Hour)-1) }},
	{name: "late by two days", with: nextPass, without: nextPass, make: func(s *scene, _ int64) { s.put("live v=1 %d", now()-int64(47*time.Hour)-1) }},
	{name: "late by years, where nothing was", with: nextPass, without: inABit, make: func(s *scene, _ int64) { s.put("live v=1 %d", now()-int64(600*week)) }},
	{name: "ahead of the clock", with: nextPass, without: inABit, make: func(s *scene, _ int64) { s.put("live v=1 %d", now()+int64(9*week)) }},
	{name: "a field added to an old line", with: nextPass, without: inABit, make: func(s *scene, old int64) { s.put("old,h=a more=1 %d", old) }},
	{name: "number overwritten", with: inPasses, without: inABit, make: func(s *scene, old int64) { s.put("old,h=a v=99.5 %d", old) }},
	{name: "number overwritten in the group that is written", with: nextPass, without: nextPass, make: func(s *scene, _ int64) { s.put("live v=99 %d", s.lately()) }},
	{name: "boolean overwritten", with: inPasses, make: func(s *scene, old int64) { s.put("old,h=a ok=false %d", old) }},
	{name: "string overwritten", with: inPasses, make: func(s *scene, old int64) { s.put("old,h=a s=\"b\" %d", old) }},
	{name: "string overwritten in the group that is written", with: time.Hour + nextPass, make: func(s *scene, _ int64) { s.put("text v=\"b\" %d", s.lately()) }},
	{name: "overwritten, with equal sums", with: inPasses, make: func(s *scene, old int64) {
		s.put("old,h=a v=1.25 %d\nold,h=a v=0.25 %d", old, old+int64(15*time.Minute))
	}},
	{name: "number changed at the target", with: inPasses, without: inABit, make: func(s *scene, old int64) { s.dst.Write(bucket, fmt.Sprintf("old,h=a v=99.5 %d", old)) }},
	{name: "string changed at the target", with: inPasses, make: func(s *scene, old int64) { s.dst.Write(bucket, fmt.Sprintf("old,h=a s=\"b\" %d", old)) }},
	{name: "string changed at the target in the group that is written", with: time.Hour + inPasses, make: func(s *scene, _ int64) {
		s.dst.Write(bucket, fmt.Sprintf("text v=\"c\" %d", s.lately()))
	}},
	{name: "added at the target", with: nextPass, without: inABit, extra: 1, make: func(s *scene, old int64) { s.dst.Write(bucket, fmt.Sprintf("old,h=a more=1 %d", old)) }},
	{name: "the target loses its last hour", with: inPasses, without: inABit, make: func(s *scene, _ int64) {
		s.dst.Delete(bucket, "live", now()-int64(time.Hour), now())
		s.dst.Restart()
	}},
	{name: "the target loses overwritten strings of long ago", with: 15 * time.Minute, started: 15 * time.Minute, make: func(s *scene, old int64) {
		s.dst.Write(bucket, fmt.Sprintf("old,h=a s=\"before\" %d", old))
		s.dst.Restart()
	}},
	{name: "deleted, at the source and at the target", with: inADay, without: inABit, extra: 4 * 2, quiet: 6 * time.Hour, make: func(s *scene, old int64) {
		s.src.Delete(bucket, "old", old, old+int64(20*time.Minute))
		s.dst.Delete(bucket, "old", old+int64(time.Hour), old+int64(80*time.Minute))
	}},
}

// lately is when the instrument wrote about an hour ago.
func (s *scene) lately() (at int64) {
	for _, x := range s.src.Dump(bucket) {
		if x.Measurement == "text" && x.Time < now()-int64(time.Hour) {
			at = max(at, x.Time)
		}
	}
	return at
}

// noticing is a service in virtual time, with an instrument that writes.
type noticing struct {
	*scene
	began  int64
	passes chan engine.Report
	every  atomic.Int64 // ns between two readings of the instrument
}

// serve runs the Mirror as the service does until the test ends.
func (n *noticing) serve() {
	t, s := n.t, n.scene
	n.passes = make(chan engine.Report, 1)
	n.every.Store(int64(time.Minute))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	s.mirror.Observe = func(e engine.Event) {
		if e.Kind != "pass" {
			return
		}
		if e.Err != nil {
			t.Logf("%s pass: %v", time.Now().UTC().Format("01-02 15:04:05"), e.Err)
		}
		select {
		case <-n.passes:
		default:
		}
		n.passes <- *e.Report
	}
	go func() { ended <- s.mirror.Run(ctx) }()
	var instrument sync.WaitGroup
	instrument.Go(func() {
		time.Sleep(4 * time.Second) // not when Passes begin
		for last := now(); ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Second):
			}
			if at := now(); at-last >= n.every.Load() {
				n.put("live v=%d %d\ntext v=\"a\" %d", at/1e9%7, at, at)
				last = at
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		instrument.Wait()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// until waits until a Pass has ended after which ok holds, and returns how long that took.
func (n *noticing) until(limit time.Duration, ok func(engine.Report) bool) (took time.Duration, is bool) {
	began := time.Now()
	for {
		select {
		case r := <-n.passes:
			if ok(r) {
				return time.Since(began), time.Since(began) <= limit
			}
		case <-time.After(limit - time.Since(began)):
			return time.Since(began), false
		}
	}
}

// tellsNothing makes a server keep its write counters to itself.
func tellsNothing(s *influxtest.Server) {
	s.Fault(func(r *http.Request) bool {
		return r.URL.Path == "/metrics" || r.URL.Path == "/debug/vars" || strings.Contains(r.Form.Get("q"), "SHOW STATS")
	}, influxtest.Status(404, 0, "404 page not found"))
}

// TestHowSoonNoticed: every kind of change is noticed as soon as the documents say, with the service and its usual wait: by servers of both lines that
// tell their write counters, and by those that do not (D1, D2, D3, D4, S2, T7).
func TestHowSoonNoticed(t *testing.T) {
	for _, version := range []influxtest.Version{influxtest.V2, influxtest.V1} {
		for _, counters := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, counters %t", version, counters), func(t *testing.T) {
				notice(t, version, counters, engine.Scrub{Target: 30 * day, Source: 90 * day}, func(n *noticing) {
					for i, c := range changesNoticed {
						limit := c.with
						switch {
						case !counters && version == influxtest.V2:
							limit = max(c.without, c.started)
						case !counters:
							limit = c.without
						}
						if limit == 0 || limit == inADay && (version == influxtest.V1 || testing.Short()) { // a day is as long on either line
							continue
						}
						n.one(i, c, limit)
					}
				})
			})
		}
	}
}

// TestNoticedByScrub: what a server without counters lets nobody notice sooner is found within the period of the scrub, of the target or of the source.
func TestNoticedByScrub(t *testing.T) {
	const period = 4 * time.Hour
	notice(t, influxtest.V1, false, engine.Scrub{Target: period, Source: period}, func(n *noticing) {
		n.settle("all")
		made := 0
		for i, c := range changesNoticed {
			if c.without == 0 {
				c.make(n.scene, n.old(i))
				made++
			}
		}
		if missing := len(n.missing()); missing < made {
			n.t.Fatalf("void: %d changes, %d samples differ", made, missing)
		}
		took, ok := n.until(period, func(engine.Report) bool { return len(n.missing()) == 0 })
		if n.t.Logf("%d changes: %s of %s", made, took, period); !ok {
			n.t.Errorf("not noticed in %s: %q", took, n.missing())
		}
	})
}

// notice begins a story with a year of old data, each week of which is for one change, and the last four hours of an instrument.
func notice(t *testing.T, version influxtest.Version, counters bool, scrub engine.Scrub, story func(*noticing)) {
	dir, err := stateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := influxtest.Options{Version: version}
	direct(t, buckets{src: o, dst: o, dir: dir, settings: engine.Settings{Wait: 30 * time.Second, Scrub: scrub}}, func(s *scene) {
		if !counters {
			tellsNothing(s.src)
			tellsNothing(s.dst)
		}
		n := &noticing{scene: s, began: weeks.Group(now()).Start}
		var b strings.Builder
		for i := range changesNoticed {
			for j := range 20 {
				at := n.old(i) + int64(j)*int64(15*time.Minute)
				fmt.Fprintf(&b, "old,h=a v=%[1]d.25,n=%[1]di,ok=true,s=\"a%[1]d\" %[2]d\n", j, at)
			}
		}
		for i := range 4 * 60 {
			at := now()/1e9*1e9 - int64(i)*int64(time.Minute)
			fmt.Fprintf(&b, "live v=%d %d\ntext v=\"a\" %d\n", i%7, at, at)
		}
		s.put("%s", b.String())
		n.serve()
		story(n)
	})
}

// old is where the samples for change i begin.
func (n *noticing) old(i int) int64 { return n.began - int64(i+4)*int64(week) }

// settle waits until the mirror is in step, counters have come to rest, and the group that is written was read again a while ago.
func (n *noticing) settle(name string) (last engine.Report) {
	time.Sleep(4*time.Minute + 7*time.Second)
	if _, ok := n.until(time.Hour, func(r engine.Report) bool { last = r; return r.Complete() && len(n.missing()) == 0 }); !ok {
		n.t.Fatalf("%s: the mirror is not in step before", name)
	}
	return last
}

// one makes one change and waits until it is noticed.
func (n *noticing) one(i int, c changeOf, limit time.Duration) {
	n.every.Store(int64(max(time.Minute, c.quiet)))
	keeps := n.settle(c.name).Totals.Extra
	time.Sleep(3 * time.Second)
	c.make(n.scene, n.old(i))
	if c.extra == 0 && len(n.missing()) == 0 {
		n.t.Fatalf("%s: void, nothing changed", c.name)
	}
	took, ok := n.until(limit, func(r engine.Report) bool {
		return !r.Idle && r.Totals.Extra == keeps+uint64(c.extra) && len(n.missing()) == 0
	})
	n.t.Logf("%-60s %8s of %8s", c.name, took.Round(time.Second), limit)
	if !ok {
		n.t.Errorf("%s: not noticed in %s", c.name, limit)
	}
}
