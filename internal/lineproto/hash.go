package lineproto

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"influxmirror/internal/mirror"
)

// HashVersion is the first byte of everything hashed. The form is frozen for version 1 of the program.
const HashVersion = 1

// The hashed form of a Sample, all integers big-endian:
//
//	byte    HashVersion
//	u32 n   measurement, n bytes, unescaped
//	u32 n   number of tags; then for each, sorted bytewise by key: u32 n, key; u32 n, value (never empty)
//	u32 n   field key
//	byte    type: f i u b s
//	8 bytes float bits, integer, unsigned, or 0 and 1; for a string its bytes instead
//	8 bytes time
//
// AppendSeries, AppendField and then one of AppendValue or AppendText build it; the part of the series is the same for all its Samples.

// AppendSeries appends the part up to the field.
func AppendSeries(b []byte, measurement string, tags []mirror.Tag) []byte {
	b = append(b, HashVersion)
	b = appendText(b, measurement)
	b = binary.BigEndian.AppendUint32(b, uint32(len(tags)))
	for _, t := range tags {
		b = appendText(b, t.Key)
		b = appendText(b, t.Value)
	}
	return b
}

// AppendField appends the field's key and type.
func AppendField(b []byte, field string, t mirror.Type) []byte {
	return append(appendText(b, field), byte(t))
}

// AppendValue appends the value of anything but a string, and the time.
func AppendValue(b []byte, bits uint64, time int64) []byte {
	b = binary.BigEndian.AppendUint64(b, bits)
	return binary.BigEndian.AppendUint64(b, uint64(time))
}

// AppendText appends the value of a string, and the time.
func AppendText(b []byte, text []byte, time int64) []byte {
	b = append(b, text...)
	return binary.BigEndian.AppendUint64(b, uint64(time))
}

// Hash returns the two halves of XXH3-128 of the hashed form.
func Hash(b []byte) (hi, lo uint64) {
	h := xxh3.Hash128(b)
	return h.Hi, h.Lo
}

// HashSample returns the hash of one Sample; buf is scratch and may be nil.
func HashSample(buf []byte, s *mirror.Sample) (hi, lo uint64) {
	b := AppendSeries(buf[:0], s.Measurement, s.Tags)
	b = AppendField(b, s.Field, s.Type)
	if s.Type == mirror.String {
		b = append(b, s.Text...)
		b = binary.BigEndian.AppendUint64(b, uint64(s.Time))
	} else {
		b = AppendValue(b, s.Bits, s.Time)
	}
	return Hash(b)
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}
