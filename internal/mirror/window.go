package mirror

import (
	"cmp"
	"fmt"
	"math"
	"time"
)

// The ends of InfluxDB's time axis, in nanoseconds since 1970-01-01T00:00:00Z, both valid for a Sample
// (influxdb models/time.go; facts: "Valid times").
const (
	MinTime int64 = -9223372036854775806
	MaxTime int64 = 9223372036854775806
)

// Axis is every valid time.
var Axis = Window{MinTime, math.MaxInt64}

// Window is the half-open range [Start, Stop) of Unix nanoseconds.
type Window struct{ Start, Stop int64 }

// Empty reports whether no time lies in w.
func (w Window) Empty() bool { return w.Stop <= w.Start }

// Contains reports whether t lies in w.
func (w Window) Contains(t int64) bool { return w.Start <= t && t < w.Stop }

// Covers reports whether all of v lies in w.
func (w Window) Covers(v Window) bool { return v.Empty() || (w.Start <= v.Start && v.Stop <= w.Stop) }

// Overlaps reports whether w and v share a time.
func (w Window) Overlaps(v Window) bool { return w.Start < v.Stop && v.Start < w.Stop }

// Intersect returns the times that lie in both; Empty if there is none.
func (w Window) Intersect(v Window) Window {
	return Window{max(w.Start, v.Start), min(w.Stop, v.Stop)}
}

// Span returns the smallest window that holds both w and v.
func (w Window) Span(v Window) Window {
	return Window{min(w.Start, v.Start), max(w.Stop, v.Stop)}
}

// Closed returns the first and the last time of w, for interfaces that include both ends.
func (w Window) Closed() (first, last int64) { return w.Start, w.Stop - 1 }

// Middle returns a time that splits w into two windows that are not empty, if w spans at least 2 ns.
func (w Window) Middle() int64 { return w.Start + int64((uint64(w.Stop)-uint64(w.Start))/2) }

// Compare orders windows by their starts, then by their ends.
func (w Window) Compare(v Window) int {
	return cmp.Or(cmp.Compare(w.Start, v.Start), cmp.Compare(w.Stop, v.Stop))
}

// Width returns the length in nanoseconds; the whole axis does not fit an int64.
func (w Window) Width() uint64 { return uint64(w.Stop) - uint64(w.Start) }

// String writes both ends as RFC 3339 in UTC, for example 2026-11-22T14:00:00Z/2026-11-22T15:00:00Z.
func (w Window) String() string { return FormatTime(w.Start) + "/" + FormatTime(w.Stop) }

// FormatTime writes t as RFC 3339 in UTC with as many decimals as needed.
func FormatTime(t int64) string { return time.Unix(0, t).UTC().Format(time.RFC3339Nano) }

// ParseTime reads an RFC 3339 time.
func ParseTime(s string) (int64, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return 0, fmt.Errorf("parse time %q: want RFC 3339 such as 2026-11-22T14:00:00Z", s)
	}
	if t.Before(time.Unix(0, MinTime)) || t.After(time.Unix(0, MaxTime)) {
		return 0, fmt.Errorf("parse time %q: InfluxDB holds 1677-09-21 to 2262-04-11", s)
	}
	return t.UnixNano(), nil
}
