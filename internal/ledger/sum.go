package ledger

import (
	"encoding/binary"
	"math"

	"github.com/zeebo/xxh3"

	"influxmirror/internal/mirror"
)

// The checks of stored rows: XXH3-64 over a letter for the table, the pair's key and what the row holds. The key and not
// its number is part of it, so that a row whose number changed by damage is not taken for another pair's.

// notKept is when the target was last read in rows of a time when that was not kept. Their check is without it.
const notKept = math.MinInt64

func sumSummary(b []byte, key string, s mirror.Summary, proof, bodySum int64) int64 {
	b = appendKey(b[:0], 's', key, s.Measurement, s.Window.Start)
	for _, v := range [...]uint64{
		uint64(s.Window.Stop), uint64(s.Cells), s.Source, s.Target, s.Excepted, s.Extra,
		uint64(s.AsOf), uint64(proof), uint64(bodySum),
	} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	if s.Checked != notKept {
		b = binary.BigEndian.AppendUint64(b, uint64(s.Checked))
	}
	return int64(xxh3.Hash(b))
}

func sumException(b []byte, key, measurement string, start int64, n int, class string, body []byte) int64 {
	b = appendKey(b[:0], 'e', key, measurement, start)
	b = binary.BigEndian.AppendUint64(b, uint64(n))
	b = appendString(b, class)
	return int64(xxh3.Hash(append(b, body...)))
}

// sumBody is over the body of the Proofs and the checks of the group's exceptions in order.
func sumBody(b []byte, key, measurement string, w mirror.Window, body []byte, exceptions []int64) int64 {
	b = appendKey(b[:0], 'g', key, measurement, w.Start)
	b = binary.BigEndian.AppendUint64(b, uint64(w.Stop))
	b = binary.AppendUvarint(b, uint64(len(exceptions)))
	for _, e := range exceptions {
		b = binary.BigEndian.AppendUint64(b, uint64(e))
	}
	return int64(xxh3.Hash(append(b, body...)))
}

func sumNote(key, name string, body []byte) int64 {
	b := appendString(appendString([]byte{'n'}, key), name)
	return int64(xxh3.Hash(append(b, body...)))
}

func appendKey(b []byte, table byte, key, measurement string, start int64) []byte {
	b = append(b, table)
	b = appendString(b, key)
	b = appendString(b, measurement)
	return binary.BigEndian.AppendUint64(b, uint64(start))
}
