// Package verifier verifies the verifier: a target that is fully proven is changed by hand, in one place, and verify has to find just that.
//
// It owns the edits, what the table of verify has to say of each, and the comparison. What a bucket holds it asks test/oracle, and where the Cells lie it
// works out by itself.
package verifier

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
)

const (
	second = int64(1e9)
	// cell is the width of a Cell in shard groups of a week.
	cell = 3 * 3600 * second
)

// An edit changes what a bucket holds in one place, and reports whether there was a place for it.
type edit struct {
	name string
	do   func(r *rand.Rand, c oracle.Contents) bool
	// retyped: the other value has a type that the field does not have in this shard. No write puts that right.
	retyped bool
}

var edits = []edit{
	{name: "a sample is missing", do: func(r *rand.Rand, c oracle.Contents) bool {
		delete(c, pick(r, c, whatever))
		return true
	}},
	{name: "a sample too many", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, whatever)
		v := c[p]
		p.Time += 1 + r.Int64N(2*cell)
		return place(c, p, v)
	}},
	{name: "a series too many", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, whatever)
		v := c[p]
		p.Tags = oracle.TagsOf(map[string]string{"host": "nobody's"})
		return place(c, p, v)
	}},
	{name: "a measurement too many", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, whatever)
		v := c[p]
		p.Measurement = "foreign"
		return place(c, p, v)
	}},
	{name: "a float by the least", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, floats)
		f := float(c[p])
		c[p] = value(math.Nextafter(f, []float64{math.Inf(-1), math.MaxFloat64}[r.IntN(2)]))
		return true
	}},
	{name: "an integer by one", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, integers)
		c[p] = value(int64(bits(c[p])) + 1 - 2*r.Int64N(2))
		return true
	}},
	{name: "1 for 1i", retyped: true, do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, func(p oracle.Place, _ string) bool { return p.Measurement == "types" })
		if c[p][0] == 'i' {
			c[p] = value(float64(int64(bits(c[p]))))
		} else {
			c[p] = value(int64(float(c[p])))
		}
		return true
	}},
	{name: "a nanosecond", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, whatever)
		v := c[p]
		delete(c, p)
		p.Time += 1 - 2*r.Int64N(2)
		return place(c, p, v)
	}},
	{name: "another tag", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, func(p oracle.Place, _ string) bool { return p.Tags != "" })
		v := c[p]
		delete(c, p)
		p.Tags = []string{"", oracle.TagsOf(map[string]string{"host": "c"}), oracle.TagsOf(map[string]string{"host": "a", "rack": "1"})}[r.IntN(3)]
		return place(c, p, v)
	}},
	{name: "another field", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, whatever)
		v := c[p]
		delete(c, p)
		p.Field += "_"
		return place(c, p, v)
	}},
	{name: "one of two equal values", do: func(r *rand.Rand, c oracle.Contents) bool {
		delete(c, pick(r, c, func(p oracle.Place, v string) bool {
			q := p
			q.Time += second // as lay makes them
			return c[q] == v
		}))
		return true
	}},
	{name: "the sign of zero", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, func(_ oracle.Place, v string) bool { return v[0] == 'f' && float(v) == 0 })
		c[p] = value(math.Copysign(0, -math.Copysign(1, float(c[p]))))
		return true
	}},
	{name: "a byte of a string", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, func(_ oracle.Place, v string) bool { return v[0] == 's' && len(v) > 1 })
		b := []byte(c[p])
		b[1+r.IntN(len(b)-1)] ^= 1 << r.IntN(3) // of ASCII, and never a control character
		c[p] = string(b)
		return true
	}},
	{name: "a boolean", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, func(_ oracle.Place, v string) bool { return v[0] == 'b' })
		c[p] = value(bits(c[p]) == 0)
		return true
	}},
	{name: "two values change places", do: func(r *rand.Rand, c oracle.Contents) bool {
		p := pick(r, c, floats)
		q := pick(r, c, func(q oracle.Place, v string) bool {
			return v[0] == 'f' && q.Measurement == p.Measurement && slot(q.Time) == slot(p.Time)
		})
		if c[p] == c[q] {
			return false // itself, or its equal
		}
		c[p], c[q] = c[q], c[p]
		return true
	}},
}

func whatever(oracle.Place, string) bool     { return true }
func floats(p oracle.Place, v string) bool   { return v[0] == 'f' && p.Measurement != "types" }
func integers(p oracle.Place, v string) bool { return v[0] == 'i' && p.Measurement != "types" }
func slot(t int64) int64                     { return t - t%cell }
func bits(v string) uint64                   { return binary.BigEndian.Uint64([]byte(v[1:])) }
func float(v string) float64                 { return math.Float64frombits(bits(v)) }
func place(c oracle.Contents, p oracle.Place, v string) bool {
	if _, taken := c[p]; taken || p.Measurement == "types" { // where the shard has another type
		return false
	}
	c[p] = v
	return true
}

func value(v interface{}) string {
	s, err := oracle.Value(v, false)
	if err != nil {
		panic(err)
	}
	return s
}

// pick draws one of the samples that fit; there is one.
func pick(r *rand.Rand, c oracle.Contents, fits func(oracle.Place, string) bool) oracle.Place {
	var all []oracle.Place
	for p, v := range c {
		if fits(p, v) {
			all = append(all, p)
		}
	}
	sortPlaces(all)
	return all[r.IntN(len(all))]
}

func sortPlaces(all []oracle.Place) {
	slices.SortFunc(all, func(a, b oracle.Place) int { return strings.Compare(a.String(), b.String()) })
}

// lay fills a bucket: three weeks of some series with values of each type, at the edges of Cells too, and one field of another type each week.
func lay(r *rand.Rand, monday int64) oracle.Contents {
	c := oracle.Contents{}
	texts := []string{"x", "two words", `a "quoted" \ one`, "größer 東京", strings.Repeat("long ", 40)}
	for week := range int64(3) {
		at := monday + week*dataset.Week
		c[oracle.Place{Measurement: "types", Field: "v", Time: at + r.Int64N(dataset.Week)}] = value([]interface{}{1.0, int64(1), 0.0}[week])
		for _, host := range []string{"a", "b"} {
			tags := oracle.TagsOf(map[string]string{"host": host})
			put := func(field string, at int64, v interface{}) {
				c[oracle.Place{Measurement: "cpu", Tags: tags, Field: field, Time: at}] = value(v)
			}
			start := at + r.Int64N(dataset.Week/cell-4)*cell
			for i := range int64(3) {
				t := start + []int64{0, cell - 1, cell + r.Int64N(cell)}[i]
				put("load", t, r.NormFloat64())
				put("n", t, r.Int64()-r.Int64())
				put("ok", t, r.IntN(2) == 0)
				put("s", t, texts[r.IntN(len(texts))])
			}
			put("load", start+second, math.Copysign(0, float64(r.IntN(2))-0.5))
			put("n", start+2*second, int64(7))
			put("n", start+3*second, int64(7))
		}
		for i := range int64(2) { // no tags
			c[oracle.Place{Measurement: "room", Field: "t", Time: at + i*dataset.Day}] = value(293 + r.Float64())
		}
	}
	return c
}

// line is a sample as canonical line protocol. Names have nothing to escape, values of tags at most a quote.
func line(p oracle.Place, v string) string {
	var b strings.Builder
	b.WriteString(p.Measurement)
	for key, val := range tagsOf(p.Tags) {
		b.WriteString("," + key + "=" + val)
	}
	b.WriteString(" " + p.Field + "=")
	switch v[0] {
	case 'f':
		b.WriteString(strconv.FormatFloat(float(v), 'g', -1, 64))
	case 'i':
		fmt.Fprintf(&b, "%di", int64(bits(v)))
	case 'b':
		b.WriteString(strconv.FormatBool(bits(v) == 1))
	case 's':
		b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v[1:]) + `"`)
	}
	fmt.Fprintf(&b, " %d", p.Time)
	return b.String()
}

// tagsOf takes apart what oracle.TagsOf put together.
func tagsOf(s string) func(func(string, string) bool) {
	return func(yield func(string, string) bool) {
		next := func() string {
			n := binary.BigEndian.Uint32([]byte(s))
			out := s[4 : 4+n]
			s = s[4+n:]
			return out
		}
		for len(s) > 0 {
			if k := next(); !yield(k, next()) {
				return
			}
		}
	}
}
