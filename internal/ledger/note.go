package ledger

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// keptPasses is how many passes of a pair are remembered.
const keptPasses = 1000

// note returns the name under which a document of the pair's direction is stored.
func (p *Pair) note(name string) string {
	if p.turned {
		return "back " + name
	}
	return name
}

// State reads a small named document of the pair's direction into a value, as encoding/json does, and reports whether there was
// one. A document that does not match its checksum is none.
func (p *Pair) State(ctx context.Context, name string, into any) (bool, error) {
	name = p.note(name)
	var body []byte
	var sum int64
	err := p.l.r.QueryRowContext(ctx, `SELECT body, sum FROM note WHERE pair = ? AND name = ?`, p.id, name).Scan(&body, &sum)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, wrap(p.l.dir, "read note "+name, err)
	}
	if sumNote(p.key, name, body) != sum {
		p.l.dropped.Add(1)
		return false, nil
	}
	return true, wrap(p.l.dir, "read note "+name, json.Unmarshal(body, into))
}

// SetState replaces a named document of the pair's direction; nil removes it.
func (p *Pair) SetState(ctx context.Context, name string, v any) error {
	name = p.note(name)
	if v == nil {
		return wrap(p.l.dir, "remove note "+name, p.l.write(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `DELETE FROM note WHERE pair = ? AND name = ?`, p.id, name)
			return err
		}))
	}
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write note %s: %w", name, err)
	}
	return wrap(p.l.dir, "write note "+name, p.l.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO note (pair, name, body, sum) VALUES (?, ?, ?, ?)`,
			p.id, name, body, sumNote(p.key, name, body))
		return err
	}))
}

// Pass is one line of the log of passes.
type Pass struct {
	Started int64  // ns, by the source's clock where it answered; for people
	Ended   int64  // ns
	Result  string // one word
	Read    uint64 // Samples
	Written uint64 // Samples
	Reason  string
}

// AddPass appends a pass and lets go of all but the newest 1000 of the pair.
func (p *Pair) AddPass(ctx context.Context, pass Pass) error {
	return wrap(p.l.dir, "log pass", p.l.write(ctx, func(tx *sql.Tx) error {
		var id int64
		err := tx.QueryRowContext(ctx, `SELECT coalesce(max(id), 0) + 1 FROM pass WHERE pair = ?`, p.id).Scan(&id)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO pass (pair, id, started, ended, result, read, written, reason)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, p.id, id, pass.Started, pass.Ended, pass.Result, int64(pass.Read), int64(pass.Written), pass.Reason)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM pass WHERE pair = ? AND id <= ?`, p.id, id-keptPasses)
		return err
	}))
}

// Passes returns at most n passes, newest first.
func (p *Pair) Passes(ctx context.Context, n int) ([]Pass, error) {
	rows, err := p.l.r.QueryContext(ctx, `SELECT started, ended, result, read, written, reason FROM pass WHERE pair = ?
		ORDER BY id DESC LIMIT ?`, p.id, max(n, 0))
	if err != nil {
		return nil, wrap(p.l.dir, "list passes", err)
	}
	defer rows.Close()
	var all []Pass
	for rows.Next() {
		var s Pass
		var read, written int64
		if err := rows.Scan(&s.Started, &s.Ended, &s.Result, &read, &written, &s.Reason); err != nil {
			return nil, wrap(p.l.dir, "list passes", err)
		}
		s.Read, s.Written = uint64(read), uint64(written)
		all = append(all, s)
	}
	return all, wrap(p.l.dir, "list passes", rows.Err())
}
