package mirror

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// Fingerprint is an order-free digest of a set of Samples: how many, and the sum of their 128-bit hashes modulo 2^128.
// A sum and not XOR, because two equal hashes cancel under XOR. Fingerprints of disjoint sets add; a part subtracts.
type Fingerprint struct {
	Count  uint64
	Hi, Lo uint64
}

// FingerprintSize is the length of the binary form.
const FingerprintSize = 24

// AddHash adds one Sample's hash.
func (f *Fingerprint) AddHash(hi, lo uint64) {
	var c uint64
	f.Lo, c = bits.Add64(f.Lo, lo, 0)
	f.Hi, _ = bits.Add64(f.Hi, hi, c)
	f.Count++
}

// Add returns the Fingerprint of both sets together.
func (f Fingerprint) Add(g Fingerprint) Fingerprint {
	lo, c := bits.Add64(f.Lo, g.Lo, 0)
	hi, _ := bits.Add64(f.Hi, g.Hi, c)
	return Fingerprint{f.Count + g.Count, hi, lo}
}

// Sub returns the Fingerprint of f without the part g.
func (f Fingerprint) Sub(g Fingerprint) Fingerprint {
	lo, b := bits.Sub64(f.Lo, g.Lo, 0)
	hi, _ := bits.Sub64(f.Hi, g.Hi, b)
	return Fingerprint{f.Count - g.Count, hi, lo}
}

// IsZero reports whether f is that of no Samples.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// String writes count and sum, for example 12:0123….
func (f Fingerprint) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], f.Hi)
	binary.BigEndian.PutUint64(b[8:], f.Lo)
	return fmt.Sprintf("%d:%s", f.Count, hex.EncodeToString(b[:]))
}

// AppendBinary appends count, high and low half, 8 bytes each, big-endian.
func (f Fingerprint) AppendBinary(b []byte) ([]byte, error) {
	b = binary.BigEndian.AppendUint64(b, f.Count)
	b = binary.BigEndian.AppendUint64(b, f.Hi)
	return binary.BigEndian.AppendUint64(b, f.Lo), nil
}

// ParseFingerprint reads what AppendBinary wrote.
func ParseFingerprint(b []byte) (Fingerprint, error) {
	if len(b) != FingerprintSize {
		return Fingerprint{}, fmt.Errorf("fingerprint of %d bytes, want %d", len(b), FingerprintSize)
	}
	return Fingerprint{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])}, nil
}
