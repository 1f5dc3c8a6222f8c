package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	sqlite3 "modernc.org/sqlite/lib"
)

// Ledger is an open ledger. Its methods may be called from several goroutines; writes take turns.
type Ledger struct {
	// Rebuilt is the name of the damaged ledger that Open kept aside, "" normally.
	Rebuilt string
	// Stale means that Open found an older ledger than was last used here. Every pair is marked stale until Checked.
	Stale bool

	dir     string
	w       *sql.DB // one connection; nil for a reader
	r       *sql.DB // for reading only
	files   map[string]os.FileInfo
	dropped atomic.Int64

	read, reread                                      groupQueries // on r and on w
	findProof, addProof, setProof, setSummary, addExc *sql.Stmt    // on w
	dropExc, dropProof, dropSummary                   *sql.Stmt    // on w

	mu     sync.Mutex
	failed error // the I/O error after which nothing is written any more (law L13)
}

// groupQueries read one group; each belongs to one pool of connections.
type groupQueries struct{ summary, exceptions *sql.Stmt }

// Dropped returns how many stored rows did not match their checksum since Open. What they said is not proven any more.
func (l *Ledger) Dropped() int64 { return l.dropped.Load() }

// Check returns ErrReplaced if a file of the open ledger was deleted or replaced (fault B9). It must be asked at least
// every minute: SQLite itself does not notice and would go on writing to a file that is gone.
func (l *Ledger) Check() error {
	for path, was := range l.files {
		if err := same(path, was); err != nil {
			return err
		}
	}
	return nil
}

// remember notes which files are open, once all of them exist.
func (l *Ledger) remember() error {
	l.files = map[string]os.FileInfo{}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		path := filepath.Join(l.dir, dbName+suffix)
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		l.files[path] = info
	}
	return nil
}

// Close closes the ledger.
func (l *Ledger) Close() error {
	var err error
	// If the files are not ours any more, neither is the generation.
	if l.w != nil && l.failure() == nil && l.Check() == nil {
		// So that a copy made while this process ran is older than what it left.
		_, err = l.bump(context.Background())
	}
	if e := l.close(); err == nil {
		err = e
	}
	return wrap(l.dir, "close the ledger", err)
}

func (l *Ledger) close() error {
	var err error
	// The writer last: only a connection that may write brings the log home when it is the last one.
	for _, db := range []*sql.DB{l.r, l.w} {
		if db != nil {
			if e := db.Close(); err == nil {
				err = e
			}
		}
	}
	return err
}

func (l *Ledger) prepare(ctx context.Context) error {
	type query struct {
		stmt **sql.Stmt
		text string
	}
	const key = ` WHERE pair = ? AND measurement = ? AND start = ?`
	const columns = `stop, cells, source, target, excepted, extra, as_of, checked_at, proof, body_sum, sum`
	const group = `SELECT ` + columns + `, (SELECT body FROM proof WHERE id = summary.proof) FROM summary` + key
	const exceptions = `SELECT n, class, body, sum FROM exception` + key + ` ORDER BY n`
	reads := []query{{&l.read.summary, group}, {&l.read.exceptions, exceptions}}
	writes := []query{
		{&l.reread.summary, group},
		{&l.reread.exceptions, exceptions},
		{&l.findProof, `SELECT proof FROM summary` + key},
		{&l.addProof, `INSERT INTO proof (body) VALUES (?)`},
		{&l.setProof, `INSERT OR REPLACE INTO proof (body, id) VALUES (?, ?)`},
		{&l.setSummary, `INSERT OR REPLACE INTO summary (pair, measurement, start, ` + columns + `) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`},
		{&l.addExc, `INSERT INTO exception (pair, measurement, start, n, class, body, sum) VALUES (?,?,?,?,?,?,?)`},
		{&l.dropExc, `DELETE FROM exception` + key},
		{&l.dropProof, `DELETE FROM proof WHERE id = ?`},
		{&l.dropSummary, `DELETE FROM summary` + key},
	}
	for _, q := range reads {
		var err error
		if *q.stmt, err = l.r.PrepareContext(ctx, q.text); err != nil {
			return err
		}
	}
	if l.w == nil {
		return nil
	}
	for _, q := range writes {
		var err error
		if *q.stmt, err = l.w.PrepareContext(ctx, q.text); err != nil {
			return err
		}
	}
	return nil
}

// write runs fn in one durable transaction.
func (l *Ledger) write(ctx context.Context, fn func(*sql.Tx) error) error {
	if l.w == nil {
		return ErrReadOnly
	}
	if err := l.failure(); err != nil {
		return err
	}
	tx, err := l.w.BeginTx(ctx, nil)
	if err == nil {
		if err = fn(tx); err == nil {
			err = tx.Commit()
		} else {
			tx.Rollback()
		}
	}
	if code(err) == sqlite3.SQLITE_IOERR && !passes(l.dir, err) {
		l.mu.Lock()
		l.failed = fmt.Errorf("%w: nothing is written after this: %w", ErrDisk, err)
		l.mu.Unlock()
	}
	return err
}

// view runs fn in one consistent view of the ledger.
func (l *Ledger) view(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := l.r.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	return fn(tx)
}

func (l *Ledger) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}
