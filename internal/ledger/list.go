package ledger

import (
	"context"
	"database/sql"
	"errors"
	"iter"

	"influxmirror/internal/mirror"
)

// Summaries lists what is remembered of all groups by measurement and start, without Cells for a group of which nothing is shown in this direction. In the direction in which it is stored that reads few of the groups,
// in the other one all.
func (p *Pair) Summaries(ctx context.Context) ([]mirror.Summary, error) {
	var all []mirror.Summary
	err := p.l.view(ctx, func(tx *sql.Tx) error {
		var err error
		if all, err = p.summaries(ctx, tx); err != nil {
			return err
		}
		unsent, err := p.groupsWith(ctx, tx, string(mirror.Unsent))
		if err != nil || !p.turned && len(unsent) == 0 {
			return err
		}
		out := all[:0]
		for _, s := range all {
			if p.turned || unsent[groupKey{s.Measurement, s.Window.Start}] {
				g, _, err := p.group(ctx, tx, p.l.read, s.Measurement, s.Window.Start)
				if errors.Is(err, errBlob) || errors.Is(err, sql.ErrNoRows) {
					p.l.dropped.Add(1)
					continue
				}
				if err != nil {
					return err
				}
				s = p.shown(g).Summary()
			}
			out = append(out, s)
		}
		all = out
		return nil
	})
	return all, wrap(p.l.dir, "list groups", err)
}

// summaries lists the rows of summary that match their checksums.
func (p *Pair) summaries(ctx context.Context, tx *sql.Tx) ([]mirror.Summary, error) {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM summary WHERE pair = ?`, p.id).Scan(&n); err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, `SELECT measurement, start, stop, cells, source, target, excepted, extra, as_of, checked_at,
		proof, body_sum, sum FROM summary WHERE pair = ? ORDER BY measurement, start`, p.id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make([]mirror.Summary, 0, n)
	// Scanned as they come: database/sql turns an integer into text and back for any other destination.
	var name any
	var row [12]any
	into := []any{&name}
	for i := range row {
		into = append(into, &row[i])
	}
	buf := make([]byte, 0, 256)
	last := ""
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		measurement, ok := name.([]byte)
		var v [len(row)]int64
		for i := range row {
			var is bool
			v[i], is = row[i].(int64)
			ok = ok && is
		}
		if string(measurement) != last {
			last = string(measurement)
		}
		s := mirror.Summary{
			Measurement: last, Window: mirror.Window{Start: v[0], Stop: v[1]}, Cells: int(v[2]),
			Source: uint64(v[3]), Target: uint64(v[4]), Excepted: uint64(v[5]), Extra: uint64(v[6]), AsOf: v[7], Checked: v[8],
		}
		if !ok || s.Window.Empty() || sumSummary(buf, p.key, s, v[9], v[10]) != v[11] {
			p.l.dropped.Add(1)
			continue
		}
		if s.Checked == notKept { // the target was read back behind the source
			s.Checked = s.AsOf
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

type groupKey struct {
	measurement string
	start       int64
}

// groupsWith returns the groups with an exception of a class.
func (p *Pair) groupsWith(ctx context.Context, tx *sql.Tx, class string) (map[groupKey]bool, error) {
	rows, err := tx.QueryContext(ctx, `SELECT measurement, start FROM exception WHERE pair = ? AND class = ?`, p.id, class)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[groupKey]bool{}
	for rows.Next() {
		var name []byte
		var start int64
		if err := rows.Scan(&name, &start); err != nil {
			return nil, err
		}
		found[groupKey{string(name), start}] = true
	}
	return found, rows.Err()
}

// Listed is an Exception and whose it is.
type Listed struct {
	Measurement string
	mirror.Exception
}

// Exceptions lists the exceptions of the given classes, of all classes if none is given, by measurement and group. It
// ends after the first error. The ledger can be written meanwhile; the list shows it as it was at the start.
func (p *Pair) Exceptions(ctx context.Context, classes ...mirror.Class) iter.Seq2[Listed, error] {
	wanted := map[mirror.Class]bool{}
	for _, c := range classes {
		wanted[c] = true
	}
	ended := errors.New("the loop ended early")
	return func(yield func(Listed, error) bool) {
		err := p.l.view(ctx, func(tx *sql.Tx) error {
			rows, err := tx.QueryContext(ctx, `SELECT measurement, start, n, class, body, sum FROM exception WHERE pair = ?
				ORDER BY measurement, start, n`, p.id)
			if err != nil {
				return err
			}
			defer rows.Close()
			// The exceptions of one group at a time: some of them are not shown together.
			var at groupKey
			var list []mirror.Exception
			flush := func() error {
				for _, e := range p.listed(list) {
					if (len(wanted) == 0 || wanted[e.Class]) && !yield(Listed{at.measurement, e}, nil) {
						return ended
					}
				}
				list = list[:0]
				return nil
			}
			for rows.Next() {
				var name, body []byte
				var class string
				var start, sum int64
				var n int
				var e mirror.Exception
				err := rows.Scan(&name, &start, &n, &class, &body, &sum)
				if err == nil && sumException(nil, p.key, string(name), start, n, class, body) == sum {
					e, err = parseException(body, start, class)
				} else {
					err = errBlob
				}
				if err != nil {
					p.l.dropped.Add(1)
					continue
				}
				if now := (groupKey{string(name), start}); now != at {
					if err := flush(); err != nil {
						return err
					}
					at = now
				}
				list = append(list, e)
			}
			if err := flush(); err != nil {
				return err
			}
			return rows.Err()
		})
		if err != nil && !errors.Is(err, ended) {
			yield(Listed{}, wrap(p.l.dir, "list exceptions", err))
		}
	}
}

// listed returns which exceptions of one group are shown in the pair's direction.
func (p *Pair) listed(list []mirror.Exception) (out []mirror.Exception) {
	var hidden []mirror.Window
	for _, e := range list {
		if p.turned {
			e = e.Turn()
		}
		if e.Class == mirror.Unsent {
			hidden = append(hidden, e.Window)
		}
		out = append(out, e)
	}
	if len(hidden) == 0 {
		return out
	}
	shown := out[:0]
	for _, e := range out {
		keep := true
		for _, w := range hidden {
			keep = keep && !w.Overlaps(e.Window)
		}
		if keep {
			shown = append(shown, e)
		}
	}
	return shown
}
