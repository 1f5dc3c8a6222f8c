package config

import (
	"slices"
	"strings"
)

// Listing is a bucket that a server shows.
type Listing struct {
	Bucket string
	Also   string // another name for it, or ""
}

// LeftOut is a bucket that fits a pattern and is not mirrored by it.
type LeftOut struct {
	Pattern *Mirror
	Bucket  string
	Why     string
	Quiet   bool // as its owner wants it
}

// Expand returns all mirrors in their order, with each pattern replaced by a mirror for every bucket that is listed for it, by name.
// A bucket is taken once: mirrors that name it go before patterns. Log buckets are left out, and buckets whose target another
// mirror writes to as well.
func (c *Config) Expand(listed map[*Mirror][]Listing) (all []*Mirror, left []LeftOut) {
	for _, m := range c.Mirrors {
		if !m.IsPattern() {
			all = append(all, m)
		}
	}
	named := len(all)
	for _, m := range c.Mirrors {
		if !m.IsPattern() {
			continue
		}
		list := slices.SortedFunc(slices.Values(listed[m]), func(a, b Listing) int { return strings.Compare(a.Bucket, b.Bucket) })
		for _, l := range slices.CompactFunc(list, func(a, b Listing) bool { return a.Bucket == b.Bucket }) {
			if !m.Takes(l.Bucket) || anyMatch(m.ExcludeBuckets, l.Also) {
				continue
			}
			one := m.Of(l.Bucket)
			if why, quiet := c.conflict(one, l, all); why != "" {
				left = append(left, LeftOut{m, l.Bucket, why, quiet})
				continue
			}
			all = append(all, one)
		}
	}
	// Each member goes to where its pattern stands.
	var ordered []*Mirror
	for _, m := range c.Mirrors {
		if !m.IsPattern() {
			ordered = append(ordered, m)
			continue
		}
		for _, one := range all[named:] {
			if one.Pattern == m.Name {
				ordered = append(ordered, one)
			}
		}
	}
	return ordered, left
}

// conflict says why a bucket cannot be mirrored beside the mirrors that there are.
func (c *Config) conflict(one *Mirror, l Listing, all []*Mirror) (why string, quiet bool) {
	if printable(l.Bucket) != l.Bucket {
		return "its name holds a control character", false
	}
	for _, m := range c.Mirrors {
		if m.Log.Same(one.From) || m.Log.Same(one.To) {
			return "it is a log bucket", true
		}
	}
	for _, m := range all {
		if m.From.Same(one.From) || l.Also != "" && m.From.Same(Ref{one.From.Endpoint, l.Also}) {
			return "mirror " + m.Name + " has it", true
		}
		if m.To.Same(one.To) && (m.To.Endpoint.Dir != "" || !m.Apart(one)) {
			return "mirror " + m.Name + " writes into " + one.To.String() + " already; " + shareHint, false
		}
	}
	return "", false
}

// Rank is the place of a mirror, or of the pattern that it belongs to, in the config; -1 if it has none.
func (c *Config) Rank(m *Mirror) int {
	return slices.IndexFunc(c.Mirrors, func(other *Mirror) bool { return other.Name == m.Name || m.Pattern != "" && other.Name == m.Pattern })
}

// Unmirrored returns the buckets listed at an endpoint that no mirror reads, writes, logs to or excludes by name, that are not InfluxDB's own, and not
// to be ignored.
func (c *Config) Unmirrored(e *Endpoint, listed []Listing) (names []string) {
	for _, l := range listed {
		used := contains(systemBuckets, l.Bucket) || strings.HasPrefix(l.Bucket, "_internal/") || c.Ignored(e.Name, l.Bucket)
		for _, name := range []string{l.Bucket, l.Also} {
			r := Ref{e, name}
			for _, m := range c.Mirrors {
				used = used || name != "" && (m.From.Same(r) || m.To.Same(r) || m.Log.Same(r) || m.covers(r))
			}
		}
		if !used {
			names = append(names, l.Bucket)
		}
	}
	slices.Sort(names)
	return names
}

// covers reports whether a pattern takes or excludes a bucket of either end.
func (m *Mirror) covers(r Ref) bool {
	return m.IsPattern() && (m.Takes(r.Bucket) || anyMatch(m.ExcludeBuckets, r.Bucket)) && (m.From.Endpoint.Same(r.Endpoint) || m.To.Endpoint.Same(r.Endpoint))
}
