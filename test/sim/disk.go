package sim

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// sector is what a disk writes at once.
const sector = 512

// disk is what lies below the ledger of one state directory: it counts what SQLite asks of it, lets some of that fail, and knows what of the files
// would be there after a power cut. What the ledger writes beside the database is synced before anything goes on.
type disk struct {
	dir string

	mu    sync.Mutex        // guards what is below
	calls int               // that fail was asked about
	names map[string]*inode // as a process sees the directory
	safe  map[string]*inode // as it is on the disk
	// fail, if set, is asked what happens to each call. It is called with mu held.
	fail func(n int, op, name string) ill
	dead bool // nothing works any more
}

// inode is a file, under whatever name.
type inode struct {
	synced  []byte
	pending []edit // not synced yet
}

// edit is a write, or a truncation if data is nil.
type edit struct {
	at   int64
	data []byte
}

func (e edit) apply(to []byte) []byte {
	if e.data == nil {
		return append(to[:min(int64(len(to)), e.at)], make([]byte, max(0, e.at-int64(len(to))))...)
	}
	if n := e.at + int64(len(e.data)) - int64(len(to)); n > 0 {
		to = append(to, make([]byte, n)...)
	}
	copy(to[e.at:], e.data)
	return to
}

// torn is what a power cut leaves of a write: some of its sectors.
func (e edit) torn(rnd *rand.Rand) (parts []edit) {
	for at := e.at; at < e.at+int64(len(e.data)); {
		end := min(e.at+int64(len(e.data)), (at/sector+1)*sector)
		if rnd.IntN(2) == 0 {
			parts = append(parts, edit{at, e.data[at-e.at : end-e.at]})
		}
		at = end
	}
	return parts
}

// call counts a call and says what happens to it.
func (d *disk) call(op, name string) ill {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return failed
	}
	if d.fail == nil {
		return ""
	}
	d.calls++
	return d.fail(d.calls, op, filepath.Base(name))
}

// lets says what is asked about each call from now on, nil to let all go well. Calls are counted while it is set.
func (d *disk) lets(fail func(n int, op, name string) ill) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fail
}

// file returns the inode of a name, which is new if fresh.
func (d *disk) file(name string, fresh bool) *inode {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		n := &inode{}
		if !fresh {
			n.synced, _ = os.ReadFile(filepath.Join(d.dir, name))
			d.safe[name] = n
		}
		d.names[name] = n
	}
	return d.names[name]
}

func (d *disk) edited(n *inode, e edit) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n.pending = append(n.pending, e)
}

// sync makes a file durable, and the directory with it if that was asked for.
func (d *disk) sync(n *inode, directory bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n != nil {
		for _, e := range n.pending {
			n.synced = e.apply(n.synced)
		}
		n.pending = nil
	}
	if directory {
		clear(d.safe)
		for name, n := range d.names {
			d.safe[name] = n
		}
	}
}

func (d *disk) removed(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.names, name)
}

// reset forgets everything: the files were replaced by hand.
func (d *disk) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead, d.fail = false, nil
	d.names, d.safe = map[string]*inode{}, map[string]*inode{}
}

// killed is what a process leaves that is killed now: all that it wrote. The caller holds mu.
func (d *disk) killed() map[string][]byte {
	out := map[string][]byte{}
	for name, n := range d.names {
		b := slices.Clone(n.synced)
		for _, e := range n.pending {
			b = e.apply(b)
		}
		out[name] = b
	}
	return out
}

// cut is what the disk may hold if its power is lost now: of each change that was not synced, of a file or of the directory, all, nothing, or some
// sectors, whatever became of those before it. The caller holds mu.
func (d *disk) cut(rnd *rand.Rand) map[string][]byte {
	out := map[string][]byte{}
	for _, suffix := range []string{"", "-journal", "-wal"} {
		name := "ledger.db" + suffix
		n := d.safe[name]
		if now := d.names[name]; now != n && rnd.IntN(2) == 0 {
			n = now
		}
		if n == nil {
			continue
		}
		b := slices.Clone(n.synced)
		for _, e := range n.pending {
			switch rnd.IntN(3) {
			case 0:
				b = e.apply(b)
			case 1:
				for _, part := range e.torn(rnd) {
					b = part.apply(b)
				}
			}
		}
		out[name] = b
	}
	return out
}

// put makes the directory hold files of a ledger and no others.
func (d *disk) put(files map[string][]byte) error {
	all, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, e := range all {
		if strings.HasPrefix(e.Name(), "ledger.db") {
			if err := os.Remove(filepath.Join(d.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(d.dir, name), b, 0o600); err != nil {
			return err
		}
	}
	d.reset()
	return nil
}
