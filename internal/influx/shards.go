package influx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"influxmirror/internal/mirror"
)

// readShards reads a Chunk that lies in several shards of a 1.x server. Before 1.8 or so (measured on 1.6.7) a shard group made after the
// duration was altered overlaps the older ones, and in data from then it does for ever: no halving comes to one shard. Where each field of the
// measurement has one type in all of the bucket, as SHOW FIELD KEYS says before and after, a read of several shards converts nothing and is as
// exact as one of one. Elsewhere the error is of kind MultiShard, and nothing went to sink.
func (c *Client) readShards(ctx context.Context, chunk mirror.Chunk, sink Sink, op string) (mirror.Reading, error) {
	fail := func(kind mirror.Kind, err error) (mirror.Reading, error) {
		return mirror.Reading{}, &mirror.Error{Kind: kind, Side: c.o.Side, URL: c.URL(), Op: op, Err: err}
	}
	one, err := c.oneType(ctx, chunk.Measurement)
	if err != nil {
		return mirror.Reading{}, err
	}
	if !one {
		return fail(mirror.MultiShard, errShards)
	}
	r := &reading{chunk: chunk, sink: sink, mapping: c.mapping(), several: true, cells: make([]mirror.Fingerprint, chunk.Cells()), cellStop: math.MinInt64}
	from := " FROM " + ident(chunk.Measurement) + " WHERE " + c.where(chunk.Window)
	sel, count := "SELECT *::field"+from+" GROUP BY *", "SELECT count(*::field)"+from
	err = c.query(ctx, op, []string{"EXPLAIN " + sel, count, sel, count}, maxAnswer, func(d *decoder, n int, a *answer) error {
		r.d, r.date = d, a.date
		if err := d.run(n, r.head, r.row); err != nil {
			return err
		}
		return r.flush(0)
	})
	if errors.Is(err, errTwice) {
		return fail(mirror.Rejected, fmt.Errorf("%w: what the server would answer is not defined; write the right value again, or delete one of its overlapping shards", err))
	}
	if err != nil {
		return mirror.Reading{}, err
	}
	if one, err = c.oneType(ctx, chunk.Measurement); err != nil {
		return mirror.Reading{}, err
	}
	out := mirror.Reading{Cells: r.cells, Date: r.date, Points: r.points, Unwritable: r.unwritable(), Live: r.counts[0] != r.counts[1]}
	switch got := r.total(); {
	case !one:
		return fail(mirror.Broken, errors.New("a field got a second type during the read"))
	case !out.Live && got != r.counts[0]:
		return fail(mirror.Broken, fmt.Errorf("%d samples came, the server counts %d", got, r.counts[0]))
	}
	return out, nil
}

// oneType reports whether every field of a measurement has one type in all shards.
func (c *Client) oneType(ctx context.Context, measurement string) (bool, error) {
	tables, err := c.list(ctx, "list fields of "+strconv.Quote(measurement), "SHOW FIELD KEYS FROM "+ident(measurement))
	if err != nil {
		return false, err
	}
	seen := map[string]bool{}
	for _, t := range tables {
		for _, row := range t.Rows {
			if seen[row[0].Text] {
				return false, nil
			}
			seen[row[0].Text] = true
		}
	}
	return true, nil
}

// errTwice: overlapping shards may each hold a value where there can be one only.
var errTwice = errors.New("two shards hold a value of the same series, field and time")

// once checks that the row repeats no value. Rows of one series come by time.
func (r *reading) once(t int64) error {
	if t != r.rowAt || r.series != r.rowSeries || r.had == nil {
		r.rowAt, r.rowSeries = t, r.series
		r.had = slices.Grow(r.had[:0], len(r.values))[:len(r.values)]
		clear(r.had)
	}
	for i := range r.values {
		if r.values[i].set && r.had[i] {
			return errTwice
		}
		r.had[i] = r.had[i] || r.values[i].set
	}
	return nil
}
