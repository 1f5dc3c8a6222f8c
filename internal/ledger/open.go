package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// What each connection does first. SQLite runs busy_timeout before the others.
const (
	pragmas = "_pragma=busy_timeout(10000)&_pragma=cell_size_check(1)&_pragma=trusted_schema(0)&_pragma=temp_store(2)"

	// Full, because a proof that was reported must be there after a power cut. The log is brought home every 1 MiB, which
	// costs no more than SQLite's 4 and fits a small disk, and cut back to 4 MiB after something large.
	writerPragmas = "mode=rw&_txlock=immediate&" + pragmas +
		"&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=cache_size(-4096)&_pragma=journal_size_limit(4194304)&_pragma=wal_autocheckpoint(256)"

	readerPragmas = "mode=ro&" + pragmas + "&_pragma=cache_size(-1024)"
	// More than one caller needs at a time: a loop over Exceptions holds one while its body may ask for more.
	readers = 4
)

// Open opens the ledger of a state directory for writing, or begins one. The caller holds the directory's Lock.
// A damaged ledger is kept aside and a new one begun, which Rebuilt tells; every other error is returned and changes
// nothing: *SchemaError for a ledger of a newer program, ErrDisk, no rights.
func Open(dir string) (*Ledger, error) { return open(dir, steps()) }

func open(dir string, steps []string) (*Ledger, error) {
	if err := prepare(dir); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	l, err := begin(dir, steps)
	var kept string
	if err != nil && damaged(err) {
		if kept, err = keepAside(dir); err == nil {
			l, err = begin(dir, steps)
		}
	}
	if err != nil {
		return nil, wrap(dir, "open the ledger", err)
	}
	l.Rebuilt = kept
	if l.Stale, err = l.bump(context.Background()); err == nil {
		err = l.remember()
	}
	if err != nil {
		l.close()
		return nil, wrap(dir, "open the ledger", err)
	}
	return l, nil
}

// begin checks the file, then opens and migrates it. For damage it returns what damaged recognizes.
func begin(dir string, steps []string) (*Ledger, error) {
	ctx := context.Background()
	if err := checkFiles(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, dbName)
	if err := makePrivate(path); err != nil {
		return nil, err
	}
	if err := finishBegun(ctx, dir); err != nil {
		return nil, asDamage(err)
	}
	// A connection for reading leaves the file alone when it closes, whatever was found.
	r, err := connect(path, readerPragmas, readers)
	if err != nil {
		return nil, err
	}
	have, err := inspect(ctx, r, steps)
	if err == nil && have > 0 {
		err = quickCheck(ctx, r)
	}
	if err != nil {
		r.Close()
		return nil, asDamage(err)
	}
	// A reader of a file that was not yet in WAL mode would keep its mode from changing.
	r.Close()
	w, err := connect(path, writerPragmas, 1)
	if err != nil {
		return nil, err
	}
	l := &Ledger{dir: dir, w: w}
	if err = l.checkMode(ctx); err == nil {
		err = l.migrate(ctx, steps, have)
	}
	if err == nil {
		l.r, err = connect(path, readerPragmas, readers)
	}
	if err == nil {
		err = l.prepare(ctx)
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// finishBegun lets SQLite roll back a ledger whose very first transaction did not come to its end. Only that one has a rollback journal; a journal
// beside a ledger that was open before is not its own.
func finishBegun(ctx context.Context, dir string) error {
	path := filepath.Join(dir, dbName)
	journal, err := size(path + "-journal")
	if err != nil || journal <= 0 {
		return err
	}
	if generation, err := size(filepath.Join(dir, generationName)); err != nil || generation >= 0 {
		return err
	}
	w, err := connect(path, "mode=rw&"+pragmas, 1)
	if err != nil {
		return err
	}
	defer w.Close()
	var n int
	return w.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&n)
}

// checkMode makes sure that SQLite really took the settings that durability rests on.
func (l *Ledger) checkMode(ctx context.Context) error {
	var mode string
	var sync int
	if err := l.w.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if err := l.w.QueryRowContext(ctx, `PRAGMA synchronous`).Scan(&sync); err != nil {
		return err
	}
	if mode != "wal" || sync != 2 {
		return fmt.Errorf("this file system cannot keep a ledger: journal mode %s, synchronous %d", mode, sync)
	}
	return nil
}

// checkFiles looks at the files before SQLite does, which would read some kinds of damage as an empty or a read-only
// database.
func checkFiles(dir string) error {
	path := filepath.Join(dir, dbName)
	var sizes [len(sqliteFiles)]int64
	for i, suffix := range sqliteFiles {
		n, err := size(path + suffix)
		if err != nil {
			return err
		}
		sizes[i] = n
	}
	db, wal := sizes[0], sizes[1]
	generation, err := size(filepath.Join(dir, generationName))
	switch {
	case err != nil:
		return err
	case db <= 0 && wal > 0:
		return fmt.Errorf("%w: a log without its database", ErrDamaged)
	case db == 0 && generation > 0:
		return fmt.Errorf("%w: it is empty", ErrDamaged)
	case db <= 0:
		return nil
	}
	// SQLite holds POSIX locks, which closing any descriptor of the file would drop: this comes before it opens the file.
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var head [100]byte
	if _, err := io.ReadFull(f, head[:]); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %d bytes", ErrDamaged, db)
	} else if err != nil {
		return err
	}
	// Format versions for writing and reading (sqlite.org/fileformat.html 1.3.3): a flipped bit makes it read-only.
	if string(head[:16]) != "SQLite format 3\x00" || head[18] < 1 || head[18] > 2 || head[19] < 1 || head[19] > 2 {
		return fmt.Errorf("%w: not a database", ErrDamaged)
	}
	return nil
}

// keepAside renames what is there to ledger.bad-<UTC time> and returns that name.
func keepAside(dir string) (string, error) {
	name, err := freeName(dir, "ledger.bad-"+time.Now().UTC().Format("20060102T150405Z"))
	if err != nil {
		return "", err
	}
	// The database goes last: after a crash in between it is still there, and still damaged without its log or sound.
	for i := len(sqliteFiles) - 1; i >= 0; i-- {
		from := filepath.Join(dir, dbName+sqliteFiles[i])
		if err := os.Rename(from, filepath.Join(dir, name+sqliteFiles[i])); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return name, syncDir(dir)
}

// freeName returns base, or base-2, base-3, … if that is taken.
func freeName(dir, base string) (string, error) {
	for i, name := 2, base; ; i, name = i+1, fmt.Sprintf("%s-%d", base, i) {
		used := false
		for _, suffix := range sqliteFiles {
			_, err := os.Lstat(filepath.Join(dir, name+suffix))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", err
			}
			used = used || err == nil
		}
		if !used {
			return name, nil
		}
	}
}

// OpenReader opens the ledger for reading, without the Lock and beside a process that writes. It returns ErrNoLedger
// if there is none yet, *SchemaError if its schema is another, ErrDamaged if it cannot be read.
func OpenReader(dir string) (*Ledger, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, dbName)
	for _, suffix := range sqliteFiles {
		n, err := size(path + suffix)
		if err != nil {
			return nil, wrap(dir, "open the ledger", err)
		}
		if suffix == "" && n <= 0 {
			return nil, fmt.Errorf("%s: %w", dir, ErrNoLedger)
		}
	}
	r, err := connect(path, readerPragmas, readers)
	if err != nil {
		return nil, wrap(dir, "open the ledger", err)
	}
	l := &Ledger{dir: dir, r: r}
	all := steps()
	have, err := inspect(context.Background(), r, all)
	switch {
	case err != nil:
		err = asDamage(err)
	case have == 0:
		err = ErrNoLedger
	case have < len(all):
		err = &SchemaError{Have: have, Want: len(all)}
	default:
		err = l.prepare(context.Background())
	}
	if err != nil {
		l.close()
		return nil, wrap(dir, "open the ledger", err)
	}
	return l, nil
}

func connect(path, query string, conns int) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: path, RawQuery: query}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}
