package influx

import (
	"context"
	"maps"
	"slices"
	"strings"

	"influxmirror/internal/mirror"
)

// Locate returns the ids of the shards that hold any of the measurements named for each window, and where each lies. EXPLAIN ANALYZE of a
// read of one row names them, and a read token is enough. A shard that holds other measurements only is not found. What other sources wrote into a
// bucket that is shared counts here: their shards are this one's too.
func (c *Client) Locate(ctx context.Context, at map[mirror.Window][]string) (map[string]mirror.Window, error) {
	out := map[string]mirror.Window{}
	var statements []string
	var windows []mirror.Window
	ask := func() error {
		tables, err := c.ask(ctx, "locate shards", statements...)
		if err != nil {
			return err
		}
		for _, t := range tables {
			for _, row := range t.Rows {
				id := shardOf(row[0].Text)
				if id == "" {
					continue
				}
				w := windows[t.Statement]
				if known, ok := out[id]; ok {
					w = w.Span(known)
				}
				out[id] = w
			}
		}
		statements, windows = statements[:0], windows[:0]
		return nil
	}
	for _, w := range slices.SortedFunc(maps.Keys(at), mirror.Window.Compare) {
		for _, name := range slices.Compact(slices.Sorted(slices.Values(at[w]))) {
			statements = append(statements, "EXPLAIN ANALYZE SELECT *::field FROM "+ident(name)+" WHERE "+where(w)+" LIMIT 1")
			windows = append(windows, w)
			if len(statements) >= surveyBatch {
				if err := ask(); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(statements) > 0 {
		if err := ask(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// shardOf reads a line "│   └── shard_id: 7" of a plan, whose spaces are no-break ones behind a stroke; "" is any other. A measurement may be called like one.
func shardOf(line string) string {
	id, ok := strings.CutPrefix(strings.TrimLeft(line, " \u00a0│├└─"), "shard_id: ")
	if id = strings.TrimSpace(id); !ok || strings.Trim(id, "0123456789") != "" {
		return ""
	}
	return id
}

// TagKeys returns every tag key of the bucket.
func (c *Client) TagKeys(ctx context.Context) (map[string]bool, error) {
	out := map[string]bool{}
	if _, old := c.database(); !old && databaseOf(c.o.Bucket).policy != "" {
		// For a bucket named "a/b" 2.x lists the tags of a; a plan tells them.
		tables, err := c.ask(ctx, "list tags", "EXPLAIN SELECT *::field, *::tag FROM /.*/ WHERE "+where(mirror.Axis))
		for _, tag := range parsePlan(tables).tags {
			out[tag] = true
		}
		return out, err
	}
	tables, err := c.ask(ctx, "list tags", "SHOW TAG KEYS")
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		for _, row := range t.Rows {
			out[row[0].Text] = true
		}
	}
	return out, nil
}
