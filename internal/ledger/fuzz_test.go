package ledger

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"slices"
	"testing"
)

// FuzzLedger: a ledger, or its log, of which bytes were changed, taken out, doubled, put elsewhere or cut off opens without a hand, with nothing in it that was
// not recorded, or is set aside.
func FuzzLedger(f *testing.F) {
	want := damageGroups()
	kinds := []map[string][]byte{files(f, true), files(f, false)}
	edit := func(op byte, place uint16, arg byte) []byte {
		return append(binary.BigEndian.AppendUint16([]byte{op}, place), arg)
	}
	for _, log := range []bool{false, true} {
		f.Add(log, []byte{})
		f.Add(log, edit(0, 18, 1))                                     // a flipped bit in the head
		f.Add(log, edit(0, 30_000, 0x80))                              // and far from it
		f.Add(log, edit(1, 20_000, 0))                                 // cut off
		f.Add(log, edit(2, 4096, 3))                                   // zeros
		f.Add(log, edit(3, 8192, 1))                                   // bytes are gone
		f.Add(log, edit(4, 12_288, 2))                                 // a page twice
		f.Add(log, edit(5, 4096, 4))                                   // a page of another place
		f.Add(log, append(edit(0, 27, 1), edit(0, 95, 1)...))          // two counters
		f.Add(log, append(edit(5, 8192, 1), edit(0, 16_400, 0x40)...)) // and a flipped bit
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, log bool, edits []byte) {
		all, name := map[string][]byte{}, dbName
		kind := kinds[0]
		if log {
			kind, name = kinds[1], dbName+"-wal"
		}
		for k, v := range kind {
			all[k] = v
		}
		b := bytes.Clone(all[name])
		for n := 0; len(edits) >= 4 && n < 6; n++ {
			b = edited(b, edits[0], int(binary.BigEndian.Uint16(edits[1:]))*len(b)>>16, edits[3])
			edits = edits[4:]
		}
		all[name] = b
		left, _ := checkDamaged(t, filepath.Join(dir, "d"), "fuzzed", all, want)
		if bytes.Equal(b, kind[name]) && left != len(want) {
			t.Fatalf("%d of %d groups are left of a sound ledger", left, len(want))
		}
	})
}

const pageSize = 4096

func edited(b []byte, op byte, at int, arg byte) []byte {
	end := min(len(b), at+int(arg)*16+1)
	page := func(i int) []byte { return b[i/pageSize*pageSize : min(len(b), i/pageSize*pageSize+pageSize)] }
	switch op % 6 {
	case 0:
		if at < len(b) {
			b[at] ^= arg
		}
	case 1:
		return b[:at]
	case 2:
		clear(b[at:end])
	case 3:
		return slices.Delete(b, at, end)
	case 4:
		return slices.Insert(b, at, bytes.Clone(page(at))...)
	case 5:
		copy(page(at), page(int(arg)*pageSize%max(1, len(b))))
	}
	return b
}
