package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"influxmirror/influxtest"
	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

const (
	demoBucket = "lab"
	demoSync   = time.Minute // the last sync takes no longer
	demoVerify = time.Minute
	demoLeast  = time.Second
	demoMost   = time.Hour // everything is kept in memory
	// demoAnswers makes the link so slow that the first copy takes a third of the time.
	demoAnswers = 5000
)

func (a *app) demoCommand() *cobra.Command {
	var length time.Duration
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch two servers in memory, an instrument and a link that fails; no set-up",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if length < demoLeast || length > demoMost {
				return withCode(exitUsage, fmt.Errorf("--for %s: between %s and %s expected; everything is kept in memory", length, span(demoLeast), span(demoMost)))
			}
			return a.demo(cmd.Context(), length)
		},
	}
	cmd.Flags().DurationVar(&length, "for", 30*time.Second, "how long the instrument writes, a `duration`")
	return cmd
}

// demo is one showing: two servers in memory, what happens to them, and the mirror between them.
type demo struct {
	*site
	screen     *screen
	clock      *demoClock
	src, dst   *influxtest.Server
	slow       slowness
	length     time.Duration
	instrument *instrument
	link       *link
	watcher    *demoWatcher
	wired      *wired
}

// demoClock is the clock of both servers. It runs as this machine's does, some seconds off.
type demoClock struct{ offset atomic.Int64 }

func (c *demoClock) now() time.Time              { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *demoClock) forward(d time.Duration)     { c.offset.Add(int64(d)) }
func (c *demoClock) since(t int64) time.Duration { return time.Duration(c.now().UnixNano() - t) }

// demo shows everything and ends with the verify report.
func (a *app) demo(ctx context.Context, length time.Duration) error {
	// The first signal ends the showing and not the proof, the second ends everything.
	work, quit := context.WithCancel(context.WithoutCancel(ctx))
	defer quit()
	early, enough := context.WithCancel(work)
	defer enough()
	defer context.AfterFunc(ctx, enough)()
	stop := onSignals(enough, quit)
	defer stop()

	dir, err := os.MkdirTemp("", "influxmirror-demo-")
	if err != nil {
		return withCode(exitState, err)
	}
	defer os.RemoveAll(dir)
	d := &demo{length: length, clock: &demoClock{}}
	d.screen = newScreen(a, quit)
	defer d.screen.close()
	// A minute ends while one watches: in a quarter of the time.
	d.clock.offset.Store(-int64((time.Duration(time.Now().UnixNano()%int64(time.Minute)) + min(length/4, 8*time.Second)) % time.Minute))
	d.slow.Store(int64(length / demoAnswers))
	for _, server := range []**influxtest.Server{&d.src, &d.dst} {
		l, err := d.slow.listen()
		if err != nil {
			return err
		}
		*server = influxtest.NewServer(influxtest.Options{Now: d.clock.now, Org: "demo", Token: "demo", Listener: l})
		defer (*server).Close()
	}
	d.src.CreateBucket(demoBucket, 0, 7*24*time.Hour)

	cfg, err := d.config(a, dir)
	if err != nil {
		return err
	}
	if d.site, err = d.screen.app.open(cfg, writes); err != nil {
		return err
	}
	defer d.site.close()
	if err = d.show(work, early); err != nil && work.Err() != nil {
		d.screen.close()
		fmt.Fprintln(a.err, "influxmirror: interrupted; the demo's servers and files are gone")
		return ended(exitInterrupted)
	}
	return err
}

// onSignals calls first for the first interrupt, then second for the next; a terminal that goes away is both.
func onSignals(first, second func()) (stop func()) {
	heard := make(chan os.Signal, 2)
	signal.Notify(heard, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // an error of a write and no more
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() { // ended by stop
		defer close(ended)
		again := false
		for {
			select {
			case <-done:
				return
			case s := <-heard:
				first()
				if again || s == syscall.SIGHUP {
					second()
				}
				again = true
			}
		}
	}()
	return func() {
		signal.Stop(heard)
		close(done)
		<-ended
	}
}

// config writes the demo's influxmirror.yaml and reads it as run does.
func (d *demo) config(a *app, dir string) (*config.Config, error) {
	text := fmt.Sprintf(`endpoints:
  station: {url: %q, org: demo, token: demo}
  home: {url: %q, org: demo, token: demo}
mirrors:
  - {name: %[3]s, from: "station:%[3]s", to: "home:%[3]s", wait: 1s}
log_bucket: none
state_dir: state
`, d.src.URL, d.dst.URL, demoBucket)
	path := filepath.Join(dir, "influxmirror.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, withCode(exitState, err)
	}
	own := *a // a state directory of the user's is not touched
	own.flags.config, own.flags.stateDir = path, ""
	own.out, own.err, own.terminal = d.screen, d.screen, false
	own.log = slog.New(own.handler(false))
	d.screen.app = &own
	return own.load()
}

// show runs the demo until the time is over or early ends, then proves. work is given up when it is cancelled.
func (d *demo) show(work, early context.Context) error {
	d.instrument = &instrument{server: d.src, clock: d.clock, screen: d.screen, every: between(300*time.Millisecond, d.length/15, 2500*time.Millisecond)}
	history := d.instrument.history()
	d.screen.text("influxmirror demo: two InfluxDB servers in this process, an instrument, and a")
	d.screen.text("slow link that fails. Only loopback ports and a temporary directory are used.")
	d.screen.text("The instrument writes for %s, then all is proven; Ctrl-C ends the writing.", span(d.length))
	d.screen.text("  source  station  %s  bucket %s  %s, 3 years", d.src.URL, demoBucket, count(history, "sample"))
	d.screen.text("  target  home     %s  empty", d.dst.URL)
	d.screen.text("")
	d.link = &link{station: d.src, home: d.dst, screen: d.screen,
		gap: between(200*time.Millisecond, d.length/8, 4*time.Second), outage: between(600*time.Millisecond, d.length/10, 4*time.Second)}
	d.wired = d.wire(d.cfg.Mirrors[0], mode{create: true})
	defer d.wired.close()
	d.watcher = &demoWatcher{screen: d.screen, clock: d.clock, link: d.link, history: history, started: time.Now(), length: d.length}
	if err := d.run(early); err != nil {
		return err
	}
	return d.prove(work)
}

// run lets everything happen until the time is over.
func (d *demo) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, d.length)
	defer cancel()
	g, run := errgroup.WithContext(ctx)
	// What a service tells: outages to the log, each Pass to the ledger.
	r := &reporter{ctx: run, w: d.wired, outages: &outages{log: d.log, now: time.Now, all: map[string]*outage{}}, fail: func(err error) {
		g.Go(func() error { return err })
	}}
	d.wired.Observe = func(e engine.Event) {
		r.observe(e)
		d.watcher.observe(e)
	}
	g.Go(func() error { return d.wired.Run(run) })
	g.Go(func() error { d.instrument.run(run); return nil })
	g.Go(func() error { d.link.run(run); return nil })
	g.Go(func() error { d.watcher.run(run); return nil })
	return g.Wait()
}

// prove syncs for the last time, verifies everything and says what it came to.
func (d *demo) prove(ctx context.Context) error {
	d.screen.foot()
	d.slow.Store(0)
	d.screen.say("demo", "the instrument stops after %s, the link is mended and fast", count(d.instrument.samples, "sample"))
	if wait := d.closed(); wait > 0 {
		d.screen.say("demo", "a minute is proven %s after it ended: the servers' clocks are put forward %s", span(d.wired.Margin()), span(wait))
		d.clock.forward(wait)
	}
	d.screen.say("mirror", "looks everywhere once more, as influxmirror sync does:")
	bounded, cancel := context.WithTimeout(ctx, demoSync)
	defer cancel()
	last, err := d.wired.syncOne(bounded)
	d.watcher.tail()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.screen.say("mirror", "the last sync did not end: %v", err)
	} else {
		d.screen.say("mirror", "%s", last.sentence())
	}
	d.screen.say("demo", "verify --full reads every sample on both sides again:")
	d.screen.text("")
	bounded, cancel = context.WithTimeout(ctx, demoVerify)
	defer cancel()
	v, failed := d.wired.Verify(bounded, true)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if failed != nil {
		return fmt.Errorf("verify: %w", failed)
	}
	word, code := v.Result()
	why := d.doubts(v, last, errors.Join(err))
	if code == exitOK && why != nil {
		code = codeOf(why)
	}
	return d.conclude(v, word, code, why)
}

// closed returns how far the clocks have to go until the last live minute can be proven.
func (d *demo) closed() time.Duration {
	at := d.instrument.last - d.instrument.last%mirror.TailWidth + mirror.TailWidth
	return time.Duration(at) + d.wired.Margin() + time.Second - time.Duration(d.clock.now().UnixNano())
}

// doubts returns why a verify that found nothing wrong does not show what the demo is for.
func (d *demo) doubts(v engine.Verdict, last synced, failed error) error {
	fail := func(format string, args ...any) error { return withCode(exitError, fmt.Errorf(format, args...)) }
	same := reflect.DeepEqual(d.src.Dump(demoBucket), d.held())
	switch n := v.Rows[engine.OpenRow].Samples; {
	case failed != nil:
		return fmt.Errorf("the last sync did not end: %w", failed)
	case !last.Complete:
		return withCode(exitIncomplete, fmt.Errorf("the last sync left %s unproven", count(last.Left, "window")))
	case n > 0:
		return withCode(exitIncomplete, fmt.Errorf("%s were still open at the end", count(n, "sample")))
	case v.Rows[engine.Kept].Samples > 0:
		return fail("the target has samples that the source does not have, and nobody else writes here: this is a bug")
	case !same:
		return fail("the two servers hold different samples in memory and verify did not find them: this is a bug")
	case d.link.met() == 0:
		return fail("the link never failed while influxmirror used it: nothing was shown; again: influxmirror demo --for 30s")
	case d.instrument.samples == 0 || d.watcher.lines() == 0:
		return fail("nothing was written: nothing was shown; again: influxmirror demo --for 30s")
	}
	return nil
}

// held is what the target holds, nothing while its bucket was not made.
func (d *demo) held() (all []influxtest.Sample) {
	defer func() { _ = recover() }()
	return d.dst.Dump(demoBucket)
}

// conclude prints the report and the last words.
func (d *demo) conclude(v engine.Verdict, word string, code int, why error) error {
	d.screen.close()
	if d.screen.json {
		doc := document(v, d.cfg.Mirrors[0], word, code, true, nil)
		doc.Full = true
		if err := d.screen.app.printTo(d.screen.result, doc); err != nil {
			return err
		}
	} else {
		report := *d.site
		own := *d.screen.app
		own.out = d.screen.result
		report.app = &own
		report.showVerdict(v, word, code, d.cfg.Mirrors[0])
		if code == exitDifferent {
			report.showDifferences(v)
		}
	}
	if why != nil {
		return withCode(code, why)
	}
	if code != exitOK {
		return ended(code)
	}
	d.screen.text("")
	d.screen.text("The link failed %s:\n%s.", count(d.link.met(), "time"), d.link.kinds())
	d.screen.text("Written meanwhile: %s, %s.", count(d.instrument.samples, "sample"), d.instrument.kinds())
	d.screen.text("Both servers hold the same %s, compared in their memory as well.", count(v.Union, "sample"))
	d.screen.text("Next: name two servers of your own in an influxmirror.yaml (see the README); then")
	d.screen.text("influxmirror plan says what would be done, and influxmirror run does it.")
	return nil
}

// printTo is print to another stream.
func (a *app) printTo(w io.Writer, v any) error {
	own := *a
	own.out = w
	return own.print(v)
}

// between keeps d in bounds.
func between(least, d, most time.Duration) time.Duration { return max(least, min(d, most)) }
