package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"influxmirror/internal/mirror"
)

var (
	mirrorKeys  = []string{"name", "from", "to", "buckets", "exclude_buckets", "since", "wait", "include", "exclude", "add_tags", "create_bucket", "scrub"}
	mirrorLater = map[string]later{
		"rename":             {hint: "leave it out: names are mirrored as they are"},
		"rename_measurement": {hint: "leave it out: names are mirrored as they are"},
		"rename_tag":         {hint: "leave it out: names are mirrored as they are"},
		"rename_field":       {hint: "leave it out: names are mirrored as they are"},
	}
)

func (d *decoder) readMirrors(n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		d.source.hide(n)
		d.node(n, "begin each with - name:", "mirrors: a list expected, found %s", kind(n))
		return
	}
	if len(n.Content) == 0 {
		d.node(n, mirrorHint, "mirrors: none defined")
	}
	names := map[string]*yaml.Node{}
	for _, item := range n.Content {
		d.readMirror(item, names)
	}
}

const mirrorHint = "such as: mirrors: [{name: cryostat, from: station:cryostat, to: home:cryostat}]"

func (d *decoder) readMirror(item *yaml.Node, names map[string]*yaml.Node) {
	s, ok := d.section(item, "a mirror", mirrorKeys, mirrorLater)
	if !ok {
		return
	}
	m := &Mirror{Wait: defaultWait, Scrub: Scrub{Target: defaultScrubTarget}}
	if v, at, ok := d.text(s, "name"); ok {
		if hint := wrongName(v); hint != "" {
			d.node(at, hint, "%s: not a name for a mirror", quote(at))
		} else if first := names[v]; first != nil {
			d.node(at, "give each mirror a name of its own", "%s: the mirror in line %d has this name already", quote(at), first.Line)
		} else {
			names[v], m.Name = at, v
		}
	} else if !s.has("name") {
		d.node(item, "such as name: cryostat", "a mirror without a name")
	}
	m.From = d.readRef(s, "from", item)
	m.To = d.readRef(s, "to", item)
	d.readBuckets(s, m)
	if v, at, ok := d.text(s, "since"); ok {
		m.Since = d.readTime(at, "since", v)
	}
	if v, at, ok := d.text(s, "wait"); ok {
		m.Wait = d.readDuration(at, "wait", v, minimumWait)
	}
	m.Include, m.Exclude = d.readGlobs(s, "include"), d.readGlobs(s, "exclude")
	d.readTags(s, m)
	d.readCreate(s, m)
	d.readScrub(s, m)
	d.addMirror(m, item, s.entries["from"].value, s.entries["to"].value)
}

// addMirror notes where the mirror and its ends stand in the file, for the checks.
func (d *decoder) addMirror(m *Mirror, at, from, to *yaml.Node) {
	d.cfg.Mirrors = append(d.cfg.Mirrors, m)
	d.ends = append(d.ends, ends{at, from, to})
}

// readRef reads ENDPOINT:BUCKET or dir:PATH, and ENDPOINT alone beside buckets; the zero Ref stands for a wrong one.
func (d *decoder) readRef(s section, key string, item *yaml.Node) Ref {
	v, at, ok := d.text(s, key)
	if !ok {
		if !s.has(key) {
			d.node(item, "such as "+key+": station:cryostat", "a mirror without %s", key)
		}
		return Ref{}
	}
	end, bucket, found := strings.Cut(v, ":")
	_, known := d.endpoints[end]
	switch {
	case found && !known && end == "dir":
		return d.readDirectory(at, key, v)
	case found && !known && contains(reservedNames, end):
		if strings.Contains(v, "@") {
			d.source.hide(at)
		}
		d.node(at, "define an endpoint and write ENDPOINT:BUCKET", "%s: an address has no place here", key)
	case !known:
		d.node(at, d.endpointHint(end), "%s: no endpoint is called %s", key, d.shown(at, end))
	case s.has("buckets") && found:
		d.node(at, "name the endpoint alone: each bucket keeps its name; for another name write a mirror for that bucket", "%s: it names a bucket, and so does buckets", key)
	case s.has("buckets"):
		return Ref{Endpoint: d.endpoints[end]}
	case !found || strings.TrimSpace(bucket) == "":
		d.node(at, bucketHint, "%s: it names no bucket", key)
	default:
		d.checkBucket(at, key, bucket)
		return Ref{d.endpoints[end], bucket}
	}
	return Ref{}
}

// shown returns part of a value for a message: as it is, unless variables had a part in it.
func (d *decoder) shown(n *yaml.Node, part string) string {
	if !d.literal && strings.Contains(resolve(n).Value, "${") {
		return quote(n)
	}
	return name(part)
}

func (d *decoder) endpointHint(s string) string {
	var names []string
	for n := range d.endpoints {
		names = append(names, n)
	}
	if len(names) == 0 {
		return "define it under endpoints"
	}
	slices.Sort(names)
	return didYouMean(s, names, names)
}

func (d *decoder) checkBucket(at *yaml.Node, key, bucket string) {
	switch {
	case printable(bucket) != bucket:
		d.node(at, "", "%s: the bucket's name holds a control character", key)
	case isGlob(bucket) && !d.literal:
		d.node(at, `name the endpoint alone and list the patterns, as in from: station and buckets: ["AC_*"]`, "%s: a pattern has no place here", key)
	}
}

func (d *decoder) readGlobs(s section, key string) (globs []Glob) {
	values, _ := d.texts(s, key)
	for _, v := range values {
		globs = append(globs, Glob(v))
	}
	return globs
}

func (d *decoder) readCreate(s section, m *Mirror) {
	e, ok := s.entries["create_bucket"]
	if !ok {
		return
	}
	c, ok := d.section(e.value, "create_bucket", []string{"retention"}, nil)
	if !ok {
		return
	}
	switch v, at, ok := d.text(c, "retention"); {
	case !ok || v == "forever":
	case v == "source":
		m.Create.AsSource = true
	case v == "never":
		d.node(at, "write forever to keep everything", "retention: never is not a retention")
	default:
		m.Create.Retention = d.readDuration(at, "retention", v, minimumRetention)
		if m.Create.Retention%time.Second != 0 {
			d.node(at, "", "retention: whole seconds only")
		}
	}
}

func (d *decoder) readScrub(s section, m *Mirror) {
	e, ok := s.entries["scrub"]
	if !ok {
		return
	}
	c, ok := d.section(e.value, "scrub", []string{"target", "source"}, nil)
	if !ok {
		return
	}
	for key, to := range map[string]*time.Duration{"target": &m.Scrub.Target, "source": &m.Scrub.Source} {
		switch v, at, ok := d.text(c, key); {
		case ok && v == "never":
			*to = 0
		case ok:
			*to = d.readDuration(at, key, v, minimumScrub)
		}
	}
}

func (d *decoder) readTime(at *yaml.Node, key, v string) *time.Time {
	if _, err := time.Parse(time.RFC3339Nano, v); err != nil {
		d.node(at, "such as 2021-06-01T00:00:00Z; leave it out to mirror everything", "%s: %s is not a time in RFC 3339", key, quote(at))
		return nil
	}
	ns, err := mirror.ParseTime(v)
	if err != nil {
		d.node(at, "leave it out to mirror everything", "%s: InfluxDB holds 1677-09-21 to 2262-04-11 only", key)
		return nil
	}
	t := time.Unix(0, ns).UTC()
	return &t
}

func (d *decoder) readDuration(at *yaml.Node, key, v string, least time.Duration) time.Duration {
	t, err := ParseDuration(v)
	switch {
	case err != nil:
		d.node(at, "", "%s: %s: %v", key, quote(at), err)
	case t < least:
		d.node(at, "", "%s: %s is too short; at least %s", key, quote(at), short(least))
	}
	return t
}

// short writes a duration of whole hours or seconds.
func short(t time.Duration) string {
	if t%time.Hour == 0 {
		return strconv.Itoa(int(t/time.Hour)) + "h"
	}
	return t.String()
}
