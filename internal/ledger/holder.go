package ledger

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/gofrs/flock"
)

// Holder returns who holds the lock of the state directory, nil if nobody does. It creates nothing. It shares the lock for a
// moment, so that an Acquire at the same time can find it taken.
func Holder(dir string) (*HeldError, error) {
	path := filepath.Join(dir, lockName)
	n, err := size(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && n < 0 {
		return nil, nil
	}
	if err != nil {
		return nil, wrap(dir, "ask for the lock", err)
	}
	f := flock.New(path, flock.SetFlag(noFollow))
	defer f.Close()
	ok, err := f.TryRLock()
	if err != nil {
		return nil, wrap(dir, "ask for the lock", err)
	}
	if ok {
		return nil, nil
	}
	return holder(dir), nil
}
