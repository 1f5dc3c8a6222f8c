package e2e

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"influxmirror/test/servers"
)

const (
	minute = int64(60e9)
	hour   = 60 * minute
	day    = 24 * hour
	week   = 7 * day
)

// point writes one line of line protocol. tags and fields are key, value, key, value; a field's value is already in line protocol.
func point(measurement string, tags, fields []string, at int64) string {
	var b strings.Builder
	b.WriteString(escaped(measurement, ", "))
	for i := 0; i < len(tags); i += 2 {
		b.WriteString("," + escaped(tags[i], ",= ") + "=" + escaped(tags[i+1], ",= "))
	}
	for i := 0; i < len(fields); i += 2 {
		b.WriteString([]string{" ", ","}[min(i, 1)] + escaped(fields[i], ",= ") + "=" + fields[i+1])
	}
	b.WriteString(" " + strconv.FormatInt(at, 10) + "\n")
	return b.String()
}

func escaped(s, special string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func text(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

// load writes points in requests of a fair size.
func load(s *servers.Server, bucket string, points []string) {
	for len(points) > 0 {
		n, size := 0, 0
		for n < len(points) && size < 2<<20 {
			size += len(points[n])
			n++
		}
		body := strings.Join(points[:n], "")
		// A busy server takes more than its ten seconds to make many shard groups; what it was asked goes on meanwhile.
		for try := 0; ; try++ {
			a, err := s.Do("POST", "/api/v2/write?org="+s.Org+"&bucket="+url.QueryEscape(bucket), body)
			if err == nil && a.Status == 204 {
				break
			}
			if try == 5 || a.Status != 500 || !strings.Contains(string(a.Body), "timeout") {
				panic(fmt.Sprintf("write: %d %s %v", a.Status, a.Body, err))
			}
		}
		points = points[n:]
	}
}

// groupDuration changes how a bucket cuts new shard groups.
func groupDuration(t testing.TB, s *servers.Server, id string, d time.Duration) {
	t.Helper()
	body := fmt.Sprintf(`{"retentionRules":[{"type":"expire","everySeconds":0,"shardGroupDurationSeconds":%d}]}`, d/time.Second)
	if a, err := s.Do("PATCH", "/api/v2/buckets/"+id, body, "Content-Type", "application/json"); err != nil || a.Status != 200 {
		t.Fatalf("patch bucket: %d %s %v", a.Status, a.Body, err)
	}
}

// monday is the start of the shard group of seven days that holds t.
func monday(t int64) int64 {
	const offset = 4 * day // 1970-01-01 was a Thursday
	return t - (t-offset)%week
}

var (
	floats    = []string{"0", "-0", "1", "1e308", "-1.7976931348623157e308", "5e-324", "-5e-324", "2.2250738585072009e-308", "0.1", "0.30000000000000004", "9007199254740993", "123456789.12345678"}
	integers  = []string{"0i", "1i", "-1i", "127i", "128i", "-128i", "255i", "65536i", "9007199254740993i", "9223372036854775807i", "-9223372036854775808i"}
	unsigneds = []string{"0u", "5u", "127u", "128u", "256u", "65536u", "9223372036854775807u", "9223372036854775808u", "18446744073709551615u"}
	texts     = []string{"", " ", `"`, `\`, `\\`, `a\"b`, "\n", "\r\n", "a\rb", "tab\there", "snow ☃ 🛰️", "\xff\xfe", "cut \xe2\x82", "nul \x00 end", "a,b=c d", "# no comment", strings.Repeat("long ", 20_000)}
	names     = []string{"two words", "comma,s", "equals=sign", `quo"te`, "apo'strophe", `back\slash`, "ünïcode ☃", "semi;colon", "$dollar", "a::b", "123", "_x", "select", "time_x", "tab\tbed", "%s%d"}
)

// A torture is a bucket that holds everything a server lets one write.
type torture struct {
	now    int64
	mixed  int64 // a week whose groups were cut by day, and by seven days afterwards
	shifty int64 // the first of five weeks in which a field changes its type
}

func newTorture() torture {
	now := time.Now().UnixNano()
	return torture{now: now, mixed: monday(now) - 30*week, shifty: monday(now) - 20*week}
}

// byDay is what is written while the bucket cuts groups by day: one field, another type each day. seedsOnly leaves one point a day,
// enough to make a target cut its groups alike.
func (w torture) byDay(seedsOnly bool) (points []string) {
	values := []string{"7i", "7.5", `"seven"`, "true", "7u"}
	for d, v := range values {
		for i := range 100 {
			points = append(points, point("mixed", []string{"k", "v"}, []string{"v", v, "n", strconv.Itoa(i) + "i"}, w.mixed+int64(d)*day+int64(i)*7*minute))
			if seedsOnly {
				break
			}
		}
	}
	return points
}

// points are all the others.
func (w torture) points() (points []string) {
	add := func(measurement string, tags, fields []string, at int64) {
		points = append(points, point(measurement, tags, fields, at))
	}
	base := monday(w.now) - 3*week
	// Values.
	for i := range 40 {
		at := base + int64(i)*minute
		add("types", []string{"n", strconv.Itoa(i % 3)}, []string{"f", floats[i%len(floats)], "i", integers[i%len(integers)], "u", unsigneds[i%len(unsigneds)],
			"b", []string{"true", "false"}[i%2], "s", text(texts[i%len(texts)])}, at+int64(i))
	}
	// Names: each as a measurement, a tag's key and value, a field.
	for i, n := range names {
		o := names[(i+1)%len(names)]
		add(n, []string{n, o}, []string{n, "1i", o, text(n)}, base+int64(i)) // a field and a tag of one name
		add("names", []string{n, o, "plain", n}, []string{"v", "1i"}, base+int64(i))
		add("names", []string{"plain", n}, []string{n, floats[i%len(floats)]}, base+int64(i))
	}
	add("names", []string{"raw", "\xff\xfe"}, []string{"v", "2i"}, base)
	add("clash", []string{"x", "t", "x_1", "t1", "time_1", "z"}, []string{"x", "1", "x_1", "2i", "x_2", "3u"}, base)
	add("clash", []string{"x", "t"}, []string{"x", "4"}, base)
	add("clash", nil, []string{"x", "5", "x_1", "6i"}, base)
	// Sparse and wide rows.
	for i := range 1500 {
		f := []string{}
		for k := range 1 + i%3 {
			f = append(f, fmt.Sprintf("f%02d", (i*7+k*13)%40), strconv.Itoa(i)+"i")
		}
		add("sparse", []string{"h", strconv.Itoa(i % 5)}, f, base+int64(i)*11*minute/7)
	}
	for i := range 40 {
		f := []string{}
		for k := range 250 {
			f = append(f, fmt.Sprintf("column %03d", k), []string{"1.5", "2i", "true", `"x"`, "3u"}[k%5])
		}
		add("wide", []string{"row", strconv.Itoa(i % 2)}, f, base+int64(i)*hour)
	}
	// Many series, many measurements, many points at one instant.
	for i := range 20_000 {
		add("series", []string{"id", strconv.Itoa(i), "room", strconv.Itoa(i % 40)}, []string{"v", strconv.Itoa(i) + "i"}, base+int64(i%1000)*minute)
	}
	for i := range 300 {
		for k := range 4 {
			add(fmt.Sprintf("measurement %03d", i), []string{"k", strconv.Itoa(k)}, []string{"v", fmt.Sprintf("%d.25", i)}, base+int64(k)*2*day+int64(i))
		}
	}
	for i := range 3000 {
		add("instant", []string{"i", strconv.Itoa(i)}, []string{"v", strconv.Itoa(i) + "i", "w", "0.5"}, base+12*hour)
	}
	// The ends of the axis and what lies near them; around 1970.
	for _, at := range []int64{axisStart, axisStart + 1, axisStart + hour, axisStart + week, -week, -1, 0, 1, axisStop - 2*week, axisStop - hour, axisStop - 1, axisStop} {
		add("axis", []string{"k", "v"}, []string{"v", strconv.FormatInt(at, 10) + "i", "s", text("at the end")}, at)
	}
	// A field that changes its type from week to week, and one that only some weeks have.
	for i, v := range []string{"7i", "7.5", `"seven"`, "true", "7u"} {
		for k := range 50 {
			at := w.shifty + int64(i)*week + int64(k)*3*hour
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
	for i, ahead := range []int64{20 * int64(time.Second), hour, day, 40 * week, 30 * 52 * week} {
		add("future", nil, []string{"v", strconv.Itoa(i) + "i"}, w.now+ahead)
	}
	if len(points) < 20_000 || len(points) > 100_000 {
		panic("the data set changed its size")
	}
	return points
}

// fill writes the torture bucket, and cuts the target's groups in the mixed week like the source's.
func (w torture) fill(s *scene) {
	for _, e := range []struct {
		server *servers.Server
		id     string
		seeds  bool
	}{{s.src, s.srcID, false}, {s.dst, s.dstID, true}} {
		groupDuration(s.t, e.server, e.id, 24*time.Hour)
		load(e.server, s.bucket, w.byDay(e.seeds))
		groupDuration(s.t, e.server, e.id, 7*24*time.Hour)
	}
	load(s.src, s.bucket, w.points())
	// The rest of the mixed week, in a group of what is left of the seven days.
	var late []string
	for i := range 50 {
		late = append(late, point("mixed", []string{"k", "v"}, []string{"v", "-0.5", "n", strconv.Itoa(i) + "i"}, w.mixed+5*day+int64(i)*50*minute))
	}
	load(s.src, s.bucket, late)
}
