package archive

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// disk is the directory of an archive. Paths are relative to it; none leads out of it, not through symbolic links either.
type disk struct {
	root *os.Root
	dir  string // the same, for what only looks
	// fault is asked before each step that changes the disk, by the tests of what happens when it fails. nil: nothing does.
	fault func(op, name string) error
	step  func(op, name string, done bool) error // Options.Step
}

// syncError: what was written may never reach the disk, and no later call would tell.
type syncError struct{ err error }

func (e *syncError) Error() string { return e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

func (d *disk) before(op, name string) error {
	if d.fault != nil {
		if err := d.fault(op, name); err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	return d.told(op, name, false)
}

// after is for steps that were done: err is what came of it.
func (d *disk) after(op, name string, err error) error {
	if err != nil {
		return err
	}
	return d.told(op, name, true)
}

func (d *disk) told(op, name string, done bool) error {
	if d.step == nil {
		return nil
	}
	if err := d.step(op, name, done); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	return nil
}

// open opens a regular file for reading.
func (d *disk) open(name string) (*os.File, error) {
	info, err := d.lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &alteredError{"it is not a regular file"}
	}
	if err := d.told("open", name, false); err != nil {
		return nil, err
	}
	return d.root.Open(name)
}

func (d *disk) lstat(name string) (fs.FileInfo, error) { return d.root.Lstat(name) }

// read reads a document.
func (d *disk) read(name string) ([]byte, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := d.told("read", name, false); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxDocument))
	if err == nil && len(b) == maxDocument {
		err = fmt.Errorf("%s is larger than a document can be", name)
	}
	return b, err
}

// list returns the entries of a directory, none if it does not exist.
func (d *disk) list(name string) ([]fs.DirEntry, error) {
	if err := d.told("list", name, false); err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// mkdir makes a directory unless it is there. What is there and no directory, a symbolic link for one, is an error.
func (d *disk) mkdir(name string) error {
	info, err := d.lstat(name)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is not a directory", name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := d.before("mkdir", name); err != nil {
		return err
	}
	return d.after("mkdir", name, d.root.Mkdir(name, 0o755))
}

func (d *disk) rename(from, to string) error {
	if d.fault != nil {
		if err := d.fault("rename", to); err != nil {
			return &fs.PathError{Op: "rename", Path: to, Err: err}
		}
	}
	both := from + "\n" + to
	if err := d.told("rename", both, false); err != nil {
		return err
	}
	return d.after("rename", both, d.root.Rename(from, to))
}

func (d *disk) remove(name string) error {
	if err := d.before("remove", name); err != nil {
		return err
	}
	err := d.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return d.after("remove", name, err)
}

// sync makes the entries of a directory durable.
func (d *disk) sync(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return &syncError{err}
	}
	defer f.Close()
	if err := d.before("sync", dir); err != nil {
		return &syncError{err}
	}
	if err := d.after("sync", dir, f.Sync()); err != nil {
		return &syncError{err}
	}
	return nil
}

// out is a new file being written.
type out struct {
	d    *disk
	f    *os.File
	name string
}

func (d *disk) create(name string) (*out, error) {
	if err := d.before("create", name); err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	if err := d.after("create", name, nil); err != nil {
		f.Close()
		return nil, err
	}
	return &out{d, f, name}, nil
}

func (o *out) Write(b []byte) (int, error) {
	if err := o.d.before("write", o.name); errors.Is(err, io.ErrShortWrite) {
		n, _ := o.f.Write(b[:len(b)/2])
		return n, err
	} else if err != nil {
		return 0, err
	}
	n, err := o.f.Write(b)
	return n, o.d.after("write", o.name, err)
}

// keep makes the content durable and closes the file.
func (o *out) keep() error {
	err := o.d.before("sync", o.name)
	if err == nil {
		err = o.d.after("sync", o.name, o.f.Sync())
	}
	if err != nil {
		o.f.Close()
		return &syncError{err}
	}
	return o.f.Close()
}

// drop closes and removes the file.
func (o *out) drop() {
	o.f.Close()
	_ = o.d.remove(o.name) // the next writer removes what is left in tmp
}

// put replaces a document: written beside, made durable, renamed. The caller makes the directory durable.
func (d *disk) put(tmp, name string, doc []byte) error {
	o, err := d.create(tmp)
	if err != nil {
		return err
	}
	if _, err := o.Write(doc); err != nil {
		o.drop()
		return err
	}
	if err := o.keep(); err != nil {
		_ = d.remove(tmp)
		return err
	}
	if err := d.rename(tmp, name); err != nil {
		_ = d.remove(tmp)
		return err
	}
	return nil
}

func inData(dir, name string) string { return path.Join(dataName, dir, name) }

// full reports whether err says that there is no room.
func full(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
