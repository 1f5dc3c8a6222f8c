package matrix

import (
	"fmt"
	"math"
	"strconv"

	"influxmirror/test/oracle/dataset"
)

const second = int64(1e9)

// weeksAgo is the start of a shard group of seven days.
func (c *cell) weeksAgo(n int) int64 { return dataset.Monday(c.now) - int64(n)*dataset.Week }

// value draws a value of a type, as line protocol writes it: one of those that need care, or any.
func (c *cell) value(letter byte) string {
	pick := func(list []string) string { return list[c.rnd.IntN(len(list))] }
	care := c.rnd.IntN(4) == 0
	switch letter {
	case 'f':
		if care {
			return pick(dataset.Floats)
		}
		for {
			if v := math.Float64frombits(c.rnd.Uint64()); !math.IsNaN(v) && !math.IsInf(v, 0) {
				return strconv.FormatFloat(v, 'g', -1, 64)
			}
		}
	case 'i':
		if care {
			return pick(dataset.Integers)
		}
		return strconv.FormatInt(int64(c.rnd.Uint64()>>c.rnd.IntN(64)), 10) + "i"
	case 'u':
		if care {
			return pick(dataset.Unsigneds)
		}
		return strconv.FormatUint(c.rnd.Uint64()>>c.rnd.IntN(64), 10) + "u"
	case 'b':
		return strconv.FormatBool(c.rnd.IntN(2) == 0)
	}
	if texts := dataset.Texts[:len(dataset.Texts)-1]; care { // all but the long one
		return dataset.Text(pick(texts))
	}
	return dataset.Text(strconv.FormatUint(c.rnd.Uint64(), 36))
}

// types are those that the origin can hold, without integers without sign where signed is set.
func (c *cell) types() string {
	if c.origin.unsigned() && !c.signed {
		return "fibsu"
	}
	return "fibs"
}

// fields draws some fields, at least one, each of its own type.
func (c *cell) fields() []string { return c.fieldsOf(c.types()) }

func (c *cell) fieldsOf(types string) (fields []string) {
	for len(fields) == 0 {
		for i := range len(types) {
			if c.rnd.IntN(3) > 0 {
				fields = append(fields, "v_"+types[i:i+1], c.value(types[i]))
			}
		}
	}
	return fields
}

// history is n points of several series with all types, at any times from start on.
func (c *cell) history(measurement string, n int, start, width int64) (points []string) {
	for range n {
		var tags []string
		if s := c.rnd.IntN(5); s > 0 {
			tags = []string{"host", "h" + strconv.Itoa(s), "room", fmt.Sprintf("№ %d, left", s%2)}
		}
		points = append(points, dataset.Point(measurement, tags, c.fields(), start+c.rnd.Int64N(width)))
	}
	return points
}

// tail is n points that lead up to now, one every few seconds. The last minutes hold nothing that a target may refuse: what is refused is
// known to be so when its Cell is proven, and is tried again until then.
func (c *cell) tail(n int) (points []string) {
	for i := range n {
		types, ago := c.types(), int64(i)*7*second+c.rnd.Int64N(second)
		if ago < 3*dataset.Minute {
			types = "fibs"
		}
		points = append(points, dataset.Point("live", []string{"host", "a"}, c.fieldsOf(types), c.now-ago))
	}
	return points
}

// begin fills the origin: two weeks of history, far apart, and the present.
func (c *cell) begin() {
	c.Helper()
	points := c.history("cryo stat", 250, c.weeksAgo(9), dataset.Week)
	points = append(points, c.history("cryo stat", 250, c.weeksAgo(3), dataset.Week)...)
	points = append(points, c.history("pump", 100, c.weeksAgo(3)+dataset.Day, dataset.Hour)...)
	c.origin.load(c.T, append(points, c.tail(150)...))
}
