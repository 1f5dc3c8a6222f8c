package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Lock admits one writer to a state directory. It ends with the process, however that ends.
type Lock struct {
	dir  string
	f    *flock.Flock
	info os.FileInfo
}

// HeldError means that another process holds the lock. Its words come from the holder's note; where that could not be
// read, they are zero.
type HeldError struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"` // by the holder's clock, for people
}

func (e *HeldError) Error() string {
	if e.PID == 0 {
		return "already running"
	}
	return fmt.Sprintf("already running: pid %d on host %s since %s", e.PID, e.Host, e.Since.UTC().Format(time.RFC3339))
}

// Acquire takes the lock of the state directory, which it creates, without waiting. It returns a *HeldError if
// another process (or another Lock of this one) has it.
func Acquire(dir string) (*Lock, error) {
	if err := prepare(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, lockName)
	if _, err := size(path); err != nil {
		return nil, wrap(dir, "lock", err)
	}
	if err := makePrivate(path); err != nil {
		return nil, wrap(dir, "lock", err)
	}
	f := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|noFollow), flock.SetPermissions(0o600))
	ok, err := f.TryLock()
	if err != nil {
		return nil, wrap(dir, "lock", err)
	}
	if !ok {
		f.Close()
		return nil, holder(dir)
	}
	l := &Lock{dir: dir, f: f}
	if err := l.sign(); err != nil {
		l.Release()
		return nil, wrap(dir, "lock", err)
	}
	return l, nil
}

func holder(dir string) *HeldError {
	e := &HeldError{}
	path := filepath.Join(dir, holderName)
	if n, err := size(path); err == nil && n >= 0 && n < 4096 {
		if b, err := os.ReadFile(path); err == nil && json.Unmarshal(b, e) != nil {
			*e = HeldError{}
		}
	}
	return e
}

func (l *Lock) sign() (err error) {
	if l.info, err = l.f.Stat(); err != nil {
		return err
	}
	host, _ := os.Hostname()
	b, err := json.Marshal(HeldError{os.Getpid(), host, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return err
	}
	return writeFile(l.dir, holderName, append(b, '\n'))
}

// Check returns ErrReplaced if the lock's file is no longer the one on disk, so that another process could take it too.
func (l *Lock) Check() error { return same(filepath.Join(l.dir, lockName), l.info) }

// Release gives the lock back. The file stays: to remove it would let two processes lock two files.
func (l *Lock) Release() error {
	os.Remove(filepath.Join(l.dir, holderName))
	return wrap(l.dir, "unlock", l.f.Close())
}

// same returns ErrReplaced unless path is still the file that was is of.
func same(path string, was os.FileInfo) error {
	now, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(now, was) {
		return fmt.Errorf("%s: %w", path, ErrReplaced)
	}
	return wrap(filepath.Dir(path), "check", err)
}
