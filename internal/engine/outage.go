package engine

import (
	"errors"
	"time"

	"influxmirror/internal/mirror"
)

// An outage is the time in which an end cannot be reached, or connections to it break before anything is done.
type outage struct{ since time.Time }

// knocks is how many times in a row an end is asked, at least, while an outage grows to e times as long: a link that is up for three of sixty seconds is
// met each time, and one that has been down for an hour costs one request a minute.
const knocks = 40

// pause returns how long to wait before the next Pass, at most longest; ok is false if err says something else than that there is no link. reached is when
// both ends were there last.
func (o *outage) pause(reached time.Time, err error, longest time.Duration) (pause time.Duration, ok bool) {
	e := (*mirror.Error)(nil)
	if !errors.As(err, &e) || e.Status != 0 || e.Kind != mirror.Unreachable && e.Kind != mirror.Broken && e.Kind != mirror.Unknown {
		o.since = time.Time{}
		return 0, false
	}
	if o.since.IsZero() {
		o.since = time.Now()
	}
	if reached.After(o.since) {
		o.since = reached
	}
	return min(max(time.Second, time.Since(o.since)/knocks), longest), true
}
