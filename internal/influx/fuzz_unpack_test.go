package influx

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"influxmirror/internal/mirror"
)

// FuzzUnpack: a packed answer is an error, or what the standard library unpacks; never more than the cap, and in bounded memory. One that was cut off, or
// has anything behind its end, is an error.
func FuzzUnpack(f *testing.F) {
	two := append(zipped([]byte("one")), zipped([]byte("two"))...)
	for _, s := range [][]byte{nil, []byte("hello"), bytes.Repeat([]byte("0"), 5000)} {
		for way := range byte(8) {
			f.Add(s, way, uint16(7), uint16(4000))
		}
	}
	f.Add(zipped([]byte("raw")), byte(0), uint16(0), uint16(100))
	f.Add(two, byte(0), uint16(0), uint16(6))
	f.Add(two, byte(0), uint16(0), uint16(5))
	f.Add(append(zipped(nil), two...), byte(0), uint16(0), uint16(50))
	f.Add(append(slices.Clone(two), 0), byte(0), uint16(0), uint16(50))
	f.Add(zipped(bytes.Repeat([]byte{0}, 1<<20)), byte(0), uint16(0), uint16(9000))
	f.Fuzz(func(t *testing.T, content []byte, way byte, at, limit uint16) {
		stream, whole := content, false
		if way%8 > 0 {
			stream = zipped(content)
		}
		place := int(at) % max(1, len(stream))
		switch way % 8 {
		case 1:
			whole = true
		case 2:
			stream = stream[:place]
		case 3:
			stream = append(stream, byte(at))
		case 4:
			stream[place] ^= byte(at>>8) | 1
		case 5: // two members
			half := int(at) % (len(content) + 1)
			stream, whole = append(zipped(content[:half]), zipped(content[half:])...), true
		case 6: // empty members
			stream, whole = slices.Concat(zipped(nil), stream, zipped(nil)), true
		case 7: // no checksum
			stream = stream[:max(0, len(stream)-8)]
		}
		want, bad := unzipped(stream, int64(limit)+1)
		c := without(Options{}, nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var src io.Reader = bytes.NewReader(stream)
		if at%3 == 0 {
			src = iotest.DataErrReader(src)
		}
		got, err := io.ReadAll(&wholeBody{c: c.Client, r: &request{}, ctx: context.Background(), src: &counting{Reader: src, n: &c.wire}, packed: true, limit: int64(limit)})
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20 {
			t.Errorf("%d bytes were allocated for %d, unpacked %d", used, len(stream), len(got))
		}
		if len(got) > int(limit) {
			t.Fatalf("%d bytes came, and %d may", len(got), limit)
		}
		switch kind := mirror.KindOf(err); {
		case err == nil && (bad != nil || !bytes.Equal(got, want)):
			t.Fatalf("it was taken as %q, and is %q, %v", got, want, bad)
		case err != nil && kind != mirror.Broken && kind != mirror.TooLarge:
			t.Fatalf("%q: %v", kind, err)
		case bad == nil && len(want) <= int(limit) && err != nil:
			t.Fatalf("%d bytes within %d were not taken: %v", len(want), limit, err)
		case len(want) > int(limit) && (err == nil || whole && kind != mirror.TooLarge): // one that is cut off too may be called either
			t.Fatalf("%d bytes are more than %d: %v", len(want), limit, err)
		case whole && len(content) <= int(limit) && !bytes.Equal(got, content):
			t.Fatalf("%q came as %q: %v", content, got, err)
		case (way%8 == 2 || way%8 == 3 || way%8 == 7) && err == nil:
			t.Fatal("it is not whole, and was taken")
		}
	})
}

// unzipped is what the standard library unpacks, up to limit bytes.
func unzipped(stream []byte, limit int64) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(stream))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(z, limit))
}
