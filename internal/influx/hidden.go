package influx

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"influxmirror/internal/mirror"
)

// oldestReach bounds where the oldest shard group of the axis can lie: its start does not fit the axis, and after a restart
// 2.7.12 hides it from every query with an upper bound below the end of the axis (facts 9).
const oldestReach = mirror.MinTime + 2*365*day

// readHidden reads a Chunk at the beginning of the axis if the server hides it: the whole axis, oldest rows first, as many as are
// missing. hidden is false if a plain read will do.
func (c *Client) readHidden(ctx context.Context, chunk mirror.Chunk, sink Sink) (_ mirror.Reading, hidden bool, _ error) {
	op := "read the oldest rows of " + strconv.Quote(chunk.Measurement)
	from := " FROM " + ident(chunk.Measurement) + " WHERE "
	head := mirror.Window{Start: mirror.MinTime, Stop: chunk.Window.Stop}
	tail := mirror.Window{Start: chunk.Window.Stop, Stop: mirror.Axis.Stop}
	conflicts, err := c.conflicts(ctx, false)
	if err != nil {
		return mirror.Reading{}, false, err
	}
	list := counts(conflicts[chunk.Measurement])
	var n [3]uint64
	tables, err := c.ask(ctx, op, "SELECT "+list+from+c.where(mirror.Axis), "SELECT "+list+from+c.where(head), "SELECT "+list+from+c.where(tail))
	if err != nil {
		return mirror.Reading{}, false, err
	}
	for _, t := range tables {
		n[t.Statement] += sumCounts(t)
	}
	before := n[0] - n[2] // in this window and before it
	if n[0] < n[2] || before <= n[1] {
		return mirror.Reading{}, false, nil
	}
	fail := func(err error) (mirror.Reading, bool, error) {
		return mirror.Reading{}, true, &mirror.Error{Kind: mirror.Broken, Side: c.o.Side, URL: c.URL(), Op: op, Err: err}
	}
	if len(conflicts[chunk.Measurement]) > 0 {
		return fail(errors.New("the server hides its oldest shard group since it was restarted, and fields have several types: a point written there brings it back"))
	}
	sel := fmt.Sprintf("SELECT *::field, *::tag%s%s LIMIT %d", from, c.where(mirror.Axis), before)
	r := &reading{chunk: chunk, sink: sink, mapping: c.mapping(), wide: true, oldest: true, cells: make([]mirror.Fingerprint, chunk.Cells()), cellStop: math.MinInt64}
	err = c.query(ctx, op, []string{"EXPLAIN " + sel, "SELECT " + list + from + c.where(mirror.Axis), sel, "SELECT " + list + from + c.where(mirror.Axis)}, maxAnswer,
		func(d *decoder, n int, a *answer) error {
			r.d, r.date = d, a.date
			if err := d.run(n, r.head, r.row); err != nil {
				return err
			}
			return r.flush(0)
		})
	if err != nil {
		return mirror.Reading{}, true, err
	}
	out := mirror.Reading{Cells: r.cells, Date: r.date, Points: r.points, Unwritable: r.unwritable(), Live: r.counts[0] != r.counts[1] || r.counts[0] != n[0]}
	if !out.Live && r.total()+r.elsewhere != before {
		return fail(fmt.Errorf("%d of the oldest samples came, the server counts %d", r.total()+r.elsewhere, before))
	}
	return out, true, nil
}
