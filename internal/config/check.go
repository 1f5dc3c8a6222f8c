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

// checkTargets refuses two mirrors that write into one bucket: each would report the other's data as extra.
func (d *decoder) checkTargets() {
	first := map[string]*Mirror{}
	for i, m := range d.cfg.Mirrors {
		if m.To.IsZero() {
			continue
		}
		if m.From.same(m.To) {
			d.node(d.ends[i].to, "name another bucket or another endpoint", "to: source and target are the same bucket")
			continue
		}
		key := m.To.identity()
		if other := first[key]; other != nil {
			d.node(d.ends[i].to, "give each mirror a target bucket of its own",
				"to: %s writes into the same bucket", d.label(other))
			continue
		}
		first[key] = m
	}
}

// label names a mirror in a message.
func (d *decoder) label(m *Mirror) string {
	if i := slices.Index(d.cfg.Mirrors, m); m.Name == "" && i >= 0 {
		return "the mirror in line " + strconv.Itoa(d.ends[i].at.Line)
	}
	return "mirror " + name(m.Name)
}

func (r Ref) identity() string { return r.Endpoint.identity() + "\n" + r.Bucket }

// checkLoops refuses mirrors that lead back to where they came from.
func (d *decoder) checkLoops() {
	next := map[string][]*Mirror{} // by source, of the mirrors before
	for i, m := range d.cfg.Mirrors {
		if m.From.IsZero() || m.To.IsZero() || m.From.same(m.To) {
			continue
		}
		if path := pathBetween(next, m.To, m.From); path != nil {
			hint := "leave one of them out: data must not come back to its source"
			names := make([]string, len(path))
			for i, p := range path {
				names[i] = d.label(p)
			}
			d.node(d.ends[i].to, hint, "to: leads in a circle with %s", strings.Join(names, ", "))
		}
		key := m.From.identity()
		next[key] = append(next[key], m)
	}
}

// pathBetween returns the mirrors that lead from one bucket to another, or nil.
func pathBetween(next map[string][]*Mirror, from, to Ref) []*Mirror {
	type step struct {
		m      *Mirror
		before int
	}
	queue, seen := []step{{&Mirror{To: from}, -1}}, map[string]bool{}
	for i := 0; i < len(queue); i++ {
		key := queue[i].m.To.identity()
		if key == to.identity() {
			var path []*Mirror
			for ; queue[i].before >= 0; i = queue[i].before {
				path = append([]*Mirror{queue[i].m}, path...)
			}
			return path
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		for _, m := range next[key] {
			queue = append(queue, step{m, i})
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
