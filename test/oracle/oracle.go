// Package oracle judges whether two ends hold the same samples. It is the judge of the whole program, so it shares nothing with it: it asks
// a server's own catalogue where the shard groups lie and reads each measurement in each of them alone; it reads an archive with the
// official parser of line protocol; and it compares sample by sample.
//
// It owns reading, comparing and reporting. It writes nothing anywhere and takes nothing but a whole answer.
package oracle

import (
	"encoding/binary"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/zeebo/xxh3"
)

// The ends of the time axis, both valid times of a sample.
const (
	AxisStart = -9223372036854775806
	AxisStop  = 9223372036854775806
)

// A Span is a stretch of time in nanoseconds since 1970, both ends included.
type Span struct{ First, Last int64 }

// Always is the whole axis.
var Always = Span{AxisStart, AxisStop}

// Holds reports whether t lies in s.
func (s Span) Holds(t int64) bool { return s.First <= t && t <= s.Last }

// Place is everything of a sample but its value.
type Place struct {
	Measurement string
	Tags        string // as TagsOf writes them
	Field       string
	Time        int64
}

func (p Place) String() string {
	return fmt.Sprintf("%q [%s] %q %d", p.Measurement, showTags(p.Tags), p.Field, p.Time)
}

// Contents is what an end holds: place → a letter for the type and the value's bytes, as Value writes them.
type Contents map[Place]string

// Count says how many samples a measurement has.
func (c Contents) Count(measurement string) (n int) {
	for p := range c {
		if p.Measurement == measurement {
			n++
		}
	}
	return n
}

// Clone returns a copy.
func (c Contents) Clone() Contents {
	out := make(Contents, len(c))
	for p, v := range c {
		out[p] = v
	}
	return out
}

// add puts one sample in; a place that comes twice is an error, since no reader may hand on a sample twice.
func (c Contents) add(p Place, value string) error {
	if _, twice := c[p]; twice {
		return fmt.Errorf("%v came twice", p)
	}
	c[p] = value
	return nil
}

// Value writes a value as the type's letter (f, i, u, b, s) and its bytes: 8, big-endian, or the text. It takes float64, int64,
// uint64, bool and string; unsigned says that an integer is one of a column without sign.
func Value(v any, unsigned bool) (string, error) {
	bits := func(letter byte, n uint64) (string, error) {
		return string(binary.BigEndian.AppendUint64([]byte{letter}, n)), nil
	}
	switch v := v.(type) {
	case float64:
		return bits('f', math.Float64bits(v))
	case int64:
		if unsigned {
			return bits('u', uint64(v))
		}
		return bits('i', uint64(v))
	case uint64:
		if unsigned {
			return bits('u', v)
		}
		if v > math.MaxInt64 {
			return "", fmt.Errorf("%d in a column that is not unsigned", v)
		}
		return bits('i', v)
	case bool:
		if v {
			return bits('b', 1)
		}
		return bits('b', 0)
	case string:
		return "s" + v, nil
	}
	return "", fmt.Errorf("a value of type %T", v)
}

// ShowValue writes a value for people.
func ShowValue(v string) string {
	if v == "" {
		return "nothing"
	}
	if v[0] == 's' {
		return strconv.Quote(v[1:])
	}
	n := binary.BigEndian.Uint64([]byte(v[1:]))
	switch v[0] {
	case 'f':
		return fmt.Sprintf("%v (%016x)", math.Float64frombits(n), n)
	case 'i':
		return fmt.Sprintf("%di", int64(n))
	case 'u':
		return fmt.Sprintf("%du", n)
	}
	return fmt.Sprint(n == 1)
}

// TagsOf writes tags as length-prefixed keys and values, sorted by key; a tag without a value is none.
func TagsOf(tags map[string]string) string {
	keys := make([]string, 0, len(tags))
	for k, v := range tags {
		if v != "" {
			keys = append(keys, k)
		}
	}
	sort.Strings(keys)
	var b strings.Builder
	for _, k := range keys {
		b.WriteString(prefixed(k) + prefixed(tags[k]))
	}
	return b.String()
}

func prefixed(s string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s }

func unprefixed(s string) (out []string) {
	for len(s) > 0 {
		n := binary.BigEndian.Uint32([]byte(s))
		out = append(out, s[4:4+n])
		s = s[4+n:]
	}
	return out
}

func showTags(s string) string {
	var b strings.Builder
	for i, part := range unprefixed(s) {
		b.WriteString(strconv.Quote(part))
		b.WriteString([]string{"=", " "}[i%2])
	}
	return strings.TrimSpace(b.String())
}

// Hash is the fingerprint's hash of one sample, written a second time from its description: what a Proof claims is checked with it.
func Hash(p Place, v string) (hi, lo uint64) {
	b := []byte{1}
	b = append(b, prefixed(p.Measurement)...)
	tags := unprefixed(p.Tags)
	b = binary.BigEndian.AppendUint32(b, uint32(len(tags)/2))
	b = append(b, p.Tags...)
	b = append(b, prefixed(p.Field)...)
	b = append(b, v...) // letter and value
	b = binary.BigEndian.AppendUint64(b, uint64(p.Time))
	h := xxh3.Hash128(b)
	return h.Hi, h.Lo
}
