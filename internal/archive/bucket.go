package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"influxmirror/internal/mirror"
)

// Options say which directory.
type Options struct {
	Side mirror.Side
	Dir  string
	// Name is what a new archive calls its bucket; "" is the name of the directory.
	Name string
	// Step, if set, is told of every step on the disk before it is taken, and of those that change something once more when they are done: mkdir, create,
	// write, sync, rename (both names, a line feed between them), remove; open, read, list. An error makes the step fail, io.ErrShortWrite behind half of a write. It is for tests of what a disk does.
	Step func(op, name string, done bool) error
}

// Bucket is the bucket in a directory. It is safe for concurrent use. After Close it is of no use.
type Bucket struct {
	o     Options
	fault func(op, name string) error // see disk
	packs encoders

	mu        sync.Mutex // guards what follows; never held over slow work
	disk      *disk
	info      fs.FileInfo // of the directory that disk is
	lock      *flock.Flock
	lockInfo  fs.FileInfo
	dead      error // what makes all further work impossible
	top       *root
	topInfo   fs.FileInfo
	manifests map[string]known // by measurement
	entries   int              // in manifests
	seen      map[string]sight // by path of a file
	damages   int              // found by this handle
	steps     stepCache
	commits   map[string]*sync.Mutex // one commit of a measurement at a time
	spills    uint64                 // names of files in tmp
	stale     []string               // superseded, and not removed at once

	opening sync.Mutex // taken before mu: one goroutine becomes the writer
	rooting sync.Mutex // taken before mu: one change of the root document at a time
}

// known is a manifest as it was read.
type known struct {
	m    *manifest
	info fs.FileInfo
}

// maxEntries bounds how many files of manifests are kept in memory.
const maxEntries = 300_000

// New returns a Bucket; nothing is read before its first method is called.
func New(o Options) *Bucket {
	return &Bucket{o: o, manifests: map[string]known{}, seen: map[string]sight{}, commits: map[string]*sync.Mutex{}}
}

// URL returns the address as the config says it.
func (b *Bucket) URL() string { return "dir:" + b.o.Dir }

// fail wraps err for the caller. The end of the caller's context stays what it is.
func (b *Bucket) fail(kind mirror.Kind, op string, err error) error {
	if e := (*mirror.Error)(nil); errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &mirror.Error{Kind: kind, Side: b.o.Side, URL: b.URL(), Op: op, Err: err}
}

// disks fails with what the disk said. Behind a failed fsync nothing goes on.
func (b *Bucket) disks(op string, err error) error {
	if s := (*syncError)(nil); errors.As(err, &s) {
		return b.kill(op, fmt.Errorf("%w: what was written may not have reached the disk; check the disk and start again", err))
	}
	return b.failed(op, err)
}

// failed classifies what a disk said: no room passes, and most other things may.
func (b *Bucket) failed(op string, err error) error {
	switch {
	case full(err):
		return b.fail(mirror.Busy, op, err)
	case errors.Is(err, fs.ErrPermission):
		return b.fail(mirror.Rights, op, err)
	case errors.As(err, new(*lineError)):
		return b.fail(mirror.Rejected, op, err)
	}
	return b.fail(mirror.Unreachable, op, err)
}

// kill makes the handle refuse everything from now on: reads as well, because what they would find may not be on the disk.
func (b *Bucket) kill(op string, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead == nil {
		b.dead = b.fail(mirror.Blocked, op, err)
	}
	return b.dead
}

// Close gives up the lock. Writers still open fail. What a commit replaced and could not remove at once is gone then, or it is an error.
func (b *Bucket) Close() error {
	b.mu.Lock()
	d, lock, stale, dead := b.disk, b.lock, b.stale, b.dead
	b.disk, b.lock, b.stale = nil, nil, nil
	b.dead = b.fail(mirror.Blocked, "use", errors.New("the archive is closed"))
	b.mu.Unlock()
	var err error
	if d != nil {
		if dead == nil {
			for _, name := range stale {
				err = errors.Join(err, d.remove(name))
			}
		}
		d.root.Close()
	}
	if lock != nil {
		err = errors.Join(err, lock.Close()) // the file stays: to remove it would let two processes lock two files
	}
	if err != nil {
		return b.fail(mirror.Unreachable, "close", err)
	}
	return nil
}

// use returns the directory, opened anew if another one has taken its place.
func (b *Bucket) use() (*disk, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead != nil {
		return nil, b.dead
	}
	info, err := os.Stat(b.o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, b.fail(mirror.Missing, "open", errors.New("there is no such directory"))
	}
	if err != nil {
		return nil, b.failed("open", err)
	}
	if !info.IsDir() {
		return nil, b.fail(mirror.Blocked, "open", errors.New("it is not a directory"))
	}
	if b.disk != nil && os.SameFile(info, b.info) {
		return b.disk, nil
	}
	if b.lock != nil {
		b.dead = b.fail(mirror.Blocked, "open", errors.New("another directory has taken its place while it was written to"))
		return nil, b.dead
	}
	root, err := os.OpenRoot(b.o.Dir)
	if err != nil {
		return nil, b.failed("open", err)
	}
	if b.disk != nil {
		b.disk.root.Close()
	}
	b.disk, b.info, b.top = &disk{root, b.o.Dir, b.fault, b.o.Step}, info, nil
	clear(b.manifests)
	clear(b.seen)
	b.entries = 0
	return b.disk, nil
}

// root returns the root document.
func (b *Bucket) root() (*disk, *root, error) {
	d, err := b.use()
	if err != nil {
		return nil, nil, err
	}
	const op = "read " + rootName
	info, err := d.lstat(rootName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, b.absent(d)
	}
	if err != nil {
		return nil, nil, b.failed(op, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.top != nil && sameInfo(info, b.topInfo) {
		return d, b.top, nil
	}
	doc, err := d.read(rootName)
	if err != nil {
		return nil, nil, b.failed(op, err)
	}
	top, err := decodeRoot(doc)
	switch newer := newerError(0); {
	case errors.As(err, &newer):
		return nil, nil, b.fail(mirror.Blocked, op, err)
	case err != nil:
		return nil, nil, b.fail(mirror.Blocked, op, fmt.Errorf("%s is damaged: %w; put it back from a copy; %s/*/*.zst can be read without it", rootName, err, dataName))
	}
	b.top, b.topInfo = top, info
	return d, top, nil
}

// absent says whether a directory without a root document is empty, left by a creation that did not come to its end, or something else.
func (b *Bucket) absent(d *disk) error {
	list, err := d.list(".")
	if err != nil {
		return b.fail(mirror.Unreachable, "open", err)
	}
	for _, e := range list {
		switch e.Name() {
		case lockName, tmpName, readmeName, "lost+found":
			continue
		case dataName:
			if inside, err := d.list(dataName); err == nil && len(inside) == 0 {
				continue
			}
			return b.fail(mirror.Blocked, "open", fmt.Errorf("it has a directory %s and no %s: an archive that lost it; put it back from a copy; %s/*/*.zst can be read without it", dataName, rootName, dataName))
		}
		return b.fail(mirror.Blocked, "open", fmt.Errorf("it holds %q and is no archive; an archive needs a directory of its own", e.Name()))
	}
	return b.fail(mirror.Missing, "open", errors.New("the directory is empty"))
}

func sameInfo(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// write returns the directory for writing: with the lock, and with everything put right that a process left which was killed.
func (b *Bucket) write(ctx context.Context) (*disk, *root, error) {
	b.opening.Lock()
	defer b.opening.Unlock()
	d, top, err := b.root()
	if err != nil {
		return nil, nil, err
	}
	fresh, err := b.acquire(d)
	if err != nil || !fresh {
		return d, top, err
	}
	if err := b.recover(ctx, d); err != nil {
		b.release()
		return nil, nil, err
	}
	return b.root()
}

// acquire takes the lock; fresh is false if this handle has it already. The caller holds opening.
func (b *Bucket) acquire(d *disk) (fresh bool, err error) {
	b.mu.Lock()
	held, was := b.lock, b.lockInfo
	b.mu.Unlock()
	if held != nil {
		if now, err := d.lstat(lockName); err != nil || !os.SameFile(now, was) {
			return false, b.kill("lock", fmt.Errorf("%s was removed or replaced: another process may write to %s", lockName, b.o.Dir))
		}
		return false, nil
	}
	f := flock.New(filepath.Join(b.o.Dir, lockName), flock.SetFlag(os.O_CREATE|os.O_RDWR|noFollow), flock.SetPermissions(0o644))
	ok, err := f.TryLock()
	if err != nil {
		return false, b.disks("lock", err)
	}
	if !ok {
		f.Close()
		return false, b.fail(mirror.Blocked, "lock", fmt.Errorf("another process writes to %s; nothing is lost; let it do this work, or stop it and try again", b.o.Dir))
	}
	info, err := f.Stat()
	if err == nil {
		var now fs.FileInfo
		if now, err = d.lstat(lockName); err == nil && !os.SameFile(now, info) {
			err = errors.New("the lock was replaced")
		}
	}
	if err != nil {
		f.Close()
		return false, b.disks("lock", err)
	}
	b.mu.Lock()
	b.lock, b.lockInfo = f, info
	b.mu.Unlock()
	return true, nil
}

func (b *Bucket) release() {
	b.mu.Lock()
	lock := b.lock
	b.lock = nil
	b.mu.Unlock()
	if lock != nil {
		lock.Close()
	}
}

// damageOf describes a manifest that is missing or says what it must not.
type manifestError struct {
	file string
	err  error
}

func (e *manifestError) Error() string {
	return fmt.Sprintf("%s is damaged: %v; a mirror into this archive makes it anew from the files beside it", e.file, e.err)
}
func (e *manifestError) Unwrap() error { return e.err }

// manifest returns the manifest of a measurement that the root document lists. A *manifestError says that it is damaged or missing.
func (b *Bucket) manifest(d *disk, measurement string) (*manifest, error) {
	name := inData(dirName(measurement), manifestName)
	info, err := d.lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &manifestError{name, errors.New("it is missing")}
	}
	if err != nil {
		return nil, b.failed("read "+name, err)
	}
	b.mu.Lock()
	k := b.manifests[measurement]
	b.mu.Unlock()
	if k.m != nil && sameInfo(info, k.info) {
		return k.m, nil
	}
	doc, err := d.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &manifestError{name, errors.New("it is missing")}
	}
	if err != nil {
		return nil, b.failed("read "+name, err)
	}
	m, err := decodeManifest(doc, dirName(measurement))
	newer := newerError(0)
	if errors.As(err, &newer) {
		return nil, b.fail(mirror.Blocked, "read "+name, err)
	}
	if err == nil && m.measurement != measurement {
		err = fmt.Errorf("it belongs to measurement %q", m.measurement)
	}
	if err != nil {
		return nil, &manifestError{name, err}
	}
	b.learn(m, info)
	return m, nil
}

// learn keeps a manifest. info may be of an older one: then it is read again.
func (b *Bucket) learn(m *manifest, info fs.FileInfo) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.manifests[m.measurement].m; old != nil {
		b.entries -= len(old.files)
	}
	if b.entries += len(m.files); b.entries > maxEntries {
		clear(b.manifests)
		b.entries = len(m.files)
	}
	b.manifests[m.measurement] = known{m, info}
}

// Probe says what the archive is. The number of each shard group changes when any of its files does, by whatever hand.
func (b *Bucket) Probe(ctx context.Context) (mirror.Probe, error) {
	d, top, err := b.root()
	if err != nil {
		return mirror.Probe{}, err
	}
	id := "archive:" + top.ID
	p := mirror.Probe{Product: "archive", Version: fmt.Sprint(top.Version), Identity: id, Bucket: string(top.Bucket), BucketID: top.ID,
		ShardGroup: top.ShardGroup, Date: time.Now().UnixNano()}
	p.Counters.Shards, err = b.counters(ctx, d, top)
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Counters.Started = id; b.damages > 0 {
		// Something that was there is not: whoever goes by these numbers has to look everywhere once.
		p.Counters.Started = fmt.Sprintf("%s:%d", id, b.damages)
	}
	return p, err
}
