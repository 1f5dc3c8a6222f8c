package ledger

import (
	"context"
	"database/sql"
	"errors"
)

// Pair is the handle of what is remembered of two buckets, in one direction. Proofs are shown in that direction and stored in the one in which
// the pair was opened first. A Cell in which something could have been sent in the direction asked for, and was not, is not shown. Notes belong to their direction.
type Pair struct {
	l      *Ledger
	id     int64
	key    string
	source string // identity, "" if not asked for
	turned bool   // the direction is not the stored one
}

// Name is a mirror that uses a pair, with the names of its ends for people.
type Name struct{ Mirror, Source, Target string }

// PairInfo describes a pair.
type PairInfo struct {
	Key   string
	Stale bool
	Names []Name // by Mirror
}

// Pair returns the pair with an opaque key, both identities in an order of their own and the digest of the mapping, in the direction in which it
// is stored. It makes the pair if there is none; a reader returns ErrNotFound.
func (l *Ledger) Pair(ctx context.Context, key string) (*Pair, error) {
	p := &Pair{l: l, key: key}
	find := func(q interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}) error {
		return q.QueryRowContext(ctx, `SELECT id FROM pair WHERE key = ?`, key).Scan(&p.id)
	}
	err := find(l.r)
	if errors.Is(err, sql.ErrNoRows) {
		if l.w == nil {
			return nil, ErrNotFound
		}
		err = l.write(ctx, func(tx *sql.Tx) error {
			if err := find(tx); !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			res, err := tx.ExecContext(ctx, `INSERT INTO pair (key, stale) VALUES (?, 0)`, key)
			if err == nil {
				p.id, err = res.LastInsertId()
			}
			return err
		})
	}
	if err != nil {
		return nil, wrap(l.dir, "find pair", err)
	}
	return p, nil
}

// PairFrom returns the pair with an opaque key in the direction from one of its identities to the other. The first to open a pair so decides in
// which direction Proofs are stored.
func (l *Ledger) PairFrom(ctx context.Context, key, source, target string) (*Pair, error) {
	p, err := l.Pair(ctx, key)
	if err != nil {
		return nil, err
	}
	p.source = source
	find := `SELECT source FROM pair WHERE id = ?`
	var stored string
	if err := l.r.QueryRowContext(ctx, find, p.id).Scan(&stored); err != nil {
		return nil, wrap(l.dir, "find pair", err)
	}
	if stored != source && stored != target && l.w != nil {
		// A name that is neither says of no Proof which way it goes.
		if stored != "" {
			if err := p.Forget(ctx); err != nil {
				return nil, err
			}
		}
		err := l.write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `UPDATE pair SET source = ?, turned = 0 WHERE id = ?`, source, p.id)
			return err
		})
		if err != nil {
			return nil, wrap(l.dir, "turn pair", err)
		}
		stored = source
	}
	if stored != "" && stored != source && stored != target {
		return nil, ErrNotFound
	}
	p.turned = stored == target && source != target
	return p, nil
}

// Turned reports whether the pair was last Faced in the other direction: what lets work be skipped in this one does not hold any more.
func (p *Pair) Turned(ctx context.Context) (bool, error) {
	var last bool
	err := p.l.r.QueryRowContext(ctx, `SELECT turned FROM pair WHERE id = ?`, p.id).Scan(&last)
	return last != p.turned, wrap(p.l.dir, "find pair", err)
}

// Face notes that the pair is written in this direction from now on.
func (p *Pair) Face(ctx context.Context) error {
	return wrap(p.l.dir, "turn pair", p.l.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE pair SET turned = ? WHERE id = ?`, p.turned, p.id)
		return err
	}))
}

// Mirror returns the pair that SetName last gave a mirror's name, in the mirror's direction, or ErrNotFound.
func (l *Ledger) Mirror(ctx context.Context, name string) (*Pair, Name, error) {
	p, n := &Pair{l: l}, Name{Mirror: name}
	var stored string
	err := l.r.QueryRowContext(ctx, `SELECT pair.id, pair.key, pair.source, mirror.identity, mirror.source, target FROM mirror JOIN pair ON pair.id = mirror.pair
		WHERE name = ?`, name).Scan(&p.id, &p.key, &stored, &p.source, &n.Source, &n.Target)
	p.turned = p.source != "" && stored != "" && p.source != stored
	if errors.Is(err, sql.ErrNoRows) {
		return nil, Name{}, ErrNotFound
	}
	if err != nil {
		return nil, Name{}, wrap(l.dir, "find mirror "+name, err)
	}
	return p, n, nil
}

// Pairs lists all pairs in the order they were made.
func (l *Ledger) Pairs(ctx context.Context) ([]PairInfo, error) {
	rows, err := l.r.QueryContext(ctx, `SELECT pair.id, key, stale, name, mirror.source, target FROM pair
		LEFT JOIN mirror ON mirror.pair = pair.id ORDER BY pair.id, name`)
	if err != nil {
		return nil, wrap(l.dir, "list pairs", err)
	}
	defer rows.Close()
	var all []PairInfo
	var last int64
	for rows.Next() {
		var id int64
		var info PairInfo
		var name, source, target sql.NullString
		if err := rows.Scan(&id, &info.Key, &info.Stale, &name, &source, &target); err != nil {
			return nil, wrap(l.dir, "list pairs", err)
		}
		if len(all) == 0 || id != last {
			all, last = append(all, info), id
		}
		if name.Valid {
			p := &all[len(all)-1]
			p.Names = append(p.Names, Name{name.String, source.String, target.String})
		}
	}
	return all, wrap(l.dir, "list pairs", rows.Err())
}

// Key returns what Ledger.Pair was given.
func (p *Pair) Key() string { return p.key }

// SetName gives the pair, in its direction, to a mirror, taking the name from the pair that had it. Names are for people and for Mirror.
func (p *Pair) SetName(ctx context.Context, mirror, source, target string) error {
	return wrap(p.l.dir, "name pair", p.l.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO mirror (name, pair, source, target, identity) VALUES (?, ?, ?, ?, ?)`,
			mirror, p.id, source, target, p.source)
		return err
	}))
}

// Stale reports whether an older ledger was put back since the pair was last Checked: its Proofs are true as of their
// dates, but newer ones are lost, and with them what the target was given since.
func (p *Pair) Stale(ctx context.Context) (bool, error) {
	var stale bool
	err := p.l.r.QueryRowContext(ctx, `SELECT stale FROM pair WHERE id = ?`, p.id).Scan(&stale)
	return stale, wrap(p.l.dir, "find pair", err)
}

// Checked ends Stale. It is called after both ends were compared with what the pair remembers.
func (p *Pair) Checked(ctx context.Context) error {
	return wrap(p.l.dir, "mark pair checked", p.l.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE pair SET stale = 0 WHERE id = ?`, p.id)
		return err
	}))
}

// Forget voids all Proofs of the pair, with their exceptions. Notes and passes stay: a note that lets work be skipped
// because nothing moved must be set anew by the caller.
func (p *Pair) Forget(ctx context.Context) error {
	return wrap(p.l.dir, "forget proofs", p.l.write(ctx, func(tx *sql.Tx) error {
		for _, q := range []string{
			`DELETE FROM proof WHERE id IN (SELECT proof FROM summary WHERE pair = ?)`,
			`DELETE FROM exception WHERE pair = ?`,
			`DELETE FROM summary WHERE pair = ?`,
		} {
			if _, err := tx.ExecContext(ctx, q, p.id); err != nil {
				return err
			}
		}
		return nil
	}))
}
