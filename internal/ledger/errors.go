package ledger

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"influxmirror/internal/mirror"
)

var (
	// ErrNoLedger means that the directory holds no ledger yet.
	ErrNoLedger = errors.New("no ledger")
	// ErrNotFound means that a reader asked for a pair or mirror that the ledger does not know.
	ErrNotFound = errors.New("not in the ledger")
	// ErrReadOnly means that a ledger opened by OpenReader was asked to write.
	ErrReadOnly = errors.New("the ledger is open for reading only")
	// ErrReplaced means that a file of the open ledger, or its lock, is no longer the one on disk: stop at once.
	ErrReplaced = errors.New("deleted or replaced while in use")
	// ErrDamaged means that SQLite found the file damaged. The next Open keeps it aside and begins a new one.
	ErrDamaged = errors.New("the ledger is damaged")
	// ErrDisk means that the disk below the state directory failed: full, read-only, over quota or an I/O error.
	ErrDisk = errors.New("disk")
	// ErrFull is the part of ErrDisk that goes away when somebody makes room: it is ErrDisk and mirror.ErrFull.
	ErrFull = fmt.Errorf("%w %w", ErrDisk, mirror.ErrFull)
	// ErrInvalid means that Record was asked to store what is not a proof.
	ErrInvalid = errors.New("not a proof")
)

// SchemaError means that the file has another schema than this program. The file was not touched.
type SchemaError struct{ Have, Want int }

func (e *SchemaError) Error() string {
	if e.Have > e.Want {
		return fmt.Sprintf("the ledger has schema %d, made by a newer influxmirror; this one knows up to %d", e.Have, e.Want)
	}
	return fmt.Sprintf("the ledger has schema %d and is brought to %d when a sync next starts", e.Have, e.Want)
}

// code returns SQLite's primary result code, or -1 if err does not come from SQLite.
func code(err error) int {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return -1
}

// passes reports whether an I/O error of SQLite's is one of a full disk. After a failed fsync the kernel may forget what it could not write and
// report success the next time: that never passes.
func passes(dir string, err error) bool {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		switch e.Code() {
		case sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC:
			return false
		}
	}
	return noSpace(dir)
}

// misfit reports whether a column held a value of a type that no STRICT table keeps there: a page is where another belongs. Package sql has no type for that.
func misfit(err error) bool {
	return err != nil && strings.Contains(err.Error(), "sql: Scan error on column index ")
}

// asDamage turns what SQLite says of a file that is no sound ledger into ErrDamaged. Only for statements that are right
// for every sound ledger, so that SQLITE_ERROR (no such table, unsupported format) speaks of the file and not of them.
func asDamage(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT,
		sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if misfit(err) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if e := (*sqlite.Error)(nil); errors.As(err, &e) && e.Code() == sqlite3.SQLITE_READONLY_ROLLBACK {
		// Only a file that was never finished has a rollback journal.
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// damaged reports whether err says that the file is damaged, whatever was done.
func damaged(err error) bool {
	c := code(err)
	return errors.Is(err, ErrDamaged) || c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB || misfit(err)
}

// wrap says what was done and classifies what went wrong with dir's disk or file.
func wrap(dir, op string, err error) error {
	if err == nil {
		return nil
	}
	switch class := classify(dir, err); class {
	case nil:
	case ErrFull:
		return fmt.Errorf("no space in %s: %s: %w: %w", dir, op, class, err)
	default:
		return fmt.Errorf("%s: %s: %w: %w", dir, op, class, err)
	}
	return fmt.Errorf("%s: %s: %w", dir, op, err)
}

func classify(dir string, err error) error {
	if errors.Is(err, ErrDisk) || errors.Is(err, ErrDamaged) {
		return nil
	}
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		return ErrFull
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		// SQLite says FULL only for the database and its log; the shared index of the log fails as an I/O error.
		if passes(dir, err) {
			return ErrFull
		}
		return ErrDisk
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return ErrDamaged
	}
	if misfit(err) {
		return ErrDamaged
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return ErrFull
	}
	if errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS) {
		return ErrDisk
	}
	return nil
}
