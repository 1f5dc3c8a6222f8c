package config

import (
	"slices"
	"strconv"
	"strings"
)

// check looks at what the mirrors do together.
func (d *decoder) check() {
	d.checkTargets()
	d.checkLoops()
	d.checkLogs()
	d.checkDirectories()
	used := map[*Endpoint]bool{}
	for _, m := range d.cfg.Mirrors {
		used[m.From.Endpoint], used[m.To.Endpoint], used[m.Log.Endpoint] = true, true, true
	}
	for _, e := range d.cfg.Endpoints {
		if !used[e] {
			d.warn("endpoint %s is in no mirror; leave it out or add a mirror", e.Name)
		}
	}
}

// shareHint is how several mirrors can write into one bucket.
const shareHint = "give each a target bucket of its own; or tell their data apart: add_tags: {site: a} here and {site: b} there, or include: [cpu] here and exclude: [cpu] there"

// checkTargets refuses two mirrors that may write the same series into one bucket: each would undo or report what the other does.
func (d *decoder) checkTargets() {
	for i, m := range d.cfg.Mirrors {
		if m.From.IsZero() || m.To.IsZero() {
			continue
		}
		if d.reads(m).meets(d.writes(m)) {
			d.node(d.ends[i].to, "name another bucket or another endpoint", "to: source and target are the same bucket")
			continue
		}
		for _, other := range d.cfg.Mirrors[:i] {
			switch {
			case other.From.IsZero() || other.To.IsZero() || !d.collide(m, other):
				continue
			case m.To.Endpoint.Dir != "":
				d.node(d.ends[i].to, "give each mirror a directory of its own", "to: %s writes into the same directory", d.label(other))
			case !m.apart(other):
				d.node(d.ends[i].to, shareHint, "to: %s writes into the same bucket, and what they write may be the same series", d.label(other))
			default:
				continue
			}
			break
		}
	}
}

// collide reports whether two mirrors lead into one bucket. Whether a pattern comes upon the target of another mirror shows
// when its buckets are listed: such a bucket is left out then.
func (d *decoder) collide(a, b *Mirror) bool {
	if a.IsPattern() && b.IsPattern() && a.From.Endpoint.identity() == b.From.Endpoint.identity() && a.To.Endpoint.Dir == "" {
		return false // each bucket is taken once
	}
	x, y := d.writes(a), d.writes(b)
	if a.IsPattern() != b.IsPattern() && x.endpoint == y.endpoint && a.To.Endpoint.Dir == "" {
		if b.IsPattern() {
			a, b, x, y = b, a, y, x
		}
		return contains(literals(a.Buckets), b.To.Bucket) && x.meets(y)
	}
	return x.meets(y)
}

func literals(globs []Glob) (names []string) {
	for _, g := range globs {
		if g.literal() {
			names = append(names, string(g))
		}
	}
	return names
}

// label names a mirror in a message.
func (d *decoder) label(m *Mirror) string {
	if i := slices.Index(d.cfg.Mirrors, m); m.Name == "" && i >= 0 {
		return "the mirror in line " + strconv.Itoa(d.ends[i].at.Line)
	}
	return "mirror " + name(m.Name)
}

func (r Ref) identity() string {
	if r.Endpoint.Dir != "" {
		return r.Endpoint.identity()
	}
	return r.Endpoint.identity() + "\n" + r.Bucket
}

// checkLoops refuses mirrors that lead back to where they came from.
func (d *decoder) checkLoops() {
	var before []*Mirror
	for i, m := range d.cfg.Mirrors {
		if m.From.IsZero() || m.To.IsZero() || d.reads(m).meets(d.writes(m)) {
			continue
		}
		if path := d.back(before, m); path != nil {
			hint := "leave one of them out: data must not come back to its source"
			names := make([]string, len(path))
			for i, p := range path {
				names[i] = d.label(p)
			}
			d.node(d.ends[i].to, hint, "to: leads in a circle with %s", strings.Join(names, ", "))
		}
		before = append(before, m)
	}
}

// back returns the mirrors that lead from m's target to its source, or nil.
func (d *decoder) back(mirrors []*Mirror, m *Mirror) []*Mirror {
	type step struct {
		m      *Mirror
		before int
	}
	queue, seen := []step{{m, -1}}, map[*Mirror]bool{}
	for i := 0; i < len(queue); i++ {
		if i > 0 && d.writes(queue[i].m).meets(d.reads(m)) {
			var path []*Mirror
			for ; queue[i].before >= 0; i = queue[i].before {
				path = append([]*Mirror{queue[i].m}, path...)
			}
			return path
		}
		for _, next := range mirrors {
			if !seen[next] && d.writes(queue[i].m).meets(d.reads(next)) {
				seen[next] = true
				queue = append(queue, step{next, i})
			}
		}
	}
	return nil
}

// checkLogs refuses to mirror a log bucket, whose lines about the mirroring would never end, and to write a log to
// a server that is only read.
func (d *decoder) checkLogs() {
	logs, targets, sources := map[string]bool{}, map[*Endpoint]bool{}, map[*Endpoint]bool{}
	for _, m := range d.cfg.Mirrors {
		if !m.Log.IsZero() {
			logs[m.Log.identity()] = true
		}
		targets[m.To.Endpoint], sources[m.From.Endpoint] = true, true
	}
	for i, m := range d.cfg.Mirrors {
		hint := "choose another log_bucket, or none"
		for _, b := range literals(m.Buckets) {
			if !m.From.IsZero() && logs[(Ref{m.From.Endpoint, b}).identity()] || !m.To.IsZero() && logs[(Ref{m.To.Endpoint, b}).identity()] {
				d.node(d.ends[i].from, hint, "buckets: %s is also a log bucket", name(b))
			}
		}
		if !m.From.IsZero() && logs[m.From.identity()] {
			d.node(d.ends[i].from, hint, "from: %s is also a log bucket", quote(d.ends[i].from))
		}
		if !m.To.IsZero() && logs[m.To.identity()] {
			d.node(d.ends[i].to, hint, "to: %s is also a log bucket", quote(d.ends[i].to))
		}
		if e := m.Log.Endpoint; i == 0 && e != nil && d.logAt != nil && sources[e] && !targets[e] {
			d.node(d.logAt, "name a bucket on a target", "log_bucket: endpoint %s is only a source, and sources are never written", name(e.Name))
		}
	}
}
