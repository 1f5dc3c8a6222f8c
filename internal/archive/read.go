package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"influxmirror/internal/mirror"
)

// openFiles is how many files a read holds open at once: all of a Chunk, so that a commit beside it takes nothing away.
const openFiles = 200

// errReplaced: a commit took away what was to be read.
var errReplaced = errors.New("the archive changed while it was read")

// Read reads all Samples of the Chunk, which may span any number of shard groups, and returns the Fingerprint of each Cell, computed from what is in the
// files now. Canonical lines go to sink as they come, at most 256 kB at a time but for longer lines: they are not proven before Read has
// returned. The slice is reused after the call. A nil sink reads for the Fingerprints only. A damaged file is an error where the archive is the source; of a
// target its Samples are absent.
func (b *Bucket) Read(ctx context.Context, c mirror.Chunk, sink func(lines []byte) error) (mirror.Reading, error) {
	op := "read " + strconv.Quote(c.Measurement) + " " + c.Window.String()
	for try := 1; ; try++ {
		r := &reading{b: b, ctx: ctx, chunk: c, sink: sink, op: op, hasher: newHasher(c.Measurement),
			out: mirror.Reading{Cells: make([]mirror.Fingerprint, c.Cells()), Date: time.Now().UnixNano()}}
		err := r.run()
		switch {
		case err == nil:
			return r.out, nil
		case errors.Is(err, errReplaced) && !r.handed && try < 10:
			continue
		case errors.Is(err, errReplaced):
			err = b.fail(mirror.Broken, op, err)
		}
		return mirror.Reading{}, err
	}
}

// reading is one read in progress.
type reading struct {
	b      *Bucket
	ctx    context.Context
	chunk  mirror.Chunk
	sink   func([]byte) error
	op     string
	hasher *hasher
	lines  []byte
	handed bool
	out    mirror.Reading
}

func (r *reading) run() error {
	d, m, err := r.b.find(r.chunk.Measurement, r.op)
	if err != nil || m == nil {
		return err
	}
	files := m.overlapping(r.chunk.Window)
	for len(files) > 0 {
		n := min(len(files), openFiles)
		if err := r.some(d, m, files[:n]); err != nil {
			return err
		}
		files = files[n:]
	}
	return r.flush(0)
}

// some reads files that are all opened first.
func (r *reading) some(d *disk, m *manifest, files []file) error {
	open := make([]*os.File, len(files))
	defer func() {
		for _, f := range open {
			if f != nil {
				f.Close()
			}
		}
	}()
	for i := range files {
		var err error
		if open[i], err = d.open(inData(m.dir, files[i].name())); err == nil {
			continue
		}
		if errors.Is(err, fs.ErrNotExist) && r.b.replaced(d, m) {
			return errReplaced
		}
		if err := r.bad(d, m, &files[i], err); err != nil {
			return err
		}
	}
	for i := range files {
		if open[i] == nil {
			continue
		}
		err := proveOpen(open[i], &files[i])
		if err == nil {
			r.b.note(d, m.dir, &files[i], nil)
			h := open[i]
			open[i] = nil // closed by the unpacker
			err = r.one(h, &files[i])
			if isDamage(err) { // altered between the proof and the read: something of it may have been handed on
				r.b.note(d, m.dir, &files[i], err)
				return r.b.fail(mirror.Broken, r.op, r.b.describe(m, &files[i], err))
			}
			if err != nil {
				return err
			}
			continue
		}
		if err := r.bad(d, m, &files[i], err); err != nil {
			return err
		}
	}
	return nil
}

// bad decides what a file that could not be read means.
func (r *reading) bad(d *disk, m *manifest, f *file, err error) error {
	if !isDamage(err) {
		return r.b.disks(r.op, err)
	}
	r.b.note(d, m.dir, f, err)
	if r.b.o.Side == mirror.TargetSide {
		return nil
	}
	return r.b.fail(mirror.Rejected, r.op, r.b.describe(m, f, err))
}

// one reads the lines of one file.
func (r *reading) one(h *os.File, f *file) error {
	u, err := unpack(h, f)
	if err != nil {
		return err
	}
	defer u.close()
	for n := 0; ; n++ {
		if n%4096 == 0 {
			if err := r.ctx.Err(); err != nil {
				return err
			}
		}
		ok, err := u.next()
		if err != nil || !ok {
			return err
		}
		l := u.line()
		if l.Time < r.chunk.Window.Start {
			continue
		}
		if l.Time >= r.chunk.Window.Stop {
			return nil
		}
		if _, err := r.hasher.add(l, &r.out.Cells[r.chunk.Index(l.Time)]); err != nil {
			return &alteredError{err.Error()}
		}
		r.out.Points++
		if r.sink == nil {
			continue
		}
		if len(r.lines)+len(l.Line) > batchSize {
			if err := r.flush(0); err != nil {
				return err
			}
		}
		r.lines = append(r.lines, l.Line...)
	}
}

func (r *reading) flush(at int) error {
	if len(r.lines) <= at || r.sink == nil {
		return nil
	}
	r.handed = true
	err := r.sink(r.lines)
	r.lines = r.lines[:0]
	return err
}

// find returns the manifest of a measurement, nil if there is none; to a target, also if it is damaged.
func (b *Bucket) find(measurement, op string) (*disk, *manifest, error) {
	d, top, err := b.root()
	if err != nil {
		return nil, nil, err
	}
	if !top.lists(measurement) {
		return d, nil, nil
	}
	m, err := b.manifest(d, measurement)
	if me := (*manifestError)(nil); errors.As(err, &me) {
		b.noteManifest(me)
		if b.o.Side == mirror.TargetSide {
			return d, nil, nil
		}
		return d, nil, b.fail(mirror.Rejected, op, fmt.Errorf("%q: %w", measurement, err))
	}
	return d, m, err
}
