package config

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"influxmirror/internal/mirror"
)

// readTags reads add_tags: names with their values.
func (d *decoder) readTags(s section, m *Mirror) {
	e, ok := s.entries["add_tags"]
	if !ok {
		return
	}
	if e.value.Kind != yaml.MappingNode {
		d.source.hide(e.value)
		d.node(e.value, "such as add_tags: {site: mcmurdo}", "add_tags: keys and values expected, found %s", kind(e.value))
		return
	}
	for _, t := range d.pairs(e.value) {
		value, ok := d.scalar(t.value, "add_tags")
		if !ok {
			continue
		}
		if contains(refusedTags, t.key) {
			d.node(t.at, "choose another name", "add_tags: InfluxDB refuses a tag called %s", name(t.key))
		} else if err := checkTag(t.key); err != nil {
			d.node(t.at, "", "add_tags: the key %s %v", name(t.key), err)
		}
		if err := checkTag(value); err != nil {
			d.node(t.value, "", "add_tags: the value of %s %v", name(t.key), err)
		}
		m.AddTags = append(m.AddTags, mirror.Tag{Key: t.key, Value: value})
	}
	for _, r := range []Ref{m.From, m.To} {
		if !r.IsZero() && r.Endpoint.Dir != "" {
			d.node(e.at, "leave it out", "add_tags: tags are added between servers only, not to or from a directory")
			break
		}
	}
	if len(e.value.Content) == 0 {
		d.node(e.value, "such as add_tags: {site: mcmurdo}", "add_tags: none given")
	}
	slices.SortFunc(m.AddTags, func(a, b mirror.Tag) int { return cmp.Compare(a.Key, b.Key) })
}

var refusedTags = []string{"time", "_field", "_measurement"}

// maxTag is far below what a whole series key may have, in bytes.
const maxTag = 1024

// checkTag refuses what is not the same in every writing of line protocol.
func checkTag(s string) error {
	switch {
	case s == "" || strings.TrimSpace(s) != s:
		return errors.New("is empty or begins or ends with a space")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("holds a control character or is not UTF-8")
	case strings.Contains(s, `\`):
		return errors.New("holds a backslash")
	case len(s) > maxTag:
		return errors.New("is too long: at most 1024 bytes")
	}
	return nil
}

// Apart reports whether nothing that one mirror writes can be what the other writes: an added tag has two values, or
// no measurement is in both.
func (m *Mirror) Apart(other *Mirror) bool {
	for _, a := range m.AddTags {
		for _, b := range other.AddTags {
			if a.Key == b.Key && a.Value != b.Value {
				return true
			}
		}
	}
	return !selection{m.Include, m.Exclude}.meets(selection{other.Include, other.Exclude})
}
