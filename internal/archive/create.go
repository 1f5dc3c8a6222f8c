package archive

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"influxmirror/internal/mirror"
)

// CreateBucket makes the archive: the directory may exist if it is empty. A shard group of 0 is seven days; the retention is not kept, an
// archive holds what it has for ever.
func (b *Bucket) CreateBucket(ctx context.Context, _, shardGroup time.Duration) error {
	const op = "create"
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := makeDir(b.o.Dir); err != nil {
		return b.disks(op, err)
	}
	b.opening.Lock()
	defer b.opening.Unlock()
	_, _, err := b.root()
	if err == nil {
		return b.fail(mirror.Blocked, op, errors.New("there is an archive already"))
	}
	if mirror.KindOf(err) != mirror.Missing {
		return err
	}
	d, err := b.use()
	if err != nil {
		return err
	}
	if _, err := b.acquire(d); err != nil {
		return err
	}
	if err := b.create(d, mirror.NewGrid(int64(shardGroup)).Duration()); err != nil {
		b.release()
		return b.disks(op, err)
	}
	return nil
}

// makeDir makes a directory with its parents, durably.
func makeDir(dir string) error {
	switch _, err := os.Stat(dir); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(filepath.Clean(dir))
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return &syncError{err}
	}
	return nil
}

// create writes the root document last: until it is there, the directory is an empty one.
func (b *Bucket) create(d *disk, group int64) error {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	name := b.o.Name
	if name == "" {
		dir, err := filepath.Abs(b.o.Dir)
		if err != nil {
			return err
		}
		name = filepath.Base(dir)
	}
	r := root{Format: layoutFormat, Version: layoutVersion, ID: hex.EncodeToString(id), Bucket: text(name), ShardGroup: group,
		Created: time.Now().UTC().Format(time.RFC3339), Measurements: []text{}}
	doc, err := r.encode()
	if err != nil {
		return err
	}
	for _, dir := range []string{tmpName, dataName} {
		if err := d.mkdir(dir); err != nil {
			return err
		}
	}
	if err := b.sweepTmp(d); err != nil {
		return err
	}
	if err := d.put(b.spill("readme"), readmeName, fmt.Appendf(nil, readme, name, r.ID, time.Duration(group))); err != nil {
		return err
	}
	if err := d.put(b.spill("root"), rootName, doc); err != nil {
		return err
	}
	return d.sync(".")
}

const readme = `This directory is an archive of one InfluxDB bucket, %q, kept by influxmirror.
Archive %s, layout version 1, shard groups of %v.

data/MEASUREMENT/*.lp.zst   the samples: line protocol with times in nanoseconds, packed with zstd
data/MEASUREMENT/manifest.json   which files there must be, with counts and SHA-256
archive.json   which measurements there must be

To put everything back into an empty bucket, nothing but zstd and the influx client is needed:

    zstdcat data/*/*.zst | influx write --bucket BUCKET --precision ns

The first line of a .json file holds the SHA-256 of its other lines: tail -n +2 manifest.json | sha256sum
A file that ends in .damaged was found altered and is no longer part of the archive. .lock and tmp/ are for the program that writes.
`

// enlist adds measurements to the root document, each with an empty manifest unless it has one.
func (b *Bucket) enlist(d *disk, names ...string) error {
	b.rooting.Lock()
	defer b.rooting.Unlock()
	_, top, err := b.root()
	if err != nil {
		return err
	}
	next := *top
	next.Measurements = slices.Clone(top.Measurements)
	for _, name := range names {
		if top.lists(name) {
			continue
		}
		next.Measurements = append(next.Measurements, text(name))
		dir := inData(dirName(name), "")
		if _, err := d.lstat(inData(dirName(name), manifestName)); err == nil {
			continue
		}
		if err := d.mkdir(dir); err != nil {
			return err
		}
		doc, err := (&manifest{measurement: name}).encode()
		if err != nil {
			return err
		}
		if err := d.put(b.spill("manifest"), inData(dirName(name), manifestName), doc); err != nil {
			return err
		}
		if err := d.sync(dir); err != nil {
			return err
		}
		if err := d.sync(dataName); err != nil {
			return err
		}
	}
	if len(next.Measurements) == len(top.Measurements) {
		return nil
	}
	slices.Sort(next.Measurements)
	doc, err := next.encode()
	if err != nil {
		return err
	}
	if err := d.put(b.spill("root"), rootName, doc); err != nil {
		return err
	}
	return d.sync(".")
}

// spill returns a new name in tmp.
func (b *Bucket) spill(what string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spills++
	return fmt.Sprintf("%s/%s-%d", tmpName, what, b.spills)
}

// sweepTmp removes what a process left that was killed.
func (b *Bucket) sweepTmp(d *disk) error {
	list, err := d.list(tmpName)
	if err != nil {
		return err
	}
	for _, e := range list {
		if err := d.remove(tmpName + "/" + e.Name()); err != nil {
			return err
		}
	}
	return nil
}
