package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"influxmirror/internal/mirror"
)

// recover puts right what a process left that was killed: tmp is emptied; files that no manifest names, of a commit that did not come to its
// end or replaced by one that did, are removed; a manifest that is damaged is made anew from its files; a measurement that the root document does not
// list yet is listed.
func (b *Bucket) recover(ctx context.Context, d *disk) error {
	const op = "look after the archive"
	for _, dir := range []string{tmpName, dataName} {
		if err := d.mkdir(dir); err != nil {
			return b.disks(op, err)
		}
	}
	if err := b.sweepTmp(d); err != nil {
		return b.disks(op, err)
	}
	_, top, err := b.root()
	if err != nil {
		return err
	}
	dirs := map[string]string{} // → measurement, of those that are listed
	for _, name := range top.names {
		dirs[dirName(name)] = name
	}
	list, err := d.list(dataName)
	if err != nil {
		return b.disks(op, err)
	}
	for _, e := range list {
		if _, ok := dirs[e.Name()]; !ok && e.IsDir() {
			dirs[e.Name()] = ""
		}
	}
	var found []string
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := dirs[dir]
		m, err := b.mend(ctx, d, dir, name)
		if err != nil {
			return err
		}
		if m != nil && name == "" && len(m.files) > 0 {
			found = append(found, m.measurement)
		}
	}
	if len(found) > 0 {
		if err := b.enlist(d, found...); err != nil {
			return b.disks(op, err)
		}
	}
	return nil
}

// mend looks after one directory. measurement is "" if the root document does not list it. It returns nil for a directory that holds nothing of ours.
func (b *Bucket) mend(ctx context.Context, d *disk, dir, measurement string) (*manifest, error) {
	op := "look after " + inData(dir, "")
	entries, err := d.list(inData(dir, ""))
	if err != nil {
		return nil, b.disks(op, err)
	}
	live := map[string]bool{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), liveSuffix) {
			live[e.Name()] = true
		}
	}
	doc, err := d.read(inData(dir, manifestName))
	var m *manifest
	if err == nil {
		if m, err = decodeManifest(doc, dir); err != nil {
			if newer := newerError(0); errors.As(err, &newer) {
				return nil, b.fail(mirror.Blocked, op, err)
			}
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, b.failed(op, err)
	}
	if m == nil {
		if len(live) == 0 && measurement == "" {
			return nil, nil
		}
		return b.rebuild(ctx, d, dir, measurement)
	}
	missing := false
	for i := range m.files {
		name := m.files[i].name()
		missing = missing || !live[name]
		delete(live, name)
	}
	for name := range live {
		// While a file is missing, what is too many may be what is left of it; and what we did not name is not ours to remove.
		_, ours := generationOf(name)
		if name = inData(dir, name); missing || !ours {
			err = d.aside(name)
		} else {
			err = d.remove(name)
		}
		if err != nil {
			return nil, b.disks(op, err)
		}
	}
	return m, nil
}

// rebuild makes a manifest from the files beside it. Where two are of the same time the newer counts; the others, and what cannot be read,
// are set aside.
func (b *Bucket) rebuild(ctx context.Context, d *disk, dir, measurement string) (*manifest, error) {
	op := "make " + inData(dir, manifestName) + " anew"
	if measurement == "" {
		measurement, _ = measurementOf(dir)
	}
	if err := d.mkdir(inData(dir, "")); err != nil {
		return nil, b.disks(op, err)
	}
	entries, err := d.list(inData(dir, ""))
	if err != nil {
		return nil, b.disks(op, err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), liveSuffix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	slices.Reverse(names) // the newest first
	m := &manifest{dir: dir, generation: 1}
	hasher := newHasher(measurement)
	var aside []string
	for _, name := range names {
		f, err := scan(ctx, d, dir, name, hasher)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		overlaps := slices.ContainsFunc(m.files, func(g file) bool { return g.window().Overlaps(f.window()) })
		if err != nil || overlaps || f.name() != name {
			aside = append(aside, name)
			continue
		}
		m.files = append(m.files, f)
		m.generation = max(m.generation, f.Generation)
	}
	if m.measurement = hasher.measurement; m.measurement == "" {
		return nil, nil // the name was shortened, and no file tells it
	}
	slices.SortFunc(m.files, func(a, b file) int { return cmp.Compare(a.First, b.First) })
	for t := range hasher.tags {
		m.tags = append(m.tags, t)
	}
	slices.Sort(m.tags)
	for _, name := range aside {
		if err := d.aside(inData(dir, name)); err != nil {
			return nil, b.disks(op, err)
		}
	}
	doc, err := m.encode()
	if err != nil {
		return nil, err
	}
	if err := d.aside(inData(dir, manifestName)); err != nil {
		return nil, b.disks(op, err)
	}
	if err := d.put(b.spill("manifest"), inData(dir, manifestName), doc); err != nil {
		return nil, b.disks(op, err)
	}
	if err := errors.Join(d.sync(inData(dir, "")), d.sync(dataName)); err != nil {
		return nil, b.disks(op, err)
	}
	b.mu.Lock()
	b.damages++ // whoever goes by the counters looks everywhere once
	delete(b.seen, inData(dir, manifestName))
	b.mu.Unlock()
	return m, nil
}

// scan reads a file that no manifest names and says what a manifest would. A hasher without a measurement takes the file's.
func scan(ctx context.Context, d *disk, dir, name string, h *hasher) (f file, err error) {
	generation, ok := generationOf(name)
	if !ok {
		return f, fmt.Errorf("%s: not a name of a file of an archive", name)
	}
	in, err := d.open(inData(dir, name))
	if err != nil {
		return f, err
	}
	f.Generation = generation
	sum := sha256.New()
	if f.Size, err = io.Copy(sum, in); err == nil {
		_, err = in.Seek(0, io.SeekStart)
	}
	sum.Sum(f.SHA256[:0])
	if err != nil {
		in.Close()
		return f, err
	}
	return f, scanLines(ctx, in, dir, h, &f)
}

// scanLines makes sure that the lines are in order and of one measurement, and counts them into f.
func scanLines(ctx context.Context, in *os.File, dir string, h *hasher, f *file) error {
	u, err := unpack(in, nil)
	if err != nil {
		return err
	}
	defer u.close()
	var before pile
	for {
		ok, err := u.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		l := u.line()
		if h.measurement == "" {
			if err := h.adopt(l, dir); err != nil {
				return err
			}
		}
		if c := (&pileCursor{p: &before}); f.Lines > 0 {
			if _, err := c.next(); err != nil || order(c.line(), l) >= 0 {
				return errNoLine
			}
		} else {
			f.First = l.Time
		}
		before.reset()
		before.add(l)
		if sorted, err := h.add(l, &f.Print); err != nil || !sorted {
			return errNoLine
		}
		f.Last = l.Time
		f.Lines++
		f.Bytes += int64(len(l.Line))
		if f.Lines%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if f.Lines == 0 {
		return errNoLine
	}
	return nil
}
