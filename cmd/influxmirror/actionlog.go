package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
)

// Limits of the action log.
const (
	maxActions  = 1000             // lines kept while the target is away
	actionTry   = 10 * time.Second // one attempt
	actionFlush = 2 * time.Second  // the last attempt, at exit
	actionWait  = 5 * time.Second  // after the first failure, doubled up to
	actionRest  = 5 * time.Minute
)

// The levels of the action log, in the words of the old script.
const (
	levelDebug = "DEBUG"
	levelInfo  = "INFO"
	levelError = "ERROR"
)

// actionLog writes what is done, and what verify found, into a bucket of the target. To add a line never waits and never fails; when the target is away
// lines are kept, and the oldest are dropped and counted when there are too many.
type actionLog struct {
	target *influx.Target
	log    *slog.Logger
	wake   chan struct{}

	mu      sync.Mutex // guards what follows
	lines   []action
	last    int64 // time of the newest line
	dropped int   // since it was last said
}

// action is one line.
type action struct {
	at   int64 // when it was added, unlike any other
	text string
}

func newActionLog(target *influx.Target, log *slog.Logger) *actionLog {
	return &actionLog{target: target, log: log, wake: make(chan struct{}, 1)}
}

// add takes one line. A nil log takes none.
func (l *actionLog) add(level, format string, args ...any) {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.keep(l.line(level, fmt.Sprintf(format, args...)))
	l.mu.Unlock()
	l.again()
}

// keep appends a line, and lets go of the oldest when there are too many; the caller holds mu.
func (l *actionLog) keep(a action) {
	l.lines = append(l.lines, a)
	if n := len(l.lines) - maxActions; n > 0 {
		l.lines = append(l.lines[:0], l.lines[n:]...)
		l.dropped += n
	}
}

// point takes one line of line protocol as it is, a newline included. A nil log takes none.
func (l *actionLog) point(line string) {
	if l == nil || line == "" {
		return
	}
	l.mu.Lock()
	l.last = max(time.Now().UnixNano(), l.last+1)
	l.keep(action{l.last, line})
	l.mu.Unlock()
	l.again()
}

// line is a message with a time of its own; the caller holds mu.
func (l *actionLog) line(level, message string) action {
	l.last = max(time.Now().UnixNano(), l.last+1)
	return action{l.last, fmt.Sprintf("Logs,LOG_LEVEL=%s Message=\"%s\" %d\n", level, visible(escape.Replace(message)), l.last)}
}

var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", " ", "\r", " ")

// run writes lines until ctx ends, and then tries once more, for at most actionFlush.
func (l *actionLog) run(ctx context.Context) {
	wait, said := actionWait, false
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-l.wake:
		}
		err := l.flush(ctx, actionTry)
		if err == nil {
			wait, said = actionWait, false
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if !said {
			said = true
			l.log.Warn(fmt.Sprintf("the action log waits: %v; mirroring goes on", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			wait = min(2*wait, actionRest)
			l.again()
		}
	}
	if err := l.flush(context.WithoutCancel(ctx), actionFlush); err != nil {
		l.log.Debug(fmt.Sprintf("the last lines of the action log are not written: %v", err))
	}
	l.target.Close()
}

// again makes run try.
func (l *actionLog) again() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// flush writes what is there. After an error everything is still there: to write a line twice changes nothing.
func (l *actionLog) flush(ctx context.Context, limit time.Duration) error {
	l.mu.Lock()
	if n := l.dropped; n > 0 {
		l.dropped = 0
		l.lines = append(l.lines, l.line(levelError, fmt.Sprintf("%d log lines were dropped while this bucket could not be written.", n)))
	}
	n := len(l.lines)
	var body []byte
	for _, line := range l.lines {
		body = append(body, line.text...)
	}
	newest := l.last
	l.mu.Unlock()
	if n == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := l.target.Append(ctx, body)
	if mirror.KindOf(err) == mirror.Missing {
		if err = l.target.CreateBucket(ctx, 0, 0); err == nil {
			err = l.target.Append(ctx, body)
		}
	}
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	keep := l.lines[:0]
	for _, line := range l.lines { // some may have come, or been dropped, meanwhile
		if line.at > newest {
			keep = append(keep, line)
		}
	}
	l.lines = keep
	return nil
}

// clock writes a duration as HH:MM:SS.
func clock(d time.Duration) string {
	s := int(d.Round(time.Second) / time.Second)
	return fmt.Sprintf("%02d:%02d:%02d", s/3600, s/60%60, s%60)
}
