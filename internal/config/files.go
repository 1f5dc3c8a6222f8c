package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

const (
	maxConfig = 1 << 20
	maxSecret = 64 << 10
	othersMay = 0o006 // read and write
)

// files reads files and remembers what each said, so that a change can be noticed.
type files struct {
	env  func(string) (string, bool)
	seen map[string]reading
}

// reading is what a file said, and how much of it was asked for at most.
type reading struct {
	sum   [sha256.Size]byte
	limit int64
}

func newFiles(env func(string) (string, bool)) *files {
	return &files{env, map[string]reading{}}
}

// read returns a regular file of at most limit bytes.
func (f *files) read(path string, limit int64) ([]byte, fs.FileMode, error) {
	data, mode, err := readRegular(path, limit)
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%v %o\n", err, mode.Perm()&othersMay)
	_, _ = h.Write(data)
	f.seen[path] = reading{[sha256.Size]byte(h.Sum(nil)), limit}
	return data, mode, err
}

// changed reports whether a file that was read says something else now.
func (f *files) changed() bool {
	now := newFiles(f.env)
	for path, was := range f.seen {
		_, _, _ = now.read(path, was.limit)
		if now.seen[path] != was {
			return true
		}
	}
	return false
}

func readRegular(path string, limit int64) ([]byte, fs.FileMode, error) {
	// A named pipe would wait for a writer at open.
	if info, err := os.Stat(path); err != nil {
		return nil, 0, reason(err)
	} else if !info.Mode().IsRegular() {
		return nil, 0, errors.New("not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, reason(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, 0, reason(err)
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, 0, reason(err)
	}
	if int64(len(data)) > limit {
		return nil, 0, fmt.Errorf("larger than %d KiB", limit>>10)
	}
	return data, info.Mode(), nil
}

// reason takes the path out of err, which the message names already.
func reason(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// public reports whether others than the owner and the group can read or change a file. Where the service manager
// or the container puts secrets, they see to that themselves.
func (f *files) public(path string, mode fs.FileMode) bool {
	if runtime.GOOS == "windows" || mode.Perm()&othersMay == 0 {
		return false
	}
	exempt := []string{"/run/secrets"}
	if dir, _ := f.env("CREDENTIALS_DIRECTORY"); dir != "" {
		exempt = append(exempt, filepath.Clean(dir))
	}
	paths := []string{path}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		paths = append(paths, real)
	}
	for _, p := range paths {
		for _, dir := range exempt {
			if rel, err := filepath.Rel(dir, p); err == nil && filepath.IsLocal(rel) {
				return false
			}
		}
	}
	return true
}

// secretPaths lists where a secret file may be, in the order of preference.
func (f *files) secretPaths(path, dir string) []string {
	if filepath.IsAbs(path) {
		return []string{filepath.Clean(path)}
	}
	beside := filepath.Join(dir, path)
	if c, _ := f.env("CREDENTIALS_DIRECTORY"); c != "" && filepath.IsLocal(path) {
		return []string{filepath.Join(c, path), beside}
	}
	return []string{beside}
}

// secret reads the file of a secret and returns the path that decided. Errors hold neither path nor content.
func (f *files) secret(file, dir string, kind secretKind) (value Secret, path string, err error) {
	for _, path = range f.secretPaths(file, dir) {
		data, mode, err := f.read(path, maxSecret)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && f.public(path, mode) {
			err = publicError(mode.Perm())
		}
		text := kind.trim(string(data))
		if err == nil {
			err = kind.check(text)
		}
		if err != nil {
			return Secret{}, path, err
		}
		return NewSecret(text), path, nil
	}
	return Secret{}, path, fs.ErrNotExist
}

// checkSecret refuses what cannot stand in a header.
func checkSecret(s string) error {
	if s == "" {
		return errors.New("it is empty")
	}
	for _, r := range s {
		switch {
		case r == '\n' || r == '\r':
			return errors.New("it holds more than one line")
		case r <= ' ' || r > '~':
			return errors.New("it holds a space or a character that no token has")
		}
	}
	return nil
}

// publicError is the mode of a file with a secret that others can read or change.
type publicError fs.FileMode

func (e publicError) Error() string {
	what := "readable"
	if e&0o004 == 0 {
		what = "writable"
	}
	return fmt.Sprintf("it holds a secret and is %s by everyone (mode %04o)", what, uint32(e))
}
