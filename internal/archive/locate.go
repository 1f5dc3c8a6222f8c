package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/zeebo/xxh3"

	"influxmirror/internal/mirror"
)

// shardID names a shard group.
func shardID(group mirror.Window) string { return strconv.FormatInt(group.Start, 10) }

// counters returns for each shard group a number made of what the manifests say of its files and of size and time of each.
func (b *Bucket) counters(ctx context.Context, d *disk, top *root) (map[string]uint64, error) {
	grid := mirror.NewGrid(top.ShardGroup)
	out := map[string]uint64{}
	var buf []byte
	for _, name := range top.names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := b.manifest(d, name)
		if me := (*manifestError)(nil); errors.As(err, &me) {
			b.noteManifest(me) // the whole archive is looked at again
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range m.files {
			f := &m.files[i]
			path := inData(m.dir, f.name())
			s, err := sightOf(d, path)
			if err != nil {
				return nil, b.failed("look at "+path, err)
			}
			buf = append(append(buf[:0], path...), f.SHA256[:]...)
			buf = binary.BigEndian.AppendUint64(buf, uint64(s.size))
			buf = binary.BigEndian.AppendUint64(buf, uint64(s.time))
			out[shardID(grid.Group(f.First))] += xxh3.Hash(buf)
		}
	}
	return out, nil
}

// Locate returns the ids of the shard groups that hold any of the measurements named for each window, and where each lies, in terms of these windows.
func (b *Bucket) Locate(ctx context.Context, at map[mirror.Window][]string) (map[string]mirror.Window, error) {
	_, top, err := b.root()
	if err != nil {
		return nil, err
	}
	grid := mirror.NewGrid(top.ShardGroup)
	out := map[string]mirror.Window{}
	for w, names := range at {
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			_, m, err := b.find(name, "locate")
			if err != nil {
				return nil, err
			}
			if m == nil {
				continue
			}
			for _, f := range m.overlapping(w) {
				id, in := shardID(grid.Group(f.First)), w
				if known, ok := out[id]; ok {
					in = in.Span(known)
				}
				out[id] = in
			}
		}
	}
	return out, nil
}

// TagKeys returns every tag key that the bucket ever had.
func (b *Bucket) TagKeys(ctx context.Context) (map[string]bool, error) {
	_, top, err := b.root()
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, name := range top.names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		_, m, err := b.find(name, "list tags")
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		for _, t := range m.tags {
			out[t] = true
		}
	}
	return out, nil
}
