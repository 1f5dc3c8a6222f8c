package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The names in the state directory.
const (
	dbName         = "ledger.db"
	generationName = "generation"
	lockName       = "lock"
	holderName     = "lock.json"
)

// sqliteFiles are what SQLite keeps beside the database.
var sqliteFiles = [...]string{"", "-wal", "-shm", "-journal"}

// prepare makes sure that dir exists, is ours, is writable and is closed to everybody else.
func prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return wrap(dir, "create the state directory", err)
	}
	// Not Lstat: a state directory that its owner moved and linked is fine, what lies inside it is not.
	info, err := os.Stat(dir)
	if err != nil {
		return wrap(dir, "look at the state directory", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: the state directory is not a directory", dir)
	}
	if err := checkPlace(dir, info); err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return wrap(dir, "close the state directory to others", err)
		}
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return wrap(dir, "write in the state directory", err)
	}
	f.Close()
	return wrap(dir, "write in the state directory", os.Remove(f.Name()))
}

// size returns the length of a regular file, −1 if there is none, and refuses anything else, symbolic links above all, and a file that has
// another name too: it may be somebody else's, and what is written here would be written there.
func size(path string) (int64, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return -1, nil
	case err != nil:
		return 0, err
	case !info.Mode().IsRegular():
		return 0, fmt.Errorf("%s is not a regular file (%s)", path, info.Mode().Type())
	case names(info) > 1:
		return 0, fmt.Errorf("%s is a hard link, and whatever shares it would be changed with it; copy it to a file of its own, and put that in its place", path)
	}
	return info.Size(), nil
}

// makePrivate creates an empty file if there is none and takes it away from others if there is one.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR|noFollow, 0o600)
	if errors.Is(err, fs.ErrExist) {
		info, err := os.Lstat(path)
		if err != nil || info.Mode().Perm()&0o077 == 0 {
			return err
		}
		return os.Chmod(path, 0o600)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// writeFile replaces dir/name by data so that after a crash there is either the old or the new file, never a part.
func writeFile(dir, name string, data []byte) error {
	tmp := filepath.Join(dir, name+".new")
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY|noFollow, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(dir, name))
	}
	if err != nil {
		os.Remove(tmp)
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
