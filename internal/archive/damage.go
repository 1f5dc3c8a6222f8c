package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"influxmirror/internal/mirror"
)

// Damage is a part of the archive that is not what its manifest says.
type Damage struct {
	Measurement string        // "" for the root document
	Window      mirror.Window // from the first to behind the last of its Samples; empty for a manifest
	Samples     uint64        // that it held; 0 for a manifest, which alone could tell
	File        string        // in the directory
	Reason      string
}

func (d Damage) String() string {
	if d.Samples == 0 {
		return d.File + ": " + d.Reason
	}
	return fmt.Sprintf("%s: %s; it held %d samples of %q in %s", d.File, d.Reason, d.Samples, d.Measurement, d.Window)
}

// sight is what this handle knows of a file.
type sight struct {
	size int64 // -1: missing
	time int64 // of its last change
	bad  string
}

// maxSeen bounds how many files are remembered.
const maxSeen = 300_000

func sightOf(d *disk, name string) (sight, error) {
	info, err := os.Lstat(filepath.Join(d.dir, name)) // one call; os.Root makes one for each directory
	if errors.Is(err, fs.ErrNotExist) {
		return sight{size: -1}, nil
	}
	if err != nil {
		return sight{}, err
	}
	return sight{size: info.Size(), time: info.ModTime().UnixNano()}, nil
}

// told reports whether a file is known to be damaged.
func (b *Bucket) told(dir string, f *file) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen[inData(dir, f.name())].bad != ""
}

// note remembers what reading a file came to.
func (b *Bucket) note(d *disk, dir string, f *file, err error) {
	name := inData(dir, f.name())
	s, failed := sightOf(d, name)
	if failed != nil {
		return
	}
	if err != nil {
		s.bad = err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			s.bad = "it is missing"
		}
	}
	b.keep(name, s)
}

func (b *Bucket) keep(name string, s sight) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.bad != "" && b.seen[name].bad == "" {
		b.damages++
	}
	if len(b.seen) >= maxSeen {
		for k, v := range b.seen {
			if v.bad == "" {
				delete(b.seen, k)
			}
		}
	}
	b.seen[name] = s
}

// look says what is wrong with a file, or "". It reads it only if it changed since this handle saw it first: else it must be there, with its size.
func (b *Bucket) look(d *disk, dir string, f *file) (bad string, err error) {
	name := inData(dir, f.name())
	now, err := sightOf(d, name)
	if err != nil {
		return "", b.failed("look at "+name, err)
	}
	b.mu.Lock()
	was, known := b.seen[name]
	b.mu.Unlock()
	switch same := was.size == now.size && was.time == now.time; {
	case known && same:
		return was.bad, nil
	case now.size < 0:
		now.bad = "it is missing"
	case now.size != f.Size:
		now.bad = fmt.Sprintf("it has %d bytes, the manifest says %d", now.size, f.Size)
	case known:
		h, err := prove(d, dir, f)
		if err == nil {
			h.Close()
		} else if !isDamage(err) {
			return "", b.failed("read "+name, err)
		} else {
			now.bad = err.Error()
		}
	}
	b.keep(name, now)
	return now.bad, nil
}

// describe says what is damaged.
func (b *Bucket) describe(m *manifest, f *file, err error) error {
	why := err.Error()
	if errors.Is(err, fs.ErrNotExist) {
		why = "it is missing"
	}
	return fmt.Errorf("damaged: %s", Damage{m.measurement, f.window(), f.Print.Count, inData(m.dir, f.name()), why})
}

// Check reads everything the archive should hold and returns what is missing or altered. It writes nothing. What it finds this handle
// remembers: to a target its Samples are absent from then on, to a source they cannot be read.
func (b *Bucket) Check(ctx context.Context) ([]Damage, error) {
	d, top, err := b.root()
	if err != nil {
		return nil, err
	}
	var out []Damage
	for _, name := range top.names {
		var done int64 = mirror.MinTime // everything before was checked
		for {
			m, err := b.manifest(d, name)
			if me := (*manifestError)(nil); errors.As(err, &me) {
				out = append(out, Damage{Measurement: name, File: me.file, Reason: me.err.Error()})
				b.noteManifest(me)
				break
			}
			if err != nil {
				return out, err
			}
			list, next, err := b.checkFiles(ctx, d, m, done)
			if out = append(out, list...); err != nil {
				return out, err
			}
			if done = next; done == mirror.Axis.Stop {
				break
			}
		}
	}
	return out, nil
}

// checkFiles checks the files of a manifest from a time on. It returns that time as next once a writer replaced the manifest meanwhile.
func (b *Bucket) checkFiles(ctx context.Context, d *disk, m *manifest, from int64) (out []Damage, next int64, _ error) {
	for i := range m.files {
		f := &m.files[i]
		if f.Last < from {
			continue
		}
		if err := ctx.Err(); err != nil {
			return out, f.First, err
		}
		h, err := prove(d, m.dir, f)
		if err == nil {
			h.Close()
		} else if !isDamage(err) {
			return out, f.First, b.failed("check "+inData(m.dir, f.name()), err)
		} else if b.replaced(d, m) {
			return out, f.First, nil
		} else {
			why := err.Error()
			if errors.Is(err, fs.ErrNotExist) {
				why = "it is missing"
			}
			out = append(out, Damage{m.measurement, f.window(), f.Print.Count, inData(m.dir, f.name()), why})
		}
		b.note(d, m.dir, f, err)
	}
	return out, mirror.Axis.Stop, nil
}

// replaced reports whether m is no longer the manifest.
func (b *Bucket) replaced(d *disk, m *manifest) bool {
	now, err := b.manifest(d, m.measurement)
	return err != nil || now.generation != m.generation
}

func (b *Bucket) noteManifest(e *manifestError) {
	b.keep(e.file, sight{bad: e.err.Error()})
}
