package sim

import (
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// shelfDisk is the disk below an archive as one process uses it: it lets steps go wrong, and knows what a power cut would leave.
type shelfDisk struct {
	dir string

	mu    sync.Mutex // guards what is below
	calls int        // that fail was asked about
	dead  bool
	fail  func(n int, op, name string) ill // nil: nothing goes wrong
	ids   int
	names map[string]int            // as a process sees the directory
	safe  map[string]map[string]int // as it is on the disk, by directory
	files map[int][]byte            // what is on the disk of a file
}

func newShelfDisk(dir string) (*shelfDisk, error) {
	d := &shelfDisk{dir: dir}
	return d, d.reset()
}

// reset takes what lies in the directory for durable: a machine that is up again.
func (d *shelfDisk) reset() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead, d.fail, d.calls = false, nil, 0
	d.names, d.safe, d.files = map[string]int{}, map[string]map[string]int{}, map[int][]byte{}
	return filepath.WalkDir(d.dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(d.dir, name)
		d.ids++
		d.names[rel], d.files[d.ids] = d.ids, b
		d.entries(path.Dir(rel))[path.Base(rel)] = d.ids
		return err
	})
}

func (d *shelfDisk) entries(dir string) map[string]int {
	if d.safe[dir] == nil {
		d.safe[dir] = map[string]int{}
	}
	return d.safe[dir]
}

func (d *shelfDisk) lets(fail func(n int, op, name string) ill) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail, d.calls = fail, 0
}

var errShelf = fmt.Errorf("failed on purpose: %w", syscall.EIO)

// step is archive.Options.Step.
func (d *shelfDisk) step(op, name string, done bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if op != "rename" {
		name = path.Clean(name)
	}
	if done {
		d.follow(op, name)
		if d.dead || d.fail != nil && d.fail(-d.calls, op, name) == lostAnswer {
			return errShelf
		}
		return nil
	}
	if d.dead {
		return errShelf
	}
	if d.fail == nil {
		return nil
	}
	d.calls++
	switch d.fail(d.calls, op, name) {
	case failed:
		return errShelf
	case noRoom:
		return fmt.Errorf("failed on purpose: %w", syscall.ENOSPC)
	case short:
		return io.ErrShortWrite
	}
	return nil
}

// follow does to the names what was done to the directory. The caller holds mu.
func (d *shelfDisk) follow(op, name string) {
	switch op {
	case "create":
		d.ids++
		d.names[name] = d.ids
	case "remove":
		delete(d.names, name)
	case "rename":
		from, to, _ := strings.Cut(name, "\n")
		d.names[to] = d.names[from]
		delete(d.names, from)
	case "sync":
		if id, ok := d.names[name]; ok {
			d.files[id], _ = os.ReadFile(filepath.Join(d.dir, name))
			return
		}
		clear(d.entries(name))
		for n, id := range d.names {
			if path.Dir(n) == name {
				d.entries(name)[path.Base(n)] = id
			}
		}
	}
}

// cut is what may be there when the power comes back: of what was renamed, made or removed and not synced, as much as chance leaves; of what was
// written and not synced, a part. The caller holds mu.
func (d *shelfDisk) cut(rnd *rand.Rand) map[string][]byte {
	all := map[string]bool{}
	for n := range d.names {
		all[n] = true
	}
	for dir, list := range d.safe {
		for n := range list {
			all[path.Join(dir, n)] = true
		}
	}
	var order []string
	for n := range all {
		order = append(order, n)
	}
	slices.Sort(order)
	out := map[string][]byte{}
	for _, n := range order {
		id, now := d.entries(path.Dir(n))[path.Base(n)], d.names[n]
		if id != now && rnd.IntN(2) == 0 {
			id = now
		}
		if id == 0 {
			continue
		}
		b, synced := d.files[id]
		if !synced {
			b, _ = os.ReadFile(filepath.Join(d.dir, n))
			b = b[:rnd.IntN(len(b)+1)]
		}
		out[n] = b
	}
	return out
}

// put makes the directory hold these files and no others.
func (d *shelfDisk) put(files map[string][]byte) error {
	err := filepath.WalkDir(d.dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Remove(name)
	})
	for name, b := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join(d.dir, name), b, 0o644)
		}
	}
	if err != nil {
		return err
	}
	return d.reset()
}
