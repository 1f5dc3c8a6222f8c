package config

import (
	"strings"
	"time"

	"influxmirror/internal/mirror"
)

// Config is a configuration without faults. It and what it points to are not changed after Load; a change of the
// files gives another Config (Watcher).
type Config struct {
	Path      string      // of the file, as Load was told
	Endpoints []*Endpoint // in the order of the file
	Mirrors   []*Mirror   // in the order of the file, which is their priority
	StateDir  string      // absolute
	Ignore    []IgnoredBucket
	Legacy    bool // the old script's settings.yaml

	// SwappedStateDir is where the state of the opposite direction would be; only for a settings.yaml.
	SwappedStateDir string

	Warnings []string // lower case, without secrets, each with its next step

	endpoints map[string]*Endpoint
	mirrors   map[string]*Mirror
}

// Endpoint returns the endpoint of that name, or nil.
func (c *Config) Endpoint(name string) *Endpoint { return c.endpoints[name] }

// Mirror returns the mirror of that name, or nil.
func (c *Config) Mirror(name string) *Mirror { return c.mirrors[name] }

// Ignored reports whether a bucket of an endpoint that is in no mirror is to be passed over in silence.
func (c *Config) Ignored(endpoint, bucket string) bool {
	for _, i := range c.Ignore {
		if (i.Endpoint == "" || i.Endpoint == endpoint) && i.Bucket.Match(bucket) {
			return true
		}
	}
	return false
}

// IgnoredBucket is an entry of ignore_buckets. Endpoint is "" where it holds for all.
type IgnoredBucket struct {
	Endpoint string
	Bucket   Glob
}

// Ref names a bucket on an endpoint. The zero Ref names none.
type Ref struct {
	Endpoint *Endpoint
	Bucket   string
}

// IsZero reports whether r names no bucket.
func (r Ref) IsZero() bool { return r.Endpoint == nil }

// String is ENDPOINT:BUCKET, URL::BUCKET for an address, dir:PATH for an archive, or "none".
func (r Ref) String() string {
	switch {
	case r.IsZero():
		return "none"
	case r.Endpoint.Dir != "":
		return r.Endpoint.Address()
	case r.Bucket == "":
		return r.Endpoint.Name
	case strings.Contains(r.Endpoint.Name, "://"):
		return r.Endpoint.Name + "::" + r.Bucket
	}
	return r.Endpoint.Name + ":" + r.Bucket
}

// Same reports whether both are one bucket of one server, even under two names of the endpoint, or one directory.
func (r Ref) Same(q Ref) bool {
	switch {
	case r.IsZero() || q.IsZero(), r.Endpoint.Dir != q.Endpoint.Dir, r.Endpoint.Dir == "" && r.Bucket != q.Bucket:
		return false
	}
	return r.Endpoint.Same(q.Endpoint)
}

// Mirror is a pair of buckets and how the one becomes a copy of the other.
type Mirror struct {
	Name    string
	From    Ref
	To      Ref
	Since   *time.Time    // in UTC; nil: everything
	Wait    time.Duration // after each pass, at least a second
	Include []Glob        // measurements; none: all
	Exclude []Glob
	AddTags []mirror.Tag // by key; every series has them at the target
	Create  Create
	Scrub   Scrub
	Log     Ref // where the log bucket of this mirror is; zero: none

	Buckets        []Glob // of a pattern
	ExcludeBuckets []Glob // of a pattern
	Pattern        string // the name of the pattern that this is one bucket of, or ""
}

// Includes reports whether a measurement is mirrored.
func (m *Mirror) Includes(measurement string) bool {
	return (len(m.Include) == 0 || anyMatch(m.Include, measurement)) && !anyMatch(m.Exclude, measurement)
}

// Create is how the target bucket is made where it is missing.
type Create struct {
	Retention time.Duration // 0: for ever; else at least an hour, in whole seconds
	AsSource  bool          // Retention is the source's
}

// Scrub is how old a proof may become before that side is read again; 0 is never.
type Scrub struct{ Target, Source time.Duration }

const (
	defaultWait        = 30 * time.Second
	defaultScrubTarget = 30 * 24 * time.Hour
	defaultLogBucket   = "Logging"
	minimumWait        = time.Second
	minimumScrub       = time.Hour
	minimumRetention   = time.Hour // InfluxDB 2 refuses less
)
