package influx

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// where writes the condition for w, both bounds included, on the series that are to be seen. ::tag says that no field of that name is meant.
func (c *Client) where(w mirror.Window) string {
	text := where(w)
	for _, t := range c.o.Only {
		text += " AND " + ident(t.Key) + "::tag = " + literal(t.Value)
	}
	return text
}

// mapping is what a read does to the tags of each series: those in add are added, and those in only must be there.
type mapping struct {
	maps      bool // there is anything to do
	add, only []mirror.Tag
	merged    []mirror.Tag // of one series
}

func (c *Client) mapping() mapping {
	return mapping{maps: len(c.o.AddTags)+len(c.o.Only) > 0, add: c.o.AddTags, only: c.o.Only}
}

// tagClash: a series has a tag that is to be added.
type tagClash struct {
	measurement string
	tag         mirror.Tag // Value is "" where it is not known
}

func (e *tagClash) Error() string {
	has := "a tag " + strconv.Quote(e.tag.Key)
	if e.tag.Value != "" {
		has += " (" + printable(strconv.Quote(e.tag.Value), 80) + ")"
	}
	return fmt.Sprintf("measurement %s has %s already, and add_tags changes no tag; choose another key in add_tags, or exclude the measurement",
		printable(strconv.Quote(e.measurement), 80), has)
}

func valueOf(tags []mirror.Tag, key string) string {
	for _, t := range tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

// tagged returns the tags of a series as they are handed on, by key. The slice is reused by the next call.
func (m *mapping) tagged(measurement string, tags []mirror.Tag) ([]mirror.Tag, error) {
	for _, t := range m.only {
		if valueOf(tags, t.Key) != t.Value {
			return nil, fmt.Errorf("%w: a series without the tag that was asked for", errGrammar)
		}
	}
	if len(m.add) == 0 {
		return tags, nil
	}
	m.merged = append(m.merged[:0], tags...)
	for _, t := range m.add {
		if v := valueOf(tags, t.Key); v != "" {
			return nil, &tagClash{measurement, mirror.Tag{Key: t.Key, Value: v}}
		}
		m.merged = append(m.merged, t)
	}
	slices.SortFunc(m.merged, func(a, b mirror.Tag) int { return strings.Compare(a.Key, b.Key) })
	return m.merged, nil
}

// untagged appends canonical lines without the tags, all of which every line has: what was read with added tags is written back without them.
func untagged(b, lines []byte, tags []mirror.Tag) ([]byte, error) {
	var out [][]byte
	for _, t := range tags {
		out = append(out, lineproto.AppendKey(nil, "", []mirror.Tag{t}))
	}
	for len(lines) > 0 {
		var line []byte
		line, lines = lineproto.Next(lines)
		from, left := 0, len(out) // of the part of the key that begins here
		for i, inKey := 0, true; inKey; i++ {
			if i == len(line) {
				return b, fmt.Errorf("no line: %s", printable(string(line), 80))
			}
			if line[i] != ',' && line[i] != ' ' || i > 0 && line[i-1] == '\\' {
				continue
			}
			if part := line[from:i]; slices.ContainsFunc(out, func(t []byte) bool { return bytes.Equal(t, part) }) {
				left--
			} else {
				b = append(b, part...)
			}
			from, inKey = i, line[i] == ','
		}
		if left != 0 {
			return b, fmt.Errorf("a line without the tags that were added: %s", printable(string(line), 80))
		}
		b = append(b, line[from:]...)
	}
	return b, nil
}

// mappable makes sure, before anything is copied, that the tags can be asked for and that no measurement that is mirrored has one that is to be added. It
// binds the identity to the tags: what is proven of one part of a bucket says nothing of another.
func (c *Client) mappable(ctx context.Context, p *mirror.Probe) error {
	op := "list tags of bucket " + strconv.Quote(p.Bucket)
	blocked := func(err error) error {
		return &mirror.Error{Kind: mirror.Blocked, Side: c.o.Side, URL: c.URL(), Op: op, Err: err}
	}
	for _, t := range slices.Concat(c.o.Only, c.o.AddTags) {
		if t.Key == "" || t.Value == "" || !askable(t.Key) || !askable(t.Value) {
			return blocked(fmt.Errorf("InfluxQL cannot say the tag %s=%s; choose another in add_tags", strconv.Quote(t.Key), strconv.Quote(t.Value)))
		}
	}
	p.Identity = mirror.Part(p.Identity, c.o.Only)
	if len(c.o.AddTags) == 0 {
		return nil
	}
	if _, old := c.database(); !old && databaseOf(c.o.Bucket).policy != "" {
		keys, err := c.TagKeys(ctx) // for such a name 2.x does not tell the measurements
		for _, add := range c.o.AddTags {
			if keys[add.Key] {
				return blocked(fmt.Errorf("the bucket has a tag %s already, and add_tags changes no tag; choose another key in add_tags", strconv.Quote(add.Key)))
			}
		}
		return err
	}
	tables, err := c.ask(ctx, op, "SHOW TAG KEYS")
	if err != nil {
		return err
	}
	for _, t := range tables {
		if c.o.Wants != nil && !c.o.Wants(t.Name) {
			continue
		}
		for _, row := range t.Rows {
			for _, add := range c.o.AddTags {
				if len(row) > 0 && row[0].Text == add.Key {
					return blocked(&tagClash{t.Name, mirror.Tag{Key: add.Key}})
				}
			}
		}
	}
	return nil
}
