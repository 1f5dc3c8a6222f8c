package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"influxmirror/internal/config"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
)

// How often a service looks after itself.
const (
	pollConfig = 3 * time.Second
	checkState = 20 * time.Second
	stopWithin = 10 * time.Second
)

// service is run: all mirrors of a config that may change, over one ledger.
type service struct {
	*site
	watcher *config.Watcher
	hangup  <-chan os.Signal // read the config again
	outages *outages
	manager manager
	begun   bool
}

// hangups hears SIGHUP unless it is ignored (nohup), and ends the context for it on a terminal. Broken pipes are errors of a write and no more.
func (a *app) hangups(ctx context.Context) (context.Context, <-chan os.Signal, func()) {
	signal.Ignore(syscall.SIGPIPE)
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, nil, func() {}
	}
	if isTerminal(a.in) || isTerminal(a.out) || a.terminal {
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
		return ctx, nil, stop
	}
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGHUP)
	return ctx, heard, func() { signal.Stop(heard) }
}

// serve mirrors until ctx ends, which is no error, or the state directory fails.
func (s *service) serve(ctx context.Context) error {
	s.outages = &outages{log: s.log, now: time.Now, all: map[string]*outage{}}
	s.log.Info(fmt.Sprintf("started with %s of %s; state in %s", count(len(s.cfg.Mirrors), "mirror"), s.cfg.Path, s.dir))
	for _, m := range s.cfg.Mirrors {
		if m.To.Endpoint.Dir != "" && m.Log.IsZero() {
			s.log.Info("a directory keeps no log bucket: what this mirror does is told here only; for a bucket: log_bucket: ENDPOINT:BUCKET", "mirror", m.Name)
		}
	}
	poll, check := time.NewTicker(pollConfig), time.NewTicker(checkState)
	defer poll.Stop()
	defer check.Stop()
	alive, tells, quiet := s.manager.beats()
	defer quiet()
	ready := []string{"READY=1", "STATUS=started with " + count(len(s.cfg.Mirrors), "mirror")}
	for {
		g := s.generation(ctx)
		s.manager.say(ready...)
		ready = nil
		changed := false
		for !changed {
			select {
			case <-ctx.Done():
				s.log.Info("stopping")
				s.manager.say("STOPPING=1", "STATUS=stopping")
				if !g.stop("Mirror service shutdown manually.") {
					s.log.Warn("not everything stopped in time; nothing is lost")
				}
				return nil
			case <-g.done:
				g.stop("")
				if isBug(g.err) {
					return g.err
				}
				return withCode(exitState, g.err)
			case <-check.C:
				if err := s.check(); err != nil {
					g.stop("")
					return withCode(exitState, err)
				}
			case <-alive: // here and nowhere else: when the config or the ledger hangs, so does this
				s.manager.say("WATCHDOG=1")
			case <-tells:
				s.state(ctx)
			case <-s.hangup:
				changed = s.reload()
			case <-poll.C:
				changed = s.reload()
			}
		}
		g.stop("")
	}
}

// reload reads the config when it changed and reports whether another one is in force.
func (s *service) reload() bool {
	cfg, changed, err := s.watcher.Poll()
	if err != nil {
		s.log.Error(fmt.Sprintf("the config changed and is broken; the one before stays in force: %v", err))
		return false
	}
	if !changed {
		return false
	}
	s.warnings(cfg)
	if dir := s.stateDir(cfg); dir != s.dir {
		s.log.Warn("state_dir changed: that takes effect when the service is started again")
	}
	s.cfg = cfg
	s.log.Info(fmt.Sprintf("the config changed and is in force: %s", count(len(cfg.Mirrors), "mirror")))
	return true
}

// generation is everything that runs under one config.
type generation struct {
	cancel  context.CancelCauseFunc
	done    chan struct{} // all mirrors ended
	err     error         // set before done is closed
	actions map[string]*actionLog
	ended   chan struct{}      // everything, the action log too
	quiet   context.CancelFunc // ends the action log
}

// generation starts all mirrors; stop ends them.
func (s *service) generation(parent context.Context) *generation {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	logs, quiet := context.WithCancel(context.WithoutCancel(parent))
	gen := &generation{cancel: cancel, done: make(chan struct{}), ended: make(chan struct{}), quiet: quiet}
	var writers sync.WaitGroup
	gen.actions = s.actionLogs()
	for _, l := range gen.actions {
		writers.Go(func() { l.run(logs) })
		if !s.begun {
			l.add(levelInfo, "Started mirror service.")
		}
	}
	s.begun = true
	g, run := errgroup.WithContext(ctx)
	var running atomic.Int64 // mirrors
	under := *s.site         // the config may change while this one ends
	under.listed = map[*config.Endpoint][]config.Listing{}
	start := func(m *config.Mirror) error {
		w := under.wire(m, mode{create: true})
		d, _, err := under.remembered(ctx, m.Name)
		if err != nil {
			w.close()
			return withCode(exitState, err)
		}
		r := &reporter{ctx: ctx, w: w, outages: s.outages, actions: gen.actions[m.Log.String()], fail: func(err error) { cancel(err) }, left: d.Left}
		w.Observe = r.observe
		running.Add(1)
		g.Go(func() error {
			defer w.close()
			err := mirror.Caught(func() error { return w.Run(run) })
			if running.Add(-1) > 0 && isBug(err) { // the others go on
				s.log.Error(err.Error(), "mirror", m.Name)
				return nil
			}
			return err
		})
		return nil
	}
	g.Go(func() error {
		j := &joiner{site: &under, outages: s.outages, start: start, running: map[string]bool{}, said: map[string]bool{}}
		mirrors, err := under.known(ctx)
		if err != nil {
			return withCode(exitState, err)
		}
		for _, m := range mirrors {
			if m.IsPattern() {
				continue
			}
			if err := start(m); err != nil {
				return err
			}
			j.running[m.Name] = true
		}
		return mirror.Caught(func() error { return j.run(run) })
	})
	go func() { // ended by stop
		if gen.err = g.Wait(); gen.err == nil && ctx.Err() != nil {
			gen.err = context.Cause(ctx)
		}
		close(gen.done)
		<-logs.Done()
		writers.Wait()
		close(gen.ended)
	}()
	return gen
}

// stop ends all goroutines, after a last line in the action log, and reports whether they ended in time.
func (g *generation) stop(last string) bool {
	g.cancel(nil)
	late := time.After(stopWithin - actionFlush)
	ok := true
	select {
	case <-g.done:
	case <-late:
		ok = false
	}
	if last != "" {
		for _, l := range g.actions {
			l.add(levelInfo, "%s", last)
		}
	}
	g.quiet()
	select {
	case <-g.ended:
	case <-time.After(actionFlush):
		ok = false
	}
	return ok
}

// actionLogs returns the log bucket of each mirror, by its name for people.
func (s *site) actionLogs() map[string]*actionLog {
	out := map[string]*actionLog{}
	for _, m := range s.cfg.Mirrors {
		if k := m.Log.String(); !m.Log.IsZero() && out[k] == nil {
			out[k] = newActionLog(influx.NewTarget(options(mirror.TargetSide, m.Log)), s.log)
		}
	}
	return out
}

// startActionLogs runs the log buckets of a command that ends; stop writes what is left and returns soon.
func (s *site) startActionLogs(ctx context.Context) (logs map[string]*actionLog, stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	logs = s.actionLogs()
	var writers sync.WaitGroup
	for _, l := range logs {
		writers.Go(func() { l.run(ctx) })
	}
	return logs, func() {
		cancel()
		writers.Wait()
	}
}
