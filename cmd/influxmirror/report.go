package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// sayAgain is how often an outage that lasts is said.
const sayAgain = time.Hour

// outages makes one line of what several mirrors meet at the same end.
type outages struct {
	log *slog.Logger
	now func() time.Time

	mu  sync.Mutex // guards all
	all map[string]*outage
}

type outage struct {
	since, said time.Time
	waiting     map[string]int // mirror → windows
}

// begin says err when it is new or an hour old, and reports whether it is new.
func (o *outages) begin(m string, err error, pause time.Duration, left int) (isNew bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := outageKey(m, err)
	o.leave(m, k)
	x := o.all[k]
	if x == nil {
		x = &outage{since: o.now(), waiting: map[string]int{}}
		o.all[k] = x
		isNew = true
	}
	x.waiting[m] = left
	if !isNew && o.now().Sub(x.said) < sayAgain {
		return false
	}
	x.said = o.now()
	text := err.Error()
	if errors.Is(err, mirror.ErrFull) {
		text, _, _ = strings.Cut(text, "\n") // every lane says the same
	}
	if kindOf(err) != mirror.Blocked { // its text ends with the command that resolves it
		windows := 0
		for _, n := range x.waiting {
			windows += n
		}
		text += fmt.Sprintf("; retry in %s; nothing lost", span(pause))
		if windows > 0 {
			text += ", " + count(windows, "window") + " wait"
		}
		if isWaiting(err) && !isNew {
			text += ", for " + span(o.now().Sub(x.since)) + " now"
		}
	}
	log := o.log
	if !isWaiting(err) {
		log = log.With("mirror", m)
	}
	log.Warn(text)
	return isNew
}

// end says that a mirror reached both ends again, once for all that waited for the same.
func (o *outages) end(m string) (was time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for k, x := range o.all {
		if _, ok := x.waiting[m]; !ok {
			continue
		}
		was = max(was, o.now().Sub(x.since))
		delete(o.all, k)
		o.log.Info(fmt.Sprintf("%s: back after %s", k, span(o.now().Sub(x.since))))
	}
	return was
}

// leave takes a mirror out of other outages; the caller holds mu.
func (o *outages) leave(m, but string) {
	for k, x := range o.all {
		if k == but {
			continue
		}
		delete(x.waiting, m)
		if len(x.waiting) == 0 {
			delete(o.all, k)
		}
	}
}

// isWaiting reports whether err is about an end as such, so that all mirrors meet it.
func isWaiting(err error) bool {
	switch kindOf(err) {
	case mirror.Unreachable, mirror.Busy, mirror.Foreign, mirror.Broken:
		return true
	}
	return errors.Is(err, mirror.ErrFull)
}

func outageKey(m string, err error) string {
	if errors.Is(err, mirror.ErrFull) {
		return "room on the disk"
	}
	e := (*mirror.Error)(nil)
	if isWaiting(err) && errors.As(err, &e) {
		return fmt.Sprintf("%s %s", e.Side, e.URL)
	}
	return fmt.Sprintf("%s: %s", m, kindOf(err))
}

// reporter tells what a running Mirror does: state changes to the log, every step to the action log, each Pass to the ledger.
// Engine calls it from several goroutines, but begins and ends Passes in one.
type reporter struct {
	ctx     context.Context
	w       *wired
	outages *outages
	actions *actionLog
	fail    func(error) // the ledger does not take it: the service ends

	started time.Time
	left    int
	behind  time.Time // since when something is left, zero: nothing
	said    string    // the state that was logged last
	probed  bool
}

func (r *reporter) observe(e engine.Event) {
	bucket := r.w.cfg.From.Bucket
	switch e.Kind {
	case "probe":
		r.started, r.probed = time.Now(), true
		r.actions.add(levelInfo, "Successfully pinged the remote database.")
		r.actions.add(levelInfo, "Starting mirror of bucket: %s", bucket)
		r.outages.end(r.w.cfg.Name)
	case "alarm":
		r.actions.add(levelError, "%v", e.Err)
		r.w.site.log.Warn(e.Err.Error(), "mirror", r.w.cfg.Name)
	case "retry":
		r.w.site.log.Debug("transfer is tried again", "mirror", r.w.cfg.Name, "err", e.Err)
	case "pass":
		if !r.probed {
			r.started = time.Now()
		}
		r.pass(e, bucket)
		r.probed = false
	}
}

func (r *reporter) pass(e engine.Event, bucket string) {
	if err := r.w.keep(r.ctx, *e.Report, e.Err, r.started); err != nil && !errors.Is(err, mirror.ErrFull) { // the next Pass meets the same, and waits
		r.fail(withCode(exitState, err))
	}
	if e.Report.Date != 0 {
		r.left = e.Report.Left
	}
	log := r.w.site.log.With("mirror", r.w.cfg.Name)
	switch {
	case e.Err == nil:
		r.actions.add(levelInfo, "Finished mirroring %d data points in the bucket: %s", e.Report.Written, bucket)
		r.state(log, e.Report)
		log.Debug("pass", "planned", e.Report.Planned, "done", e.Report.Done, "left", e.Report.Left, "samples", e.Report.Samples, "written", e.Report.Written, "lag", e.Report.Lag())
	case !engine.Waits(e.Err):
		r.actions.add(levelError, "%v", e.Err)
		return
	default:
		if isWaiting(e.Err) && !errors.Is(e.Err, mirror.ErrFull) {
			r.actions.add(levelDebug, "Unable to ping the remote database.")
		}
		if r.outages.begin(r.w.cfg.Name, e.Err, e.Pause, r.left) {
			r.actions.add(levelError, "%v", e.Err)
		}
	}
	if e.Pause > 0 {
		r.actions.add(levelInfo, "Waiting for %s before trying to mirror.", clock(e.Pause))
	}
}

// state logs when the mirror came into step, and when it has been behind for a while: to be behind for one Pass is normal.
func (r *reporter) state(log *slog.Logger, p *engine.Report) {
	now := time.Now()
	switch {
	case p.Complete():
		r.behind = time.Time{}
		if r.said != "in sync" {
			r.said = "in sync"
			log.Info(fmt.Sprintf("in sync, lag %s; %s proven", span(p.Lag()), count(p.Totals.Samples, "sample")))
		}
	case r.behind.IsZero():
		r.behind = now
		if r.said != "" {
			return
		}
		fallthrough // the first copy is said at once
	case now.Sub(r.behind) > time.Minute && r.said != "catching up":
		r.said = "catching up"
		log.Info(fmt.Sprintf("catching up: %s (about %s) to go", count(p.Left+p.Live, "window"), count(p.LeftSamples, "sample")))
	}
}
