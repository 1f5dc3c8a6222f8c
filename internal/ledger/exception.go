package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"influxmirror/internal/mirror"
)

// The body of an Exception, its class apart. G is the start of the group; a "string" is a uvarint length and the bytes.
//
//	byte     version, 1
//	byte     type letter of the field
//	uvarint  start − G
//	uvarint  width
//	string   field
//	string   reason
//	string   example
//	uvarint  count
//	16 bytes sum, big-endian
//
// As with Proofs there is exactly one body for an Exception.

func checkExceptions(w mirror.Window, list []mirror.Exception) error {
	for _, e := range list {
		if e.Window.Empty() || !w.Covers(e.Window) {
			return fmt.Errorf("%w: exception of %s lies outside its group %s", ErrInvalid, e.Window, w)
		}
	}
	return nil
}

func appendException(b []byte, w mirror.Window, e mirror.Exception) []byte {
	b = append(b, blobVersion, byte(e.Type))
	b = binary.AppendUvarint(b, uint64(e.Window.Start)-uint64(w.Start))
	b = binary.AppendUvarint(b, e.Window.Width())
	b = appendString(b, e.Field)
	b = appendString(b, e.Reason)
	b = appendString(b, e.Example)
	return appendFingerprint(b, e.Samples)
}

// parseException reads what appendException wrote for a group that starts at start. It trusts nothing.
func parseException(b []byte, start int64, class mirror.Class) (mirror.Exception, error) {
	r := reader{b: b}
	if r.byte() != blobVersion {
		return mirror.Exception{}, errBlob
	}
	e := mirror.Exception{Class: class, Type: mirror.Type(r.byte())}
	e.Window.Start = start + int64(r.uvarint())
	e.Window.Stop = e.Window.Start + int64(r.uvarint())
	e.Field, e.Reason, e.Example = r.string(), r.string(), r.string()
	e.Samples = r.fingerprint()
	if r.bad || len(r.b) != 0 || e.Window.Empty() || e.Window.Start < start {
		return mirror.Exception{}, errBlob
	}
	if !bytes.Equal(appendException(make([]byte, 0, len(b)), mirror.Window{Start: start}, e), b) {
		return mirror.Exception{}, errBlob
	}
	return e, nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}
