package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"influxmirror/internal/mirror"
)

// Record replaces what is remembered of a group by g, in one durable transaction, Cells that this direction does not show among it; a group
// without Proofs and exceptions is removed. It stores nothing and returns an error that wraps ErrInvalid if a Proof does not hold, Proofs
// overlap or are out of order, or anything lies outside the group. After another error the old or the new group is
// stored, never a mixture.
func (p *Pair) Record(ctx context.Context, g mirror.Group) error {
	op := "record " + strconv.Quote(g.Measurement)
	if g.Window.Empty() {
		return wrap(p.l.dir, op, fmt.Errorf("%w: empty group", ErrInvalid))
	}
	if err := errors.Join(checkProofs(g.Window, g.Proofs), checkExceptions(g.Window, g.Exceptions)); err != nil {
		return wrap(p.l.dir, op, err)
	}
	if p.turned {
		g = g.Turn()
	}
	return wrap(p.l.dir, op, p.l.write(ctx, func(tx *sql.Tx) error { return p.record(ctx, tx, g) }))
}

func (p *Pair) record(ctx context.Context, tx *sql.Tx, g mirror.Group) error {
	l, name, start := p.l, []byte(g.Measurement), g.Window.Start
	if _, err := tx.StmtContext(ctx, l.dropExc).ExecContext(ctx, p.id, name, start); err != nil {
		return err
	}
	var proof int64
	err := tx.StmtContext(ctx, l.findProof).QueryRowContext(ctx, p.id, name, start).Scan(&proof)
	known := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if len(g.Proofs) == 0 && len(g.Exceptions) == 0 {
		if !known {
			return nil
		}
		return p.remove(ctx, tx, name, start, proof)
	}

	buf := make([]byte, 0, 4096)
	sums := make([]int64, len(g.Exceptions))
	for i, e := range g.Exceptions {
		body := appendException(nil, g.Window, e)
		class := classOf(e)
		sums[i] = sumException(buf, p.key, g.Measurement, start, i, class, body)
		_, err := tx.StmtContext(ctx, l.addExc).ExecContext(ctx, p.id, name, start, i, class, body, sums[i])
		if err != nil {
			return err
		}
	}
	body := appendProofs(make([]byte, 0, 2048), g.Window, g.Proofs)
	if known {
		_, err = tx.StmtContext(ctx, l.setProof).ExecContext(ctx, body, proof)
	} else {
		var res sql.Result
		if res, err = tx.StmtContext(ctx, l.addProof).ExecContext(ctx, body); err == nil {
			proof, err = res.LastInsertId()
		}
	}
	if err != nil {
		return err
	}
	s := g.Summary()
	bodySum := sumBody(buf, p.key, g.Measurement, g.Window, body, sums)
	_, err = tx.StmtContext(ctx, l.setSummary).ExecContext(ctx, p.id, name, start, s.Window.Stop, s.Cells,
		int64(s.Source), int64(s.Target), int64(s.Excepted), int64(s.Extra), s.AsOf, s.Checked, proof, bodySum,
		sumSummary(buf, p.key, s, proof, bodySum))
	return err
}

func (p *Pair) remove(ctx context.Context, tx *sql.Tx, name []byte, start, proof int64) error {
	if _, err := tx.StmtContext(ctx, p.l.dropProof).ExecContext(ctx, proof); err != nil {
		return err
	}
	_, err := tx.StmtContext(ctx, p.l.dropSummary).ExecContext(ctx, p.id, name, start)
	return err
}

// Group returns the stored group of a measurement that begins where w does; its Window is the stored one. If there is
// none, or it does not match its checksum, that is a Group of w without Proofs.
func (p *Pair) Group(ctx context.Context, measurement string, w mirror.Window) (mirror.Group, error) {
	g := mirror.Group{Measurement: measurement, Window: w}
	var bad *int64
	err := p.l.view(ctx, func(tx *sql.Tx) error {
		stored, sum, err := p.group(ctx, tx, p.l.read, measurement, w.Start)
		switch {
		case err == nil:
			g = p.shown(stored)
		case errors.Is(err, errBlob):
			bad, err = &sum, nil
		case errors.Is(err, sql.ErrNoRows):
			err = nil
		}
		return err
	})
	if err != nil {
		return mirror.Group{}, wrap(p.l.dir, "read "+strconv.Quote(measurement), err)
	}
	if bad != nil {
		p.l.dropped.Add(1)
		// If this fails the row stays, and is found bad again.
		_ = p.drop(ctx, measurement, w.Start, *bad)
	}
	return g, nil
}

// shown returns what a stored group says in the pair's direction.
func (p *Pair) shown(g mirror.Group) mirror.Group {
	if p.turned {
		g = g.Turn()
	}
	g.DropUnsent()
	return g
}

// group reads a group as it is stored. It returns errBlob, and the checksum it found, for one that is not what was recorded.
func (p *Pair) group(ctx context.Context, tx *sql.Tx, q groupQueries, measurement string, start int64) (g mirror.Group, sum int64, err error) {
	s := mirror.Summary{Measurement: measurement, Window: mirror.Window{Start: start}}
	var row [12]any // whatever damage made of it
	var into []any
	for i := range row {
		into = append(into, &row[i])
	}
	err = tx.StmtContext(ctx, q.summary).QueryRowContext(ctx, p.id, []byte(measurement), start).Scan(into...)
	if err != nil {
		return g, sum, err
	}
	var v [11]int64
	body, ok := row[11].([]byte)
	for i := range v {
		var is bool
		v[i], is = row[i].(int64)
		ok = ok && is
	}
	sum = v[10]
	s.Window.Stop, s.Cells, s.AsOf, s.Checked = v[0], int(v[1]), v[6], v[7]
	s.Source, s.Target, s.Excepted, s.Extra = uint64(v[2]), uint64(v[3]), uint64(v[4]), uint64(v[5])
	proof, bodySum := v[8], v[9]
	g = mirror.Group{Measurement: measurement, Window: s.Window}
	if !ok || s.Window.Empty() || sumSummary(nil, p.key, s, proof, bodySum) != sum {
		return g, sum, errBlob
	}
	var sums []int64
	rows, err := tx.StmtContext(ctx, q.exceptions).QueryContext(ctx, p.id, []byte(measurement), start)
	if err != nil {
		return g, sum, err
	}
	defer rows.Close()
	for rows.Next() {
		e, check, err := p.exception(rows, measurement, start)
		if err != nil {
			return g, sum, err
		}
		g.Exceptions, sums = append(g.Exceptions, e), append(sums, check)
	}
	if err := rows.Err(); err != nil {
		return g, sum, err
	}
	if sumBody(nil, p.key, measurement, s.Window, body, sums) != bodySum {
		return g, sum, errBlob
	}
	if g.Proofs, err = parseProofs(body, s.Window); err == nil {
		is := g.Summary()
		if s.Checked == notKept {
			is.Checked = notKept
		}
		if is != s {
			err = errBlob
		}
	}
	return g, sum, err
}

// exception reads the row n, class, body, sum. It returns errBlob for one that is not what was recorded.
func (p *Pair) exception(rows *sql.Rows, measurement string, start int64) (e mirror.Exception, sum int64, err error) {
	var n int
	var class string
	var body []byte
	if err := rows.Scan(&n, &class, &body, &sum); err != nil {
		return e, 0, err
	}
	if sumException(nil, p.key, measurement, start, n, class, body) != sum {
		return e, 0, errBlob
	}
	e, err = parseException(body, start, class)
	return e, sum, err
}

// drop removes a bad group, unless it was recorded anew since its checksum was read.
func (p *Pair) drop(ctx context.Context, measurement string, start, sum int64) error {
	return p.l.write(ctx, func(tx *sql.Tx) error {
		_, now, err := p.group(ctx, tx, p.l.reread, measurement, start)
		if !errors.Is(err, errBlob) || now != sum {
			return err
		}
		name := []byte(measurement)
		if _, err := tx.StmtContext(ctx, p.l.dropExc).ExecContext(ctx, p.id, name, start); err != nil {
			return err
		}
		// The body stays: the number of it cannot be trusted, and it may be another group's.
		_, err = tx.StmtContext(ctx, p.l.dropSummary).ExecContext(ctx, p.id, name, start)
		return err
	})
}
