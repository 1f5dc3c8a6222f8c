package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	"github.com/klauspost/compress/zstd"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// windowSize is how far back zstd looks, which is what a reader has to hold in memory.
const windowSize = 1 << 20

// packer writes lines into a new zstd file in tmp and learns what the manifest says of it.
type packer struct {
	o    *out
	z    *zstd.Encoder
	from *sync.Pool // that z goes back to
	sum  hash.Hash
	buf  []byte
	file file
}

// encoders are those of one Bucket that nobody uses now: their tables are large beside the files of the tail.
type encoders struct{ free [2]sync.Pool }

func (e *encoders) get(level zstd.EncoderLevel, w io.Writer) (*zstd.Encoder, error) {
	if z, ok := e.pool(level).Get().(*zstd.Encoder); ok {
		z.Reset(w)
		return z, nil
	}
	return zstd.NewWriter(w, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(windowSize), zstd.WithLowerEncoderMem(true))
}

func (e *encoders) pool(level zstd.EncoderLevel) *sync.Pool {
	if level == zstd.SpeedFastest {
		return &e.free[0]
	}
	return &e.free[1]
}

func newPacker(d *disk, e *encoders, name string, level zstd.EncoderLevel) (*packer, error) {
	o, err := d.create(name)
	if err != nil {
		return nil, err
	}
	p := &packer{o: o, sum: sha256.New(), from: e.pool(level)}
	if p.z, err = e.get(level, p); err != nil {
		o.drop()
		return nil, err
	}
	return p, nil
}

// Write takes what zstd packed.
func (p *packer) Write(b []byte) (int, error) {
	n, err := p.o.Write(b)
	p.sum.Write(b[:n])
	p.file.Size += int64(n)
	return n, err
}

// lineError: a point grew beyond what readers can be asked to hold in memory.
type lineError struct{ size int }

func (e *lineError) Error() string {
	return fmt.Sprintf("one point of %d bytes; a line of an archive holds %d", e.size, maxLine)
}

// add takes a line; its Samples are counted by the caller.
func (p *packer) add(l *lineproto.Parts) error {
	if len(l.Line) > maxLine {
		return &lineError{len(l.Line)}
	}
	if p.file.Lines == 0 {
		p.file.First = l.Time
	}
	p.file.Last = l.Time
	p.file.Lines++
	p.file.Bytes += int64(len(l.Line))
	p.buf = append(p.buf, l.Line...)
	if len(p.buf) < batchSize {
		return nil
	}
	return p.flush()
}

func (p *packer) flush() error {
	_, err := p.z.Write(p.buf)
	p.buf = p.buf[:0]
	return err
}

// finish packs the rest. Without durable it may be lost with the power: for what is read back in this process.
func (p *packer) finish(durable bool) error {
	err := p.flush()
	if closed := p.z.Close(); err == nil {
		err = closed
	}
	p.from.Put(p.z)
	if err != nil {
		p.o.drop()
		return err
	}
	p.sum.Sum(p.file.SHA256[:0])
	if !durable {
		return p.o.f.Close()
	}
	if err = p.o.keep(); err != nil {
		_ = p.o.d.remove(p.o.name)
	}
	return err
}

// drop gives the file up.
func (p *packer) drop() {
	_ = p.z.Close()
	p.o.drop()
}

// unpacker reads the lines of a zstd file.
type unpacker struct {
	lineReader
	f   *os.File
	z   *zstd.Decoder
	sum hash.Hash // of what was read; nil: not asked for
	// want is what the manifest says; nil for a file of no manifest.
	want  *file
	lines uint64
	bytes int64
}

// errAltered: a file is not the one the manifest names.
var errAltered = errors.New("its SHA-256 is not that of the manifest")

// prove opens a file of the manifest and reads it once, so that nothing of an altered file is handed on.
func prove(d *disk, dir string, f *file) (*os.File, error) {
	h, err := d.open(inData(dir, f.name()))
	if err != nil {
		return nil, err
	}
	if err := proveOpen(h, f); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func proveOpen(h *os.File, f *file) error {
	sum := sha256.New()
	n, err := io.Copy(sum, h)
	if errors.Is(err, syscall.EIO) {
		return &alteredError{"it cannot be read: " + syscall.EIO.Error()}
	}
	if err != nil {
		return err
	}
	var got digest
	sum.Sum(got[:0])
	switch {
	case n != f.Size:
		return &alteredError{fmt.Sprintf("it has %d bytes, the manifest says %d", n, f.Size)}
	case got != f.SHA256:
		return &alteredError{errAltered.Error()}
	}
	_, err = h.Seek(0, io.SeekStart)
	return err
}

// alteredError says in what a file differs from what the manifest says.
type alteredError struct{ why string }

func (e *alteredError) Error() string { return e.why }

// isDamage reports whether err says that a file is missing or altered, and not that the disk or the caller failed.
func isDamage(err error) bool {
	a := (*alteredError)(nil)
	return errors.As(err, &a) || errors.Is(err, fs.ErrNotExist)
}

// unpack reads lines from h, which it closes. want is what the manifest says, or nil.
func unpack(h *os.File, want *file) (*unpacker, error) {
	u := &unpacker{f: h, want: want}
	var r io.Reader = h
	if want != nil {
		u.sum = sha256.New()
		r = io.TeeReader(h, u.sum)
	}
	var err error
	if u.z, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20)); err != nil {
		h.Close()
		return nil, err
	}
	u.r = u.z
	return u, nil
}

// next reads the next line; behind the last one it makes sure that the file was what the manifest says.
func (u *unpacker) next() (bool, error) {
	ok, err := u.lineReader.next()
	switch {
	case err != nil && u.want != nil && !errors.Is(err, fs.ErrClosed):
		return false, &alteredError{err.Error()}
	case err != nil:
		return false, err
	case ok:
		u.lines++
		u.bytes += int64(len(u.parts.Line))
		if u.want != nil && u.bytes > u.want.Bytes {
			return false, &alteredError{"it holds more than the manifest says"}
		}
		return true, nil
	case u.want == nil:
		return false, nil
	}
	var got digest
	u.sum.Sum(got[:0])
	if got != u.want.SHA256 || u.lines != u.want.Lines || u.bytes != u.want.Bytes {
		return false, &alteredError{"it changed while it was read"}
	}
	return false, nil
}

func (u *unpacker) line() *lineproto.Parts { return &u.parts }

func (u *unpacker) close() {
	u.z.Close()
	u.f.Close()
}

// chain reads the files of a manifest one after the other.
type chain struct {
	d     *disk
	dir   string
	files []file
	cur   *unpacker
}

func (c *chain) next() (bool, error) {
	for {
		if c.cur != nil {
			ok, err := c.cur.next()
			if ok || err != nil {
				return ok, err
			}
			c.close()
		}
		if len(c.files) == 0 {
			return false, nil
		}
		h, err := prove(c.d, c.dir, &c.files[0])
		if err != nil {
			return false, err
		}
		if c.cur, err = unpack(h, &c.files[0]); err != nil {
			return false, err
		}
		c.files = c.files[1:]
	}
}

func (c *chain) line() *lineproto.Parts { return c.cur.line() }

func (c *chain) close() {
	if c.cur != nil {
		c.cur.close()
		c.cur = nil
	}
}

// total adds up what files hold.
func total(files []file) (fp mirror.Fingerprint, bytes int64) {
	for i := range files {
		fp = fp.Add(files[i].Print)
		bytes += files[i].Bytes
	}
	return fp, bytes
}
