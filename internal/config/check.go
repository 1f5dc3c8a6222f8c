package config

import (
	"slices"
	"strconv"
	"strings"
)

// check looks at what the mirrors do together.
func (d *decoder) check() {
	all, next := d.flows()
	d.checkTargets(all)
	d.checkLoops(next)
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

// flow is what a mirror may read and write, for comparing; nothing of a mirror without ends.
type flow struct {
	reads, writes side
	self          bool // it may write where it reads
}

// flows returns what each mirror reads and writes, and which of them lead on from it.
func (d *decoder) flows() (all []flow, next [][]int) {
	all, next = make([]flow, len(d.cfg.Mirrors)), make([][]int, len(d.cfg.Mirrors))
	readers, patterns := map[string][]int{}, []int(nil)
	for i, m := range d.cfg.Mirrors {
		if m.From.IsZero() || m.To.IsZero() {
			continue
		}
		f := flow{reads: d.reads(m), writes: d.writes(m)}
		f.self = f.reads.meets(f.writes)
		if all[i] = f; f.self {
			continue
		}
		if m.IsPattern() {
			patterns = append(patterns, i)
		} else {
			readers[m.From.identity()] = append(readers[m.From.identity()], i)
		}
	}
	for i, m := range d.cfg.Mirrors {
		if all[i].writes.endpoint == "" || all[i].self {
			continue
		}
		on := patterns
		if m.IsPattern() {
			for _, some := range readers {
				on = append(on[:len(on):len(on)], some...)
			}
		} else {
			next[i] = slices.Clone(readers[m.To.identity()])
		}
		for _, j := range on {
			if all[i].writes.meets(all[j].reads) {
				next[i] = append(next[i], j)
			}
		}
		slices.Sort(next[i])
	}
	return all, next
}

// shareHint is how several mirrors can write into one bucket.
const shareHint = "give each a target bucket of its own; or tell their data apart: add_tags: {site: a} here and {site: b} there, or include: [cpu] here and exclude: [cpu] there"

// checkTargets refuses two mirrors that may write the same series into one bucket: each would undo or report what the other does.
func (d *decoder) checkTargets(all []flow) {
	writers, patterns := map[string][]int{}, []int(nil)
	for i, m := range d.cfg.Mirrors {
		switch {
		case all[i].writes.endpoint == "":
			continue
		case all[i].self:
			d.node(d.ends[i].to, "name another bucket or another endpoint", "to: source and target are the same bucket")
			continue
		}
		before := patterns
		if m.IsPattern() {
			for _, some := range writers {
				before = append(before[:len(before):len(before)], some...)
			}
			patterns = append(patterns, i)
		} else {
			key := m.To.identity()
			before = append(before[:len(before):len(before)], writers[key]...)
			writers[key] = append(writers[key], i)
		}
		slices.Sort(before)
		for _, j := range before {
			other := d.cfg.Mirrors[j]
			switch {
			case !collide(m, other, all[i].writes, all[j].writes):
				continue
			case m.To.Endpoint.Dir != "":
				d.node(d.ends[i].to, "give each mirror a directory of its own", "to: %s writes into the same directory", d.label(other))
			case !m.Apart(other):
				d.node(d.ends[i].to, shareHint, "to: %s writes into the same bucket, and what they write may be the same series", d.label(other))
			default:
				continue
			}
			break
		}
	}
}

// collide reports whether two mirrors lead into one bucket, by what they write. Whether a pattern comes upon the target of another mirror shows
// when its buckets are listed: such a bucket is left out then.
func collide(a, b *Mirror, x, y side) bool {
	if a.IsPattern() && b.IsPattern() && a.From.Endpoint.Same(b.From.Endpoint) && a.To.Endpoint.Dir == "" {
		return false // each bucket is taken once
	}
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
func (d *decoder) checkLoops(next [][]int) {
	for i := range d.cfg.Mirrors {
		if path := back(next, i); path != nil {
			hint := "leave one of them out: data must not come back to its source"
			names := make([]string, len(path))
			for k, p := range path {
				names[k] = d.label(d.cfg.Mirrors[p])
			}
			d.node(d.ends[i].to, hint, "to: leads in a circle with %s", strings.Join(names, ", "))
		}
	}
}

// back returns the mirrors before the last that lead from its target to its source, or nil.
func back(next [][]int, last int) []int {
	type step struct{ m, before int }
	queue, seen := []step{{last, -1}}, map[int]bool{}
	for i := 0; i < len(queue); i++ {
		for _, on := range next[queue[i].m] {
			if on == last && i > 0 {
				var path []int
				for ; queue[i].before >= 0; i = queue[i].before {
					path = append([]int{queue[i].m}, path...)
				}
				return path
			}
			if on < last && !seen[on] {
				seen[on] = true
				queue = append(queue, step{on, i})
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
