package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Directory returns the archive that an address, dir: and a path, names. A relative path starts at base.
func Directory(address, base string) (Ref, error) {
	path, ok := strings.CutPrefix(address, "dir:")
	switch {
	case !ok:
		return Ref{}, errors.New("begins with dir:, as in dir:/srv/archive")
	case strings.TrimSpace(path) == "":
		return Ref{}, errors.New("names no directory; such as dir:/srv/archive")
	case strings.HasPrefix(path, "~"):
		return Ref{}, errors.New("~ is not expanded; write ${HOME}")
	case printable(path) != path:
		return Ref{}, errors.New("the path holds a control character")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	path = filepath.Clean(path)
	if filepath.Dir(path) == path {
		return Ref{}, errors.New("is the root of the file system; name a directory in it")
	}
	return inDirectory(path, filepath.Base(path)), nil
}

func inDirectory(path, bucket string) Ref {
	return Ref{&Endpoint{Name: "dir:" + path, Dir: path}, bucket}
}

func (d *decoder) readDirectory(at *yaml.Node, key, v string) Ref {
	r, err := Directory(v, d.dir)
	if err != nil {
		d.node(at, "", "%s: %v", key, err)
		return Ref{}
	}
	return r
}

// subdirectory is the name of a directory for a bucket: letters, digits, - _ . are themselves (not a dot at the start),
// all other bytes %XX. No two buckets have the same.
func subdirectory(bucket string) string {
	var b strings.Builder
	for i := range len(bucket) {
		c := bucket[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' && i > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if name := b.String(); len(name) <= 200 {
		return name
	}
	sum := sha256.Sum256([]byte(bucket))
	return b.String()[:150] + "%" + hex.EncodeToString(sum[:16])
}

// checkDirectories refuses archives that share files with each other or with the state.
func (d *decoder) checkDirectories() {
	type archive struct {
		dir string
		m   *Mirror
	}
	var seen []archive
	for i, m := range d.cfg.Mirrors {
		for _, end := range []struct {
			key string
			ref Ref
			at  *yaml.Node
		}{{"from", m.From, d.ends[i].from}, {"to", m.To, d.ends[i].to}} {
			if end.ref.IsZero() || end.ref.Endpoint.Dir == "" {
				continue
			}
			dir := end.ref.Endpoint.Dir
			if state := d.cfg.StateDir; state != "" && (within(dir, state) || within(state, dir)) {
				d.node(end.at, "keep archives and the state apart", "%s: %s and the state directory %s are one, or one is in the other", end.key, name(dir), name(state))
			}
			for _, other := range seen {
				if other.dir != dir && (within(dir, other.dir) || within(other.dir, dir)) {
					d.node(end.at, "give each archive a directory of its own", "%s: %s and %s of %s lie one in the other", end.key, name(dir), name(other.dir), d.label(other.m))
					break
				}
			}
			seen = append(seen, archive{dir, m})
		}
	}
}

// CheckState refuses a state directory, other than the config's, that shares files with an archive.
func (c *Config) CheckState(dir string) error {
	state, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for _, m := range c.Mirrors {
		for _, r := range []Ref{m.From, m.To} {
			if d := r.Endpoint.Dir; d != "" && (within(d, state) || within(state, d)) {
				return fmt.Errorf("%s and the state directory %s are one, or one is in the other; keep archives and the state apart", r, name(state))
			}
		}
	}
	return nil
}

// within reports whether path is dir or lies in it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}
