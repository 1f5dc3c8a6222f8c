package config

import (
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

const bucketHint = `name the bucket, as in from: station:cryostat, or several: buckets: ["*"]`

// IsPattern reports whether the mirror stands for all buckets of From's endpoint that Takes accepts. From and To name no
// bucket then; Of makes the mirror of one.
func (m *Mirror) IsPattern() bool { return len(m.Buckets) > 0 }

// Takes reports whether a pattern stands for a bucket. Those that InfluxDB keeps for itself have to be named in full.
func (m *Mirror) Takes(bucket string) bool {
	if anyMatch(m.ExcludeBuckets, bucket) {
		return false
	}
	for _, g := range m.Buckets {
		if string(g) == bucket && g.literal() || g.Match(bucket) && !contains(systemBuckets, bucket) && !strings.HasPrefix(bucket, "_internal/") {
			return true
		}
	}
	return false
}

var systemBuckets = []string{"_monitoring", "_tasks", "_internal"}

// Of returns the mirror of one bucket of a pattern, which is named MIRROR/BUCKET. The target's bucket has the same name,
// or is a directory of the target's.
func (m *Mirror) Of(bucket string) *Mirror {
	one := *m
	one.Name, one.Pattern = m.Name+"/"+bucket, m.Name
	one.Buckets, one.ExcludeBuckets = nil, nil
	one.From.Bucket, one.To.Bucket = bucket, bucket
	if dir := m.To.Endpoint.Dir; dir != "" {
		one.To = inDirectory(filepath.Join(dir, subdirectory(bucket)), bucket)
	}
	return &one
}

// readBuckets reads which buckets a pattern stands for.
func (d *decoder) readBuckets(s section, m *Mirror) {
	m.Buckets, m.ExcludeBuckets = d.readBucketGlobs(s, "buckets"), d.readBucketGlobs(s, "exclude_buckets")
	switch e := s.entries["buckets"]; {
	case s.has("exclude_buckets") && !s.has("buckets"):
		d.node(s.entries["exclude_buckets"].at, `buckets: ["*"] stands for all`, "exclude_buckets: goes with buckets, which is missing")
	case s.has("buckets") && e.value.Kind == yaml.SequenceNode && len(e.value.Content) == 0:
		d.node(e.at, `buckets: ["*"] stands for all`, "buckets: none named")
	}
	if s.has("buckets") && !m.IsPattern() {
		m.From, m.To = Ref{}, Ref{} // nothing can be said of them
	}
	if m.IsPattern() && !m.From.IsZero() && m.From.Endpoint.Dir != "" {
		d.node(s.entries["from"].value, "leave buckets out, and name each archive in a mirror of its own", "from: a directory keeps one bucket")
	}
}

func (d *decoder) readBucketGlobs(s section, key string) (globs []Glob) {
	values, at := d.texts(s, key)
	for i, v := range values {
		if printable(v) != v {
			d.node(at[i], "", "%s: the bucket's name holds a control character", key)
		}
		globs = append(globs, Glob(v))
	}
	return globs
}

// side is a set of buckets that a mirror reads or writes: of one server, or a directory.
type side struct {
	endpoint string // its identity
	buckets  selection
}

func (s side) meets(t side) bool { return s.endpoint == t.endpoint && s.buckets.meets(t.buckets) }

// reads returns what a mirror may read: a pattern leaves what other mirrors name to them.
func (d *decoder) reads(m *Mirror) side {
	if !m.IsPattern() {
		return side{m.From.Endpoint.identity(), selection{include: m.From.name()}}
	}
	return side{m.From.Endpoint.identity(), d.selected(m)}
}

// writes returns what a mirror may write.
func (d *decoder) writes(m *Mirror) side {
	if !m.IsPattern() {
		return side{m.To.Endpoint.identity(), selection{include: m.To.name()}}
	}
	return side{m.To.Endpoint.identity(), d.selected(m)}
}

// name is what tells the bucket from others of its endpoint; a directory keeps one.
func (r Ref) name() []Glob {
	if r.Endpoint.Dir != "" {
		return nil
	}
	return []Glob{Glob(r.Bucket)}
}

func (d *decoder) selected(m *Mirror) selection {
	s := selection{m.Buckets, append([]Glob(nil), m.ExcludeBuckets...)}
	for _, other := range d.cfg.Mirrors {
		if !other.IsPattern() && !other.From.IsZero() && other.From.Endpoint.identity() == m.From.Endpoint.identity() {
			s.exclude = append(s.exclude, Glob(other.From.Bucket))
		}
	}
	return s
}
