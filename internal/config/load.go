package config

import (
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

var (
	topKeys  = []string{"endpoints", "mirrors", "log_bucket", "state_dir", "ignore_buckets"}
	topLater = map[string]later{
		"web":   {hint: "leave it out"},
		"alert": {hint: "leave it out", secret: true},
	}
)

// Load reads the configuration at path; env is os.LookupEnv, or a test's. An error is an *Errors with all that is wrong.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	return load(path, newFiles(env))
}

func load(path string, files *files) (*Config, error) {
	d := &decoder{
		problems:  problems{file: path},
		env:       files.env,
		files:     files,
		cfg:       &Config{Path: path},
		endpoints: map[string]*Endpoint{},
		places:    map[string]*yaml.Node{},
	}
	text, mode, err := files.read(path, maxConfig)
	if err != nil {
		d.at(0, 0, "name the config with --config FILE", "%v", err)
		return nil, d.err()
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		d.at(0, 0, "name the config with its whole path", "%v", err)
		return nil, d.err()
	}
	d.dir = filepath.Dir(absolute)
	d.source = newSource(text)
	root := d.parse(text)
	switch {
	case root == nil:
	case isLegacy(root):
		d.readLegacy(root)
	default:
		d.readAll(root)
	}
	d.checkPublic(absolute, mode)
	if err := d.err(); err != nil {
		return nil, err
	}
	d.cfg.index()
	return d.cfg, nil
}

// index lets endpoints and mirrors be found by name.
func (c *Config) index() {
	c.endpoints, c.mirrors = map[string]*Endpoint{}, map[string]*Mirror{}
	for _, e := range c.Endpoints {
		c.endpoints[e.Name] = e
	}
	for _, m := range c.Mirrors {
		c.mirrors[m.Name] = m
	}
}

func (d *decoder) readAll(root *yaml.Node) {
	s, ok := d.section(root, "the config", topKeys, withLegacy(topLater))
	if !ok {
		return
	}
	if e, ok := s.entries["endpoints"]; ok {
		d.readEndpoints(e.value)
	} else {
		d.at(0, 0, emptyHint, "endpoints: missing")
	}
	if e, ok := s.entries["mirrors"]; ok {
		d.readMirrors(e.value)
	} else {
		d.at(0, 0, mirrorHint, "mirrors: missing")
	}
	d.readLogBucket(s)
	d.readIgnored(s)
	if v, at, ok := d.text(s, "state_dir"); ok {
		if !filepath.IsAbs(v) {
			v = filepath.Join(d.dir, v)
		}
		if strings.HasPrefix(at.Value, "~") {
			d.node(at, "", "state_dir: ~ is not expanded: write ${HOME}")
		}
		d.cfg.StateDir = filepath.Clean(v)
	} else if !s.has("state_dir") {
		d.cfg.StateDir = d.stateDir()
	}
	d.check()
}

// readLogBucket gives each mirror its log bucket.
func (d *decoder) readLogBucket(s section) {
	bucket, end := defaultLogBucket, (*Endpoint)(nil)
	if v, at, ok := d.text(s, "log_bucket"); ok {
		if v == "none" {
			return
		}
		d.logAt, bucket = at, v
		if e, b, found := strings.Cut(v, ":"); found {
			p, known := d.endpoints[e]
			switch {
			case !known && e == "dir":
				d.node(at, "name a bucket of a server, or none", "log_bucket: a directory keeps no log")
				return
			case !known:
				d.node(at, d.endpointHint(e), "log_bucket: no endpoint is called %s", d.shown(at, e))
				return
			case strings.TrimSpace(b) == "":
				d.node(at, "write log_bucket: Logging", "log_bucket: it names no bucket")
				return
			case p == nil:
				return
			}
			bucket, end = b, p
		}
		d.checkBucket(at, "log_bucket", bucket)
	}
	for _, m := range d.cfg.Mirrors {
		switch {
		case end != nil:
			m.Log = Ref{end, bucket}
		case m.To.IsZero():
		case m.To.Endpoint.Dir == "":
			m.Log = Ref{m.To.Endpoint, bucket}
		}
	}
}

func (d *decoder) readIgnored(s section) {
	values, _ := d.texts(s, "ignore_buckets")
	for _, v := range values {
		i := IgnoredBucket{Bucket: Glob(v)}
		if e, b, found := strings.Cut(v, ":"); found {
			if _, known := d.endpoints[e]; known {
				i = IgnoredBucket{e, Glob(b)}
			}
		}
		d.cfg.Ignore = append(d.cfg.Ignore, i)
	}
}
