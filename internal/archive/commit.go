package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"influxmirror/internal/mirror"
)

// A file holds at most so many Samples and bytes of lines, unless they are of one instant.
const (
	maxSamples = 1 << 20
	maxBytes   = 64 << 20
)

// share is what one shard group of a commit comes to.
type share struct {
	window  mirror.Window // the group
	samples uint64        // at which a file is full
	taken   []int         // files of the manifest that are replaced, by index
}

// commit replaces the files that the Writer's lines touch. The steps, each durable before the next: new files in tmp; renamed into place, where
// they sort behind what they replace; the manifest, which is the commit; what was replaced is removed.
func (w *Writer) commit() error {
	b := w.b
	b.mu.Lock()
	turn := b.commits[w.chunk.Measurement]
	if turn == nil {
		turn = &sync.Mutex{}
		b.commits[w.chunk.Measurement] = turn
	}
	b.mu.Unlock()
	turn.Lock()
	defer turn.Unlock()
	d, top, err := b.write(w.ctx) // still ours
	if err != nil {
		return err
	}
	if d != w.d {
		return b.fail(mirror.Unknown, w.op(), errors.New("the directory was closed meanwhile"))
	}
	if !top.lists(w.chunk.Measurement) {
		if err := b.enlist(d, w.chunk.Measurement); err != nil {
			return b.disks(w.op(), err)
		}
	}
	old, err := b.manifest(d, w.chunk.Measurement)
	if me := (*manifestError)(nil); errors.As(err, &me) {
		old, err = b.rebuild(w.ctx, d, dirName(w.chunk.Measurement), w.chunk.Measurement)
	}
	if err != nil {
		return err
	}
	shares := w.choose(old.files)
	whole, lost, err := w.check(old, shares)
	if err != nil {
		return err
	}
	c := &change{w: w, shares: shares, generation: old.generation + 1}
	if err := w.merge(c, old.dir, whole); err != nil {
		c.drop()
		if isDamage(err) {
			return b.fail(mirror.Broken, w.op(), err)
		}
		return b.disks(w.op(), err)
	}
	before, _ := total(whole)
	after, _ := total(c.files)
	if before == after && len(lost) == 0 {
		c.drop() // nothing new
		return nil
	}
	return c.publish(old, lost)
}

// choose says which files of the manifest are replaced in each shard group: those that lie where the lines do, and neighbours that are small beside
// the result. So files of a group grow from its ends to its middle by factors of two, and each Sample is written again only so often.
func (w *Writer) choose(files []file) []share {
	var out []share
	for start, s := range w.groups {
		sh := share{window: w.grid.Group(start)}
		lo, _ := slices.BinarySearchFunc(files, s.Start, func(f file, t int64) int { return cmp.Compare(f.Last, t) })
		hi := lo
		samples, bytes := s.samples, s.bytes
		take := func(i int) {
			sh.taken = append(sh.taken, i)
			samples += files[i].Print.Count
			bytes += files[i].Bytes
		}
		for hi < len(files) && files[hi].First < s.Stop {
			take(hi)
			hi++
		}
		small := func(i int) bool {
			return i >= 0 && i < len(files) && sh.window.Contains(files[i].First) && files[i].Print.Count <= 2*samples &&
				files[i].Print.Count+samples <= maxSamples && files[i].Bytes+bytes <= maxBytes
		}
		for {
			if small(lo - 1) {
				lo--
				take(lo)
			} else if small(hi) {
				take(hi)
				hi++
			} else {
				break
			}
		}
		// Several files of one size, rather than full ones and a rest.
		parts := max((samples+maxSamples-1)/maxSamples, uint64(bytes/maxBytes)+1)
		sh.samples = (samples + parts - 1) / parts
		slices.Sort(sh.taken)
		out = append(out, sh)
	}
	slices.SortFunc(out, func(a, b share) int { return cmp.Compare(a.window.Start, b.window.Start) })
	return out
}

// check proves the files that are to be replaced. What is damaged and was told before is lost; what is found now ends the commit, so that the
// caller looks again at what is there.
func (w *Writer) check(m *manifest, shares []share) (whole, lost []file, err error) {
	for _, sh := range shares {
		for _, i := range sh.taken {
			f := m.files[i]
			told := w.b.told(m.dir, &f)
			h, err := prove(w.d, m.dir, &f)
			if err == nil {
				h.Close()
				w.b.note(w.d, m.dir, &f, nil)
				whole = append(whole, f)
				continue
			}
			if !isDamage(err) {
				return nil, nil, w.b.disks(w.op(), err)
			}
			w.b.note(w.d, m.dir, &f, err)
			if !told {
				return nil, nil, w.b.fail(mirror.Broken, w.op(), w.b.describe(m, &f, err))
			}
			lost = append(lost, f)
		}
		if err := w.ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
	return whole, lost, nil
}

// merge writes the union of the old files and the new lines into new files in tmp.
func (w *Writer) merge(c *change, dir string, whole []file) error {
	w.pile.sort()
	runs, err := w.open(w.runs)
	if err != nil {
		return err
	}
	from := append([]cursor{&chain{d: w.d, dir: dir, files: whole}}, runs...)
	m := &mergeCursor{from: append(from, &pileCursor{p: &w.pile}), hasher: w.hasher}
	defer m.close()
	for n := 0; ; n++ {
		ok, err := m.next()
		if err != nil {
			return err
		}
		if !ok {
			return c.finish()
		}
		if err := c.add(m); err != nil {
			return err
		}
		if n%1024 == 0 {
			if err := w.ctx.Err(); err != nil {
				return err
			}
		}
	}
}

// change are the new files of one commit.
type change struct {
	w          *Writer
	shares     []share // by time
	at         int
	generation uint64
	cur        *packer
	files      []file
	tmp        []string
}

func (c *change) add(m *mergeCursor) error {
	l := m.line()
	if p := c.cur; p != nil && p.file.Last != l.Time &&
		(!c.shares[c.at].window.Contains(l.Time) || p.file.Print.Count >= c.shares[c.at].samples || p.file.Bytes+int64(len(l.Line)) > maxBytes) {
		if err := c.finish(); err != nil {
			return err
		}
	}
	for !c.shares[c.at].window.Contains(l.Time) {
		if c.at++; c.at == len(c.shares) {
			return fmt.Errorf("a line at %d outside its shard groups", l.Time)
		}
	}
	if c.cur == nil {
		var err error
		if c.cur, err = newPacker(c.w.d, &c.w.b.packs, c.w.b.spill("file"), zstd.SpeedDefault); err != nil {
			return err
		}
	}
	if _, err := c.w.hasher.add(l, &c.cur.file.Print); err != nil {
		return err
	}
	return c.cur.add(l)
}

func (c *change) finish() error {
	p := c.cur
	if p == nil {
		return nil
	}
	c.cur = nil
	if err := p.finish(true); err != nil {
		return err
	}
	p.file.Generation = c.generation
	c.files = append(c.files, p.file)
	c.tmp = append(c.tmp, p.o.name)
	return nil
}

// drop removes the new files.
func (c *change) drop() {
	if c.cur != nil {
		c.cur.drop()
	}
	for _, name := range c.tmp {
		_ = c.w.d.remove(name) // the next writer empties tmp
	}
}

// publish makes the change the content of the archive.
func (c *change) publish(old *manifest, lost []file) error {
	b, d := c.w.b, c.w.d
	next := &manifest{measurement: old.measurement, dir: old.dir, generation: c.generation, tags: c.w.tagKeys(old.tags)}
	var gone []file
	taken := map[int]bool{}
	for _, sh := range c.shares {
		for _, i := range sh.taken {
			taken[i] = true
		}
	}
	for i, f := range old.files {
		if taken[i] {
			gone = append(gone, f)
		} else {
			next.files = append(next.files, f)
		}
	}
	next.files = append(next.files, c.files...)
	slices.SortFunc(next.files, func(a, b file) int { return cmp.Compare(a.First, b.First) })
	before := int64(math.MinInt64)
	for _, f := range next.files {
		if f.First <= before {
			c.drop()
			return b.fail(mirror.Blocked, c.w.op(), fmt.Errorf("two files of one time in %s: %s", old.dir, f.name()))
		}
		before = f.Last
	}
	doc, err := next.encode()
	if err != nil {
		c.drop()
		return err
	}
	for i, name := range c.tmp {
		to := inData(old.dir, c.files[i].name())
		if err = d.rename(name, to); err != nil {
			break
		}
		c.tmp[i] = to
	}
	dir := inData(old.dir, "")
	if err == nil {
		err = d.sync(dir)
	}
	if err == nil {
		err = d.put(b.spill("manifest"), inData(old.dir, manifestName), doc)
	}
	if err != nil {
		c.drop()
		return b.disks(c.w.op(), err)
	}
	// The manifest is the new one, and nobody knows for how long if this fails: nothing may be removed then.
	if err := d.sync(dir); err != nil {
		return b.disks(c.w.op(), err)
	}
	if info, err := d.lstat(inData(old.dir, manifestName)); err == nil {
		b.learn(next, info)
	}
	b.settle(d, old.dir, gone, lost)
	return nil
}

// settle takes what a commit replaced out of the directory: what was damaged is set aside, the rest removed. What cannot be now is when the
// Bucket is closed, or by the next writer.
func (b *Bucket) settle(d *disk, dir string, gone, lost []file) {
	for _, f := range gone {
		name := inData(dir, f.name())
		var err error
		if slices.Contains(lost, f) {
			err = d.aside(name)
		} else {
			err = d.remove(name)
		}
		b.mu.Lock()
		if err != nil && !slices.Contains(lost, f) {
			b.stale = append(b.stale, name)
		}
		delete(b.seen, name)
		b.mu.Unlock()
	}
}

// aside gives a damaged file a name of its own that no glob of live files matches.
func (d *disk) aside(name string) error {
	to := name + damagedSuffix
	for i := 2; ; i++ {
		if _, err := d.lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = fmt.Sprintf("%s.%d%s", name, i, damagedSuffix)
	}
	if err := d.rename(name, to); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
