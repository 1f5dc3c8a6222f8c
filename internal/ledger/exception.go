package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

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
		switch {
		case e.Window.Empty() || !w.Covers(e.Window):
			return fmt.Errorf("%w: exception of %s lies outside its group %s", ErrInvalid, e.Window, w)
		case e.Class == mirror.Unsent, e.Back != "" && e.Class != mirror.Extra, e.Back == mirror.Extra, e.Back == mirror.Unsent:
			return fmt.Errorf("%w: exception of %s is %s", ErrInvalid, e.Window, classOf(e))
		}
	}
	return nil
}

// classOf returns what is stored as the class of e: "extra/refused" for Extra that was sent back and refused.
func classOf(e mirror.Exception) string {
	if e.Back != "" {
		return string(e.Class) + "/" + string(e.Back)
	}
	return string(e.Class)
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
func parseException(b []byte, start int64, class string) (mirror.Exception, error) {
	r := reader{b: b}
	if r.byte() != blobVersion {
		return mirror.Exception{}, errBlob
	}
	name, back, _ := strings.Cut(class, "/")
	e := mirror.Exception{Class: mirror.Class(name), Back: mirror.Class(back), Type: mirror.Type(r.byte())}
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
