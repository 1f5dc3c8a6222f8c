package sim

import (
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite reaches its files through a table of functions, one for all of a process. Ours is in front of its own one and lets everything through that is not
// below a directory that is watched.
var vfs struct {
	once sync.Once
	base uintptr // SQLite's own

	mu      sync.Mutex // guards what is below
	disks   map[string]*disk
	files   map[uintptr]*openFile // by SQLite's handle
	methods map[uintptr]uintptr   // its own table of a file → ours
}

type openFile struct {
	d         *disk
	n         *inode
	name      string
	own       *sqlite3.Tsqlite3_io_methods
	directory bool // the first sync is one of the directory too (os_unix.c, UNIXFILE_DIRSYNC)
}

// watch begins to count and to remember what SQLite does in a directory.
func watch(dir string) *disk {
	vfs.once.Do(register)
	d := &disk{dir: dir}
	d.reset()
	vfs.mu.Lock()
	defer vfs.mu.Unlock()
	vfs.disks[dir] = d
	return d
}

// leave lets everything through again.
func (d *disk) leave() {
	vfs.mu.Lock()
	defer vfs.mu.Unlock()
	delete(vfs.disks, d.dir)
}

// memory makes an address of SQLite's into a pointer.
func memory[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// pointer makes a function into one that SQLite can call; function does the opposite.
func pointer[F any](f F) uintptr { return *(*uintptr)(unsafe.Pointer(&f)) }

func function[F any](p uintptr) F { return *(*F)(unsafe.Pointer(&p)) }

type (
	openFunc   = func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32
	deleteFunc = func(*libc.TLS, uintptr, uintptr, int32) int32
	closeFunc  = func(*libc.TLS, uintptr) int32
	moveFunc   = func(*libc.TLS, uintptr, uintptr, int32, int64) int32 // read and write
	sizeFunc   = func(*libc.TLS, uintptr, int64) int32                 // truncate
	syncFunc   = func(*libc.TLS, uintptr, int32) int32
	mapFunc    = func(*libc.TLS, uintptr, int32, int32, int32, uintptr) int32
)

func register() {
	tls := libc.NewTLS()
	defer tls.Close()
	vfs.base = sqlite3.Xsqlite3_vfs_find(tls, 0)
	vfs.disks, vfs.files, vfs.methods = map[string]*disk{}, map[uintptr]*openFile{}, map[uintptr]uintptr{}
	p := libc.Xcalloc(tls, 1, types.Size_t(unsafe.Sizeof(sqlite3.Tsqlite3_vfs{})))
	v := memory[sqlite3.Tsqlite3_vfs](p)
	*v = *memory[sqlite3.Tsqlite3_vfs](vfs.base)
	v.FpNext = 0
	v.FzName, _ = libc.CString("sim")
	v.FxOpen, v.FxDelete = pointer[openFunc](vfsOpen), pointer[deleteFunc](vfsDelete)
	sqlite3.Xsqlite3_vfs_register(tls, p, 1)
}

func diskOf(path uintptr) (*disk, string) {
	if path == 0 {
		return nil, "" // a temporary file
	}
	dir, name := filepath.Split(libc.GoString(path))
	vfs.mu.Lock()
	defer vfs.mu.Unlock()
	return vfs.disks[filepath.Clean(dir)], name
}

func vfsOpen(tls *libc.TLS, _, path, file uintptr, flags int32, out uintptr) int32 {
	own := function[openFunc](memory[sqlite3.Tsqlite3_vfs](vfs.base).FxOpen)
	d, name := diskOf(path)
	if d == nil {
		return own(tls, vfs.base, path, file, flags, out)
	}
	bad := d.call("open", name)
	if bad != "" && bad != lostAnswer {
		memory[sqlite3.Tsqlite3_file](file).FpMethods = 0
		return sqlite3.SQLITE_CANTOPEN
	}
	_, err := os.Stat(filepath.Join(d.dir, name))
	if rc := own(tls, vfs.base, path, file, flags, out); rc != sqlite3.SQLITE_OK {
		return rc
	}
	f := &openFile{d: d, n: d.file(name, err != nil), name: name,
		directory: flags&sqlite3.SQLITE_OPEN_CREATE != 0 && flags&(sqlite3.SQLITE_OPEN_WAL|sqlite3.SQLITE_OPEN_MAIN_JOURNAL) != 0}
	h := memory[sqlite3.Tsqlite3_file](file)
	f.own = memory[sqlite3.Tsqlite3_io_methods](h.FpMethods)
	if bad == lostAnswer { // it is there, and nobody has it
		rc := function[closeFunc](f.own.FxClose)(tls, file)
		h.FpMethods = 0
		return max(rc, sqlite3.SQLITE_CANTOPEN)
	}
	vfs.mu.Lock()
	defer vfs.mu.Unlock()
	ours := vfs.methods[h.FpMethods]
	if ours == 0 {
		ours = libc.Xcalloc(tls, 1, types.Size_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
		m := memory[sqlite3.Tsqlite3_io_methods](ours)
		*m = *f.own
		m.FxClose, m.FxRead, m.FxWrite = pointer[closeFunc](vfsClose), pointer[moveFunc](vfsRead), pointer[moveFunc](vfsWrite)
		m.FxTruncate, m.FxSync, m.FxShmMap = pointer[sizeFunc](vfsTruncate), pointer[syncFunc](vfsSync), pointer[mapFunc](vfsMap)
		vfs.methods[h.FpMethods] = ours
	}
	vfs.files[file] = f
	h.FpMethods = ours
	return sqlite3.SQLITE_OK
}

func fileOf(file uintptr) *openFile {
	vfs.mu.Lock()
	defer vfs.mu.Unlock()
	return vfs.files[file]
}

func vfsDelete(tls *libc.TLS, _, path uintptr, directory int32) int32 {
	own := function[deleteFunc](memory[sqlite3.Tsqlite3_vfs](vfs.base).FxDelete)
	d, name := diskOf(path)
	if d == nil {
		return own(tls, vfs.base, path, directory)
	}
	bad := d.call("delete", name)
	if bad != "" && bad != lostAnswer {
		return sqlite3.SQLITE_IOERR_DELETE
	}
	rc := own(tls, vfs.base, path, 0)
	if rc == sqlite3.SQLITE_OK {
		if d.removed(name); directory != 0 {
			d.sync(nil, true)
		}
	}
	if bad == lostAnswer {
		return sqlite3.SQLITE_IOERR_DELETE
	}
	return rc
}

func vfsClose(tls *libc.TLS, file uintptr) int32 {
	f := fileOf(file)
	vfs.mu.Lock()
	delete(vfs.files, file)
	vfs.mu.Unlock()
	return function[closeFunc](f.own.FxClose)(tls, file) // what close says is nothing that SQLite listens to
}

func vfsRead(tls *libc.TLS, file, buf uintptr, n int32, at int64) int32 {
	f := fileOf(file)
	if f.d.call("read", f.name) != "" {
		return sqlite3.SQLITE_IOERR_READ
	}
	return function[moveFunc](f.own.FxRead)(tls, file, buf, n, at)
}

func vfsWrite(tls *libc.TLS, file, buf uintptr, n int32, at int64) int32 {
	f := fileOf(file)
	bad := f.d.call("write", f.name)
	switch bad {
	case failed:
		return sqlite3.SQLITE_IOERR_WRITE
	case noRoom:
		return sqlite3.SQLITE_FULL
	case short:
		n /= 2
	}
	rc := function[moveFunc](f.own.FxWrite)(tls, file, buf, n, at)
	if rc == sqlite3.SQLITE_OK {
		f.d.edited(f.n, edit{at, append([]byte{}, unsafe.Slice(memory[byte](buf), n)...)})
	}
	if bad != "" {
		return sqlite3.SQLITE_IOERR_WRITE
	}
	return rc
}

func vfsTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	f := fileOf(file)
	bad := f.d.call("truncate", f.name)
	if bad != "" && bad != lostAnswer {
		return sqlite3.SQLITE_IOERR_TRUNCATE
	}
	rc := function[sizeFunc](f.own.FxTruncate)(tls, file, size)
	if rc == sqlite3.SQLITE_OK {
		f.d.edited(f.n, edit{size, nil})
	}
	if bad == lostAnswer {
		return sqlite3.SQLITE_IOERR_TRUNCATE
	}
	return rc
}

// vfsSync does not wait for the real disk: only ours is ever cut off.
func vfsSync(_ *libc.TLS, file uintptr, _ int32) int32 {
	f := fileOf(file)
	bad := f.d.call("sync", f.name)
	if bad != "" && bad != lostAnswer {
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	f.d.sync(f.n, f.directory)
	f.directory = false
	if bad == lostAnswer {
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	return sqlite3.SQLITE_OK
}

func vfsMap(tls *libc.TLS, file uintptr, page, size, extend int32, out uintptr) int32 {
	f := fileOf(file)
	if extend != 0 && f.d.call("map", f.name) != "" {
		return sqlite3.SQLITE_IOERR_SHMSIZE
	}
	return function[mapFunc](f.own.FxShmMap)(tls, file, page, size, extend, out)
}
