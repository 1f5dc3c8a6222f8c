package config

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// The keys of the old script's settings.yaml, all of which it needed.
var legacyKeys = []string{
	"REMOTE_IP", "REMOTE_TOKEN", "REMOTE_ORG", "LOCAL_IP", "LOCAL_TOKEN", "LOCAL_ORG",
	"REFRESH_RATE", "RECOVER_DATA_SINCE_DATE", "BUCKETS",
}

// withLegacy adds the keys of a settings.yaml to those that an influxmirror.yaml must not have.
func withLegacy(refused map[string]later) map[string]later {
	all := maps.Clone(refused)
	for _, key := range legacyKeys {
		all[key] = later{"keep one of the two files", "a key of the old settings.yaml, which does not mix with endpoints and mirrors", true}
	}
	return all
}

// isLegacy knows a settings.yaml by its keys.
func isLegacy(root *yaml.Node) bool {
	old := false
	for i := 0; i+1 < len(root.Content); i += 2 {
		key := root.Content[i].Value
		if key == "endpoints" || key == "mirrors" {
			return false
		}
		old = old || contains(legacyKeys, key)
	}
	return old
}

// readLegacy maps a settings.yaml to endpoints remote and local, and a mirror for each bucket.
func (d *decoder) readLegacy(root *yaml.Node) {
	d.literal, d.cfg.Legacy, d.secretInFile = true, true, true
	s := section{at: root, entries: map[string]entry{}}
	var unknown []entry
	for _, e := range d.pairs(root) {
		if contains(legacyKeys, e.key) {
			s.entries[e.key] = e
		} else {
			unknown = append(unknown, e)
		}
	}
	var missing []string
	for _, key := range legacyKeys {
		if !s.has(key) {
			missing = append(missing, key)
			d.at(0, 0, legacyHints[key], "%s is missing", key)
		}
	}
	for _, e := range unknown {
		d.source.hide(e.value)
		if hint := didYouMean(e.key, missing, nil); hint != "" {
			d.node(e.at, hint, "%s: unknown key", name(e.key))
			continue
		}
		d.warn("line %d: %s is not used; leave it out", e.at.Line, name(e.key))
	}
	remote, local := d.legacyEndpoint(s, "remote"), d.legacyEndpoint(s, "local")
	d.endpoints["remote"], d.endpoints["local"] = remote, local
	d.cfg.Endpoints = []*Endpoint{remote, local}
	wait, since := d.legacyWait(s), d.legacySince(s)
	buckets, at := d.texts(s, "BUCKETS")
	if s.has("BUCKETS") && len(s.entries["BUCKETS"].value.Content) == 0 && len(buckets) == 0 {
		d.node(s.entries["BUCKETS"].at, legacyHints["BUCKETS"], "BUCKETS: none named")
	}
	seen := map[string]bool{}
	for i, b := range buckets {
		if seen[b] {
			d.warn("line %d: bucket %s is named twice; leave one out", at[i].Line, name(b))
			continue
		}
		seen[b] = true
		d.checkBucket(at[i], "BUCKETS", b)
		m := &Mirror{Name: b, Since: since, Wait: wait, Scrub: Scrub{Target: defaultScrubTarget}}
		if remote.URL != nil && local.URL != nil {
			m.From, m.To, m.Log = Ref{remote, b}, Ref{local, b}, Ref{local, defaultLogBucket}
		}
		d.addMirror(m, at[i], at[i], at[i])
	}
	if base := d.stateDir(); base != "" && remote.URL != nil && local.URL != nil {
		d.cfg.StateDir = filepath.Join(base, pairHash(remote, local))
		d.cfg.SwappedStateDir = filepath.Join(base, pairHash(local, remote))
		d.checkLegacy()
	}
}

var legacyHints = map[string]string{
	"REMOTE_IP":               "the source's address, such as REMOTE_IP: 10.8.0.2:8086",
	"REMOTE_TOKEN":            "a token that may read the buckets at the source",
	"REMOTE_ORG":              "the source's organisation",
	"LOCAL_IP":                "the target's address, such as LOCAL_IP: localhost:8086",
	"LOCAL_TOKEN":             "a token that may read and write the buckets at the target",
	"LOCAL_ORG":               "the target's organisation",
	"REFRESH_RATE":            "the wait after a pass, such as REFRESH_RATE: 00:00:30",
	"RECOVER_DATA_SINCE_DATE": "what is older is not mirrored, such as RECOVER_DATA_SINCE_DATE: 2021-06-01T00:00:00Z",
	"BUCKETS":                 "the buckets to mirror, such as BUCKETS: [cryostat]",
}

func (d *decoder) checkLegacy() {
	if e := d.cfg.Endpoints; e[0].identity() == e[1].identity() {
		d.at(0, 0, "REMOTE_IP is the source, LOCAL_IP the target", "REMOTE and LOCAL are the same server and organisation")
		return
	}
	for i, m := range d.cfg.Mirrors {
		if m.Name == defaultLogBucket {
			d.node(d.ends[i].at, "leave it out of BUCKETS", "BUCKETS: %s is also the log bucket", m.Name)
		}
	}
}

// legacyEndpoint always returns an endpoint; its URL is nil where the address is missing or wrong.
func (d *decoder) legacyEndpoint(s section, side string) *Endpoint {
	e := &Endpoint{Name: side, dir: d.dir, env: d.env}
	prefix := strings.ToUpper(side)
	if v, at, ok := d.text(s, prefix+"_IP"); ok {
		e.URL = d.legacyURL(at, prefix+"_IP", strings.TrimSpace(v))
	}
	e.Org, _, _ = d.text(s, prefix+"_ORG")
	if v, at, ok := d.text(s, prefix+"_TOKEN"); ok {
		v = strings.TrimSpace(v)
		if err := checkSecret(v); err != nil {
			d.node(at, "", "%s_TOKEN: %v", prefix, err)
		}
		e.token = NewSecret(v)
	}
	return e
}

func (d *decoder) legacyURL(at *yaml.Node, key, v string) *url.URL {
	if strings.Contains(v, "@") {
		d.source.hide(at)
	}
	full := v
	if !strings.Contains(v, "://") {
		full = "http://" + v
	}
	u, err := parseURL(full)
	if err != nil {
		d.node(at, "such as 10.8.0.2:8086, [2001:db8::2]:8086 or https://db.example.org", "%s: %v", key, err)
		return nil
	}
	return u
}

var clock = regexp.MustCompile(`^(\d{1,4}):([0-5]?\d):([0-5]?\d)$`)

func (d *decoder) legacyWait(s section) time.Duration {
	v, at, ok := d.text(s, "REFRESH_RATE")
	if !ok {
		return defaultWait
	}
	m := clock.FindStringSubmatch(strings.TrimSpace(v))
	if m == nil {
		d.node(at, "such as 00:00:30", "REFRESH_RATE: %s is not HH:MM:SS", quote(at))
		return defaultWait
	}
	var n [3]int
	for i := range n {
		n[i], _ = strconv.Atoi(m[i+1])
	}
	wait := time.Duration(n[0])*time.Hour + time.Duration(n[1])*time.Minute + time.Duration(n[2])*time.Second
	if wait < minimumWait {
		d.warn("line %d: REFRESH_RATE of nothing is taken as 00:00:01; write that", at.Line)
	}
	return max(wait, minimumWait)
}

func (d *decoder) legacySince(s section) *time.Time {
	v, at, ok := d.text(s, "RECOVER_DATA_SINCE_DATE")
	if !ok {
		return nil
	}
	if strings.Contains(v, ".") {
		d.node(at, "such as 2021-06-01T00:00:00Z", "RECOVER_DATA_SINCE_DATE: no fractions of a second")
		return nil
	}
	return d.readTime(at, "RECOVER_DATA_SINCE_DATE", v)
}

// pairHash names the state of a source and a target.
func pairHash(source, target *Endpoint) string {
	return shortHash(source.identity() + "\n" + target.identity())
}

// refsHash names the state of two buckets.
func refsHash(source, target Ref) string {
	return shortHash(source.identity() + "\n\n" + target.identity())
}

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}
