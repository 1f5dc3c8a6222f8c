package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/klauspost/compress/zstd"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

const (
	// pileSize is how many bytes of lines a Writer holds in memory, and pileLines how many lines; the rest waits in tmp, sorted.
	pileSize  = 8 << 20
	pileLines = 200_000
	// maxRuns is how many sorted files a Writer keeps before it merges them into one.
	maxRuns = 12
)

// LineWriter is what Open returns: a Writer, named by what it does so that callers may declare the same.
type LineWriter = interface {
	Write(lines []byte) error
	Close() (mirror.Refusals, error)
	Abort()
}

// Writer collects lines of one Chunk; Close makes all of them visible and durable at once. It is not safe for concurrent use.
type Writer struct {
	b      *Bucket
	d      *disk
	ctx    context.Context
	chunk  mirror.Chunk
	grid   mirror.Grid
	hasher *hasher
	pile   pile
	runs   []string // sorted files in tmp, the oldest first
	groups map[int64]*span
	united []byte
	err    error
}

// span is where the lines of one shard group lie, and how many they are.
type span struct {
	mirror.Window
	samples uint64
	bytes   int64
}

// Open begins to write one Chunk. It takes the archive's lock, which Close of the Bucket gives back.
func (b *Bucket) Open(ctx context.Context, c mirror.Chunk) (LineWriter, error) {
	d, top, err := b.write(ctx)
	if err != nil {
		return nil, err
	}
	return &Writer{b: b, d: d, ctx: ctx, chunk: c, grid: mirror.NewGrid(top.ShardGroup), hasher: newHasher(c.Measurement), groups: map[int64]*span{}}, nil
}

func (w *Writer) op() string { return "write " + strconv.Quote(w.chunk.Measurement) }

// Write takes whole canonical lines of the Chunk. Of one field of one series at one time the last value counts, whether it is new or was there.
func (w *Writer) Write(lines []byte) error {
	if w.err == nil {
		w.err = w.write(lines)
	}
	return w.err
}

func (w *Writer) write(lines []byte) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	for len(lines) > 0 {
		p, rest, ok := lineproto.Cut(lines)
		if !ok {
			return w.b.fail(mirror.Rejected, w.op(), fmt.Errorf("not a canonical line: %q", lines[:min(len(lines), 300)]))
		}
		lines = rest
		if !w.chunk.Window.Contains(p.Time) || len(p.Line) > maxLine {
			return w.b.fail(mirror.Rejected, w.op(), fmt.Errorf("a line outside the window or too long: %q", p.Line[:min(len(p.Line), 300)]))
		}
		var fp mirror.Fingerprint
		sorted, err := w.hasher.add(&p, &fp)
		if err == nil && !sorted {
			if w.united, err = w.hasher.unite(w.united[:0], p.Line); err == nil {
				p, _, _ = lineproto.Cut(w.united)
			}
		}
		if err != nil {
			return w.b.fail(mirror.Rejected, w.op(), err)
		}
		w.note(&p, fp.Count)
		w.pile.add(&p)
		if len(w.pile.text) >= pileSize || len(w.pile.spots) >= pileLines {
			if err := w.spill(); err != nil {
				return w.b.disks(w.op(), err)
			}
		}
	}
	return nil
}

// note counts a line into its shard group.
func (w *Writer) note(p *lineproto.Parts, samples uint64) {
	start := w.grid.Group(p.Time).Start
	s := w.groups[start]
	if s == nil {
		s = &span{Window: mirror.Window{Start: p.Time, Stop: p.Time + 1}}
		w.groups[start] = s
	}
	s.Window = s.Window.Span(mirror.Window{Start: p.Time, Stop: p.Time + 1})
	s.samples += samples
	s.bytes += int64(len(p.Line))
}

// spill sorts what is in memory into a file in tmp.
func (w *Writer) spill() error {
	w.pile.sort()
	name, err := w.store(&pileCursor{p: &w.pile})
	if err != nil {
		return err
	}
	w.pile.reset()
	w.runs = append(w.runs, name)
	if len(w.runs) < maxRuns {
		return nil
	}
	from, err := w.open(w.runs)
	if err != nil {
		return err
	}
	if name, err = w.store(from...); err != nil {
		return err
	}
	w.forget()
	w.runs = []string{name}
	return nil
}

// store merges cursors, which it closes, into a new file in tmp.
func (w *Writer) store(from ...cursor) (name string, err error) {
	m := &mergeCursor{from: from, hasher: w.hasher}
	defer m.close()
	name = w.b.spill("run")
	p, err := newPacker(w.d, &w.b.packs, name, zstd.SpeedFastest)
	if err != nil {
		return "", err
	}
	for {
		ok, err := m.next()
		if err == nil && !ok {
			return name, p.finish(false)
		}
		if err == nil {
			err = p.add(m.line())
		}
		if err == nil {
			err = w.ctx.Err()
		}
		if err != nil {
			p.drop()
			return "", err
		}
	}
}

// open opens runs.
func (w *Writer) open(runs []string) (out []cursor, err error) {
	for _, name := range runs {
		f, err := w.d.open(name)
		if err == nil {
			var u *unpacker
			if u, err = unpack(f, nil); err == nil {
				out = append(out, u)
			}
		}
		if err != nil {
			for _, c := range out {
				c.close()
			}
			return nil, err
		}
	}
	return out, nil
}

// forget removes the runs.
func (w *Writer) forget() {
	for _, name := range w.runs {
		_ = w.d.remove(name) // the next writer empties tmp
	}
	w.runs = nil
}

// Abort gives everything up; nothing of it is left.
func (w *Writer) Abort() {
	w.forget()
	w.pile = pile{}
	if w.err == nil {
		w.err = errors.New("write after the end")
	}
}

// Close makes the lines visible and durable, all or, with an error, none; but after a failed fsync nobody knows. An archive refuses nothing.
func (w *Writer) Close() (mirror.Refusals, error) {
	defer w.Abort()
	none := mirror.Refusals{Lines: map[string]string{}, Fields: map[mirror.RefusedField]string{}, Grid: w.grid}
	if w.err == nil && len(w.groups) > 0 {
		w.err = w.commit()
	}
	if w.err != nil {
		return mirror.Refusals{}, w.err
	}
	return none, nil
}

// tagKeys returns the tag keys of the lines and those known before, sorted.
func (w *Writer) tagKeys(before []string) []string {
	for _, t := range before {
		w.hasher.tags[t] = true
	}
	return slices.Sorted(maps.Keys(w.hasher.tags))
}
