package dataset

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"influxmirror/test/oracle"
)

// Values of each type as line protocol writes them, texts raw, and names that need care. No server refuses any of them; 1.x takes no Unsigneds.
var (
	Floats    = []string{"0", "-0", "1", "1e308", "-1.7976931348623157e308", "5e-324", "-5e-324", "2.2250738585072009e-308", "0.1", "0.30000000000000004", "9007199254740993", "123456789.12345678"}
	Integers  = []string{"0i", "1i", "-1i", "127i", "128i", "-128i", "255i", "65536i", "9007199254740993i", "9223372036854775807i", "-9223372036854775808i"}
	Unsigneds = []string{"0u", "5u", "127u", "128u", "256u", "65536u", "9223372036854775807u", "9223372036854775808u", "18446744073709551615u"}
	Texts     = []string{"", " ", `"`, `\`, `\\`, `a\"b`, "\n", "\r\n", "a\rb", "tab\there", "snow ☃ 🛰️", "\xff\xfe", "cut \xe2\x82", "nul \x00 end", "a,b=c d", "# no comment", strings.Repeat("long ", 20_000)}
	Names     = []string{"two words", "comma,s", "equals=sign", `quo"te`, "apo'strophe", `back\slash`, "ünïcode ☃", "semi;colon", "$dollar", "a::b", "123", "_x", "select", "time_x", "tab\tbed", "%s%d"}
)

// A Torture is a bucket that holds everything a server lets one write.
type Torture struct {
	now    int64
	mixed  int64 // a week whose groups were cut by Day, and by seven days afterwards
	shifty int64 // the first of five weeks in which a field changes its type
	few    int   // by how much there is less of what is only many
}

// NewTorture sets the scene around the present.
func NewTorture() Torture {
	now := time.Now().UnixNano()
	return Torture{now: now, mixed: Monday(now) - 30*Week, shifty: Monday(now) - 20*Week, few: 1}
}

// Light returns the same with a tenth of what is there only to be many.
func (w Torture) Light() Torture {
	w.few = 10
	return w
}

// ByDay is what is written while the bucket cuts groups by day: one field, another type each day. seedsOnly leaves one point a Day,
// enough to make a target cut its groups alike.
func (w Torture) ByDay(seedsOnly bool) (points []string) {
	values := []string{"7i", "7.5", `"seven"`, "true", "7u"}
	for d, v := range values {
		for i := range 100 {
			points = append(points, Point("mixed", []string{"k", "v"}, []string{"v", v, "n", strconv.Itoa(i) + "i"}, w.mixed+int64(d)*Day+int64(i)*7*Minute))
			if seedsOnly {
				break
			}
		}
	}
	return points
}

// Points are all the others.
func (w Torture) Points() (points []string) {
	add := func(measurement string, tags, fields []string, at int64) {
		points = append(points, Point(measurement, tags, fields, at))
	}
	base := Monday(w.now) - 3*Week
	// Values.
	for i := range 40 {
		at := base + int64(i)*Minute
		add("types", []string{"n", strconv.Itoa(i % 3)}, []string{"f", Floats[i%len(Floats)], "i", Integers[i%len(Integers)], "u", Unsigneds[i%len(Unsigneds)],
			"b", []string{"true", "false"}[i%2], "s", Text(Texts[i%len(Texts)])}, at+int64(i))
	}
	// Names: each as a measurement, a tag's key and value, a field.
	for i, n := range Names {
		o := Names[(i+1)%len(Names)]
		add(n, []string{n, o}, []string{n, "1i", o, Text(n)}, base+int64(i)) // a field and a tag of one name
		add("names", []string{n, o, "plain", n}, []string{"v", "1i"}, base+int64(i))
		add("names", []string{"plain", n}, []string{n, Floats[i%len(Floats)]}, base+int64(i))
	}
	add("names", []string{"raw", "\xff\xfe"}, []string{"v", "2i"}, base)
	add("clash", []string{"x", "t", "x_1", "t1", "time_1", "z"}, []string{"x", "1", "x_1", "2i", "x_2", "3u"}, base)
	add("clash", []string{"x", "t"}, []string{"x", "4"}, base)
	add("clash", nil, []string{"x", "5", "x_1", "6i"}, base)
	// Sparse and wide rows.
	for i := range 1500 / w.few {
		f := []string{}
		for k := range 1 + i%3 {
			f = append(f, fmt.Sprintf("f%02d", (i*7+k*13)%40), strconv.Itoa(i)+"i")
		}
		add("sparse", []string{"h", strconv.Itoa(i % 5)}, f, base+int64(i)*11*Minute/7)
	}
	for i := range 40 {
		f := []string{}
		for k := range 250 {
			f = append(f, fmt.Sprintf("column %03d", k), []string{"1.5", "2i", "true", `"x"`, "3u"}[k%5])
		}
		add("wide", []string{"row", strconv.Itoa(i % 2)}, f, base+int64(i)*Hour)
	}
	// Many series, many measurements, many points at one instant.
	for i := range 20_000 / w.few {
		add("series", []string{"id", strconv.Itoa(i), "room", strconv.Itoa(i % 40)}, []string{"v", strconv.Itoa(i) + "i"}, base+int64(i%1000)*Minute)
	}
	for i := range 300 / w.few {
		for k := range 4 {
			add(fmt.Sprintf("measurement %03d", i), []string{"k", strconv.Itoa(k)}, []string{"v", fmt.Sprintf("%d.25", i)}, base+int64(k)*2*Day+int64(i))
		}
	}
	for i := range 3000 / w.few {
		add("instant", []string{"i", strconv.Itoa(i)}, []string{"v", strconv.Itoa(i) + "i", "w", "0.5"}, base+12*Hour)
	}
	// The ends of the axis and what lies near them; around 1970.
	for _, at := range []int64{oracle.AxisStart, oracle.AxisStart + 1, oracle.AxisStart + Hour, oracle.AxisStart + Week, -Week, -1, 0, 1, oracle.AxisStop - 2*Week, oracle.AxisStop - Hour, oracle.AxisStop - 1, oracle.AxisStop} {
		add("axis", []string{"k", "v"}, []string{"v", strconv.FormatInt(at, 10) + "i", "s", Text("at the end")}, at)
	}
	// A field that changes its type from week to week, and one that only some weeks have.
	for i, v := range []string{"7i", "7.5", `"seven"`, "true", "7u"} {
		for k := range 50 {
			at := w.shifty + int64(i)*Week + int64(k)*3*Hour
			add("shifty", []string{"k", strconv.Itoa(k % 2)}, []string{"v", v, "n", strconv.Itoa(k) + "i", fmt.Sprintf("only%d", i), v}, at)
		}
	}
	// One field name, two types, one shard: a read of both measurements at once would convert one.
	add("one", nil, []string{"v", "9223372036854775807i"}, base)
	add("other", nil, []string{"v", "1.5"}, base)
	// The live week, up to now, and the future.
	for i := range 700 {
		add("live", []string{"host", "h" + strconv.Itoa(i%2)}, []string{"v", strconv.Itoa(i), "up", "true"}, w.now-int64(i)*10*int64(time.Second))
	}
	for i, ahead := range []int64{20 * int64(time.Second), Hour, Day, 40 * Week, 30 * 52 * Week} {
		add("future", nil, []string{"v", strconv.Itoa(i) + "i"}, w.now+ahead)
	}
	if n := len(points) * w.few; n < 20_000 || n > 100_000 {
		panic("the data set changed its size")
	}
	return points
}

// Late is the rest of the mixed week, to be written when the bucket cuts by seven days again: a group of what is left of them.
func (w Torture) Late() (points []string) {
	for i := range 50 {
		points = append(points, Point("mixed", []string{"k", "v"}, []string{"v", "-0.5", "n", strconv.Itoa(i) + "i"}, w.mixed+5*Day+int64(i)*50*Minute))
	}
	return points
}
