package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"influxmirror/internal/mirror"
)

// The body of a group: its Proofs in order of time. All numbers are varints as in encoding/binary: "uvarint" unsigned,
// "varint" signed (zigzag). Differences are taken modulo 2^64, so every int64 has one. G is the start of the group.
//
//	byte     version, 1
//	uvarint  number of Proofs
//	each Proof:
//	  byte     flags: 1 excepted follows, 2 extra follows, 4 both dates are in whole seconds; the others are 0
//	  uvarint  start − stop of the Proof before (the first: − G)
//	  varint   width − width of the Proof before (the first: − 0)
//	  uvarint  count of Source
//	  16 bytes sum of Source, big-endian
//	  if flag 1: uvarint count and 16 bytes sum of Excepted, not both zero
//	  if flag 2: uvarint count and 16 bytes sum of Extra, not both zero
//	  varint   AsOf − AsOf of the Proof before (the first: − G), in nanoseconds, or in seconds with flag 4
//	  varint   CheckedAt − AsOf, in the same unit
//
// Flag 4 is set whenever both differences are multiples of 10^9. Target is not stored: it is Source − Excepted + Extra,
// so that nothing can be read back that breaks the one law. There is exactly one body for a list of Proofs, and
// anything else is refused when read.
const (
	blobVersion = 1

	hasExcepted  = 1
	hasExtra     = 2
	wholeSeconds = 4

	second = 1_000_000_000

	// minProof is the length of the shortest encoded Proof; it bounds what a claimed number may allocate.
	minProof = 1 + 1 + 1 + 1 + 16 + 1 + 1
)

var errBlob = errors.New("malformed body")

// checkProofs returns an error that wraps ErrInvalid unless all proofs hold, lie in w and follow each other.
func checkProofs(w mirror.Window, proofs []mirror.Proof) error {
	at := w.Start
	for _, p := range proofs {
		switch {
		case !p.Holds():
			return fmt.Errorf("%w: cell %s: source − excepted is not target − extra", ErrInvalid, p.Window)
		case !w.Covers(p.Window):
			return fmt.Errorf("%w: cell %s lies outside its group %s", ErrInvalid, p.Window, w)
		case p.Window.Start < at:
			return fmt.Errorf("%w: cell %s begins before the one before it ends", ErrInvalid, p.Window)
		}
		at = p.Window.Stop
	}
	return nil
}

// appendProofs appends the body of proofs, which checkProofs accepted for the group w.
func appendProofs(b []byte, w mirror.Window, proofs []mirror.Proof) []byte {
	b = append(b, blobVersion)
	b = binary.AppendUvarint(b, uint64(len(proofs)))
	at, asOf, width := w.Start, w.Start, uint64(0)
	for _, p := range proofs {
		date, lag := p.AsOf-asOf, p.CheckedAt-p.AsOf
		var flags byte
		if !p.Excepted.IsZero() {
			flags |= hasExcepted
		}
		if !p.Extra.IsZero() {
			flags |= hasExtra
		}
		if date%second == 0 && lag%second == 0 {
			flags |= wholeSeconds
			date, lag = date/second, lag/second
		}
		b = append(b, flags)
		b = binary.AppendUvarint(b, uint64(p.Window.Start)-uint64(at))
		b = binary.AppendVarint(b, int64(p.Window.Width()-width))
		b = appendFingerprint(b, p.Source)
		if flags&hasExcepted != 0 {
			b = appendFingerprint(b, p.Excepted)
		}
		if flags&hasExtra != 0 {
			b = appendFingerprint(b, p.Extra)
		}
		b = binary.AppendVarint(b, date)
		b = binary.AppendVarint(b, lag)
		at, asOf, width = p.Window.Stop, p.AsOf, p.Window.Width()
	}
	return b
}

// parseProofs reads the body of the group w. It trusts nothing: what it returns passes checkProofs and has b as its body.
func parseProofs(b []byte, w mirror.Window) ([]mirror.Proof, error) {
	r := reader{b: b}
	if r.byte() != blobVersion {
		return nil, errBlob
	}
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)/minProof) {
		return nil, errBlob
	}
	var proofs []mirror.Proof
	if n > 0 {
		proofs = make([]mirror.Proof, 0, n)
	}
	at, asOf, width := w.Start, w.Start, uint64(0)
	for range n {
		var p mirror.Proof
		flags := r.byte()
		start, c1 := bits.Add64(axis(at), r.uvarint(), 0)
		width += uint64(r.varint())
		stop, c2 := bits.Add64(start, width, 0)
		if c1|c2 != 0 {
			return nil, errBlob
		}
		p.Window = mirror.Window{Start: time64(start), Stop: time64(stop)}
		p.Source = r.fingerprint()
		if flags&hasExcepted != 0 {
			p.Excepted = r.fingerprint()
		}
		if flags&hasExtra != 0 {
			p.Extra = r.fingerprint()
		}
		unit := int64(1)
		if flags&wholeSeconds != 0 {
			unit = second
		}
		p.AsOf = asOf + r.varint()*unit
		p.CheckedAt = p.AsOf + r.varint()*unit
		p.Target = p.Source.Sub(p.Excepted).Add(p.Extra)
		if r.bad {
			return nil, errBlob
		}
		at, asOf = p.Window.Stop, p.AsOf
		proofs = append(proofs, p)
	}
	if len(r.b) != 0 || checkProofs(w, proofs) != nil {
		return nil, errBlob
	}
	// One body for one list: this refuses long varints, unknown flags, zero parts and products that wrapped round.
	if !bytes.Equal(appendProofs(make([]byte, 0, len(b)), w, proofs), b) {
		return nil, errBlob
	}
	return proofs, nil
}

// axis maps times to unsigned numbers in the same order, so that a carry shows that the axis was left.
func axis(t int64) uint64   { return uint64(t) ^ 1<<63 }
func time64(u uint64) int64 { return int64(u ^ 1<<63) }

func appendFingerprint(b []byte, f mirror.Fingerprint) []byte {
	b = binary.AppendUvarint(b, f.Count)
	b = binary.BigEndian.AppendUint64(b, f.Hi)
	return binary.BigEndian.AppendUint64(b, f.Lo)
}

// reader takes values off the front of b. After the first that is not whole it is bad and returns zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) || n > math.MaxInt32 {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) string() string { return string(r.take(r.uvarint())) }

func (r *reader) fingerprint() mirror.Fingerprint {
	f := mirror.Fingerprint{Count: r.uvarint()}
	if b := r.take(16); b != nil {
		f.Hi, f.Lo = binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	}
	return f
}
