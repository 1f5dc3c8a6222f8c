package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"influxmirror/influxtest"
)

const (
	instrumentTick = 200 * time.Millisecond
	historyWeeks   = 156
	week           = 7 * 24 * time.Hour
)

// instrument writes to the source, beside the link: live points, and what makes mirrors miss things. One goroutine uses it.
type instrument struct {
	server *influxtest.Server
	clock  *demoClock
	screen *screen
	every  time.Duration // between two out of the ordinary

	origin  time.Time // where history ends
	batch   strings.Builder
	samples int   // written since history
	last    int64 // newest live point
	acts    int
	tally   [3]int // late, overwritten, future: samples
}

// The kinds of what the instrument does out of the ordinary.
const (
	isLate = iota
	isOverwritten
	isFuture
)

// point adds one point with so many fields to the batch.
func (i *instrument) point(fields int, at time.Time, format string, args ...any) {
	fmt.Fprintf(&i.batch, format, args...)
	fmt.Fprintf(&i.batch, " %d\n", at.UnixNano())
	i.samples += fields
}

func (i *instrument) send() {
	i.server.Write(demoBucket, i.batch.String())
	i.batch.Reset()
}

// Points of every type. n varies the values.
func (i *instrument) cryostat(at time.Time, stage string, n int) {
	i.point(2, at, "cryostat,stage=%s temperature=%g,heater=%g", stage, 0.0123+1e-4*math.Sin(float64(n)/7), 1e-6*float64(n%100))
}

func (i *instrument) pump(at time.Time, n int) {
	i.point(2, at, "pump,name=turbo speed=%di,on=%t", 820+n%7, n%11 != 0)
}

func (i *instrument) dewar(at time.Time, n int) { i.point(1, at, "dewar level=%du", 95-n%60) }

func (i *instrument) note(at time.Time, text string) {
	i.point(1, at, "notes,by=control text=%q", text)
}

// history fills the source with three years and the last half hour, and returns how many samples that are.
func (i *instrument) history() int {
	i.origin = i.clock.now().Add(-40 * time.Minute).Truncate(time.Minute)
	for w := historyWeeks; w > 0; w-- {
		for n := range 48 {
			i.cryostat(i.past(w, n), "mxc", n+w)
		}
		for n := range 24 {
			i.pump(i.past(w, 2*n), n+w)
		}
		for n := range 12 {
			i.dewar(i.past(w, 4*n), n+w)
		}
		for n := range 4 {
			i.note(i.past(w, 12*n), fmt.Sprintf("cooling, week %d, step %d", w, n))
		}
		i.send()
	}
	for n := range 30 * 6 {
		i.cryostat(i.recent(n), "mxc", n)
	}
	for n := range 30 {
		i.pump(i.recent(6*n), n)
	}
	i.send()
	n := i.samples
	i.samples = 0
	return n
}

// past is the time of sample n, one of 48, of the week that began w weeks ago.
func (i *instrument) past(w, n int) time.Time {
	return i.origin.Add(-time.Duration(w)*week + time.Duration(n)*week/48)
}

// recent is the time of sample n, one of 180, of the half hour before the demo.
func (i *instrument) recent(n int) time.Time {
	return i.origin.Add(5*time.Minute + time.Duration(n)*10*time.Second)
}

// run writes until ctx ends.
func (i *instrument) run(ctx context.Context) {
	i.screen.say("instrument", "writes some 30 samples a second: floats, integers, unsigned, booleans, strings")
	live, special := time.NewTicker(instrumentTick), time.NewTicker(i.every)
	defer live.Stop()
	defer special.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-live.C:
			i.live(n)
			n++
		case <-special.C:
			i.act()
		}
	}
}

func (i *instrument) live(n int) {
	at := i.clock.now()
	i.last = at.UnixNano()
	i.cryostat(at, "mxc", n)
	i.cryostat(at, "still", n)
	i.pump(at, n)
	if n%2 == 0 {
		i.dewar(at, n)
	}
	if n%5 == 0 {
		i.note(at, fmt.Sprintf("second %d", n/5))
	}
	i.send()
}

// act does one thing out of the ordinary, another one each time.
func (i *instrument) act() {
	round, before := i.acts/8, i.samples
	now := i.clock.now()
	kind, text := isLate, ""
	switch i.acts % 8 {
	case 0:
		w := 2 + round%20
		kind, text = isOverwritten, fmt.Sprintf("overwrites a number of %s: it was calibrated anew", ago(i.past(w, 7), now))
		i.point(1, i.past(w, 7), "cryostat,stage=mxc temperature=%g", 0.0456+float64(round))
	case 1:
		text = fmt.Sprintf("3 late points of %s: a logger was off line", ago(i.recent(60), now))
		for n := range 3 {
			i.cryostat(i.recent(60+n).Add(3*time.Second+time.Duration(round)), "still", n)
		}
	case 2:
		at := now.AddDate(0, 0, 100+7*round)
		kind, text = isFuture, fmt.Sprintf("a point of %s, %s ahead: a clock is wrong", at.UTC().Format(time.DateOnly), span(at.Sub(now)))
		i.dewar(at, round)
	case 3:
		w := 60 + round%35
		kind, text = isOverwritten, fmt.Sprintf("overwrites a string of %s: a note is corrected", ago(i.past(w, 24), now))
		i.note(i.past(w, 24), fmt.Sprintf("warming, not cooling (%d)", round))
	case 4:
		w := 100 + round%50
		text = fmt.Sprintf("20 late points of %s: a forgotten file is read in", ago(i.past(w, 30), now))
		for n := range 20 {
			i.pump(i.past(w, 30).Add(time.Duration(n+1)*time.Minute+time.Duration(round)), n)
		}
	case 5:
		w := 30 + round%25
		kind, text = isOverwritten, fmt.Sprintf("overwrites a boolean of %s: the pump was not on", ago(i.past(w, 8), now))
		i.point(1, i.past(w, 8), "pump,name=turbo on=%t", ((4+w)%11 == 0) == (round/25%2 == 0))
	case 6:
		kind, text = isOverwritten, fmt.Sprintf("overwrites an integer of %s", ago(i.recent(90), now))
		i.point(1, i.recent(90), "pump,name=turbo speed=%di", 900+round)
	case 7:
		at := now.Add(time.Duration(26+round) * time.Hour)
		kind, text = isFuture, fmt.Sprintf("a plan: a string of %s ahead", span(at.Sub(now)))
		i.note(at, fmt.Sprintf("refill the dewar (%d)", round))
	}
	i.send()
	i.acts++
	i.tally[kind] += i.samples - before
	i.screen.say("instrument", "%s", text)
}

// kinds says what was done out of the ordinary.
func (i *instrument) kinds() string {
	return fmt.Sprintf("of them %s late, %s overwritten, %s in the future", num(i.tally[isLate]), num(i.tally[isOverwritten]), num(i.tally[isFuture]))
}

// ago says how long ago something was, for people.
func ago(t, now time.Time) string {
	if d := now.Sub(t); d < 3*time.Hour {
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	}
	days := int(now.Sub(t).Hours() / 24)
	if days < 60 {
		return fmt.Sprintf("%d days ago", days)
	}
	if days < 700 {
		return fmt.Sprintf("%d months ago", days*12/365)
	}
	return fmt.Sprintf("%.1f years ago", float64(days)/365)
}
