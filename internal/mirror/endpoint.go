package mirror

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"
)

// Side names one end of a Mirror in messages.
type Side string

// The two sides.
const (
	SourceSide Side = "source"
	TargetSide Side = "target"
)

// Kind classifies what went wrong with an endpoint: one value for each decision a caller takes.
type Kind string

// The kinds of errors.
const (
	Unreachable Kind = "unreachable" // refused, no route, time-out before an answer: wait and try again
	Broken      Kind = "broken"      // the answer ended early or was not whole: nothing of it counts, try again with less
	Unknown     Kind = "unknown"     // a write may or may not have happened: read to find out
	Busy        Kind = "busy"        // 429, 502, 503, 504: wait as told
	TooLarge    Kind = "too large"   // 413, or an answer above our own cap: ask or send less
	Rights      Kind = "rights"      // 401, 403, or a bucket the token does not see
	Missing     Kind = "missing"     // no such bucket or organisation
	Rejected    Kind = "rejected"    // the server understood and said no
	Foreign     Kind = "foreign"     // redirect, HTML, another product: not an InfluxDB answer
	Blocked     Kind = "blocked"     // needs a decision of the owner
	MultiShard  Kind = "multi shard" // the window lies in more than one shard: halve it
)

// Error is what an endpoint reports. Its text names the side and the address without secrets.
type Error struct {
	Kind   Kind
	Side   Side
	URL    string // without user, query and fragment
	Op     string // verb and thing: "write", "read measurement cpu"
	Status int    // HTTP, 0 if there was none
	After  time.Duration
	Err    error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: ", e.Side, e.URL)
	if e.Op != "" {
		s += e.Op + ": "
	}
	if e.Status != 0 {
		s += fmt.Sprintf("HTTP %d: ", e.Status)
	}
	return s + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the Kind of the first Error in err's chain, or "".
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// Probe is what an endpoint says of itself and of the probed bucket.
type Probe struct {
	Product    string // "InfluxDB 2" or "InfluxDB 1"
	Version    string
	Identity   string // what Proofs belong to: 2.x organisation and bucket id
	Bucket     string
	BucketID   string
	OrgID      string
	Retention  int64 // ns, 0 for ever
	ShardGroup int64 // ns
	Date       int64 // the server's clock
	Offset     time.Duration
	Counters   Counters
}

// Part returns the identity of the series of a bucket that have the tags, or identity itself where there are none. Nothing else makes identities with "/?".
func Part(identity string, tags []Tag) string {
	for i, t := range tags {
		identity += map[bool]string{true: "/?", false: "&"}[i == 0] + url.QueryEscape(t.Key) + "=" + url.QueryEscape(t.Value)
	}
	return identity
}

// Whole returns the identity of the bucket that an identity is of, or of a part of.
func Whole(identity string) string {
	whole, _, _ := strings.Cut(identity, "/?")
	return whole
}

// weak begins the identities of InfluxDB 1.
const weak = "influxdb1:"

// WeakIdentity returns the identity of a bucket on a server without ids, which is only its address and name: another server there has the same.
func WeakIdentity(address, bucket string) string { return weak + address + ":" + bucket }

// IsWeak reports whether an identity is only an address and a name.
func IsWeak(identity string) bool { return strings.HasPrefix(identity, weak) }

// Counters are a server's own counts of points written to each shard of the bucket since it started. They are a hint
// to skip work, never a proof. Started is "" where the server does not tell.
type Counters struct {
	Started string            `json:"started"`
	Shards  map[string]uint64 `json:"shards"`
}

// Known reports whether the server tells them.
func (c Counters) Known() bool { return c.Started != "" && c.Shards != nil }

// Moved lists the shards of now that differ from those of c and the shards of c that are gone, and whether the two can be compared at all:
// only within the same start.
func (c Counters) Moved(now Counters) (shards []string, comparable bool) {
	if !c.Known() || !now.Known() || c.Started != now.Started {
		return nil, false
	}
	for id := range c.Shards {
		if _, ok := now.Shards[id]; !ok {
			shards = append(shards, id)
		}
	}
	for id, n := range now.Shards {
		if old, ok := c.Shards[id]; !ok || old != n {
			shards = append(shards, id)
		}
	}
	return shards, true
}

// SurveyRequest asks what a server says it holds in Window, in steps of Width nanoseconds from multiples of Width plus Offset on.
type SurveyRequest struct {
	Measurements []string // none: all
	Window       Window
	Width        int64
	Offset       int64
	Sums         bool // a digest of numeric sums too
}

// Step returns the step that holds t, clipped to the axis.
func (r SurveyRequest) Step(t int64) Window {
	in := (t%r.Width - r.Offset%r.Width) % r.Width
	if in < 0 {
		in += r.Width
	}
	w := Axis
	if t >= MinTime+in {
		w.Start = t - in
	}
	if rest := r.Width - in; t <= math.MaxInt64-rest {
		w.Stop = t + rest
	}
	return w
}

// Count is one step of a Survey that is not empty.
type Count struct {
	Measurement string
	Window      Window
	Samples     uint64
	// Digest is of the counts and numeric sums of each field; 0 if not asked. The same server says the same for
	// the same data; another server may not. It misses whatever leaves all sums as they were.
	Digest uint64
	// Unreadable is set, alone with Measurement, where the server lists a measurement but refuses to read it.
	Unreadable string
}
