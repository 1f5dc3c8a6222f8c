package conformance

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/test/servers"
)

var seeds = flag.Int("seeds", 12, "how many random histories to run")

// TestRandom writes random points and asks random questions. A seed always gives the same history; one that failed is kept by making it a case.
func TestRandom(t *testing.T) {
	for _, kind := range []servers.Kind{servers.V2, servers.V1, servers.V16} {
		v1, version := kind.Old(), influxtest.V2
		if v1 {
			version = influxtest.V1
		}
		t.Run(kind.String(), func(t *testing.T) {
			real := genuine(servers.Start(t, kind))
			memory := influxtest.NewServer(influxtest.Options{Version: version})
			t.Cleanup(memory.Close)
			for seed := range *seeds {
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					a, b := &scene{T: t, server: real}, &scene{T: t, server: double(memory, v1)}
					for _, c := range []*scene{a, b} {
						history(c, seed, kind == servers.V16)
					}
					if kind == servers.V16 {
						a.seen, b.seen = modern(a.seen), modern(b.seen)
					}
					compare(t, a.seen, b.seen)
				})
			}
		})
	}
}

const maxTime = 9223372036854775806

// drop removes a bucket: a server runs out of files with some two thousand shards.
func (c *scene) drop(b string) {
	if c.v1 {
		c.query(b, fmt.Sprintf("DROP DATABASE %q", b))
		return
	}
	for _, n := range c.names {
		if n[1] == "bucket "+b {
			c.send("DELETE", "/api/v2/buckets/"+n[0], "", nil, "")
		}
	}
}

// A dice decides what a history does.
type dice struct {
	*rand.Rand
	calm bool
}

func pick[T any](d dice, from ...T) T { return from[d.IntN(len(from))] }

// history is a bucket with one random life. A calm one has no conflicts of types and no altered durations, of which 1.6.7 makes something else.
func history(c *scene, seed int, calm bool) {
	d := dice{rand.New(rand.NewPCG(uint64(seed), 7)), calm}
	name := fmt.Sprint("random", seed)
	b := c.bucket(name, pick(d, time.Hour, day, week, 30*time.Hour))
	defer c.drop(b)
	for range 3 + d.IntN(5) {
		for range d.IntN(8) {
			// One shard group a request: a server writes several at a time and answers with the refusal it sees first, before the others are done.
			var lines []string
			hour := d.time()
			for range 1 + d.IntN(12) {
				lines = append(lines, fmt.Sprint(d.line(c.v1), " ", min(hour+int64(d.IntN(3)), maxTime)))
			}
			c.write(b, strings.Join(lines, "\n"))
		}
		for range 12 {
			c.query(b, d.question())
		}
		if d.IntN(3) == 0 && !calm {
			shards := pick(d, time.Hour, 36*time.Hour, week)
			if c.v1 {
				c.query(b, fmt.Sprintf("ALTER RETENTION POLICY autogen ON %q SHARD DURATION %s", b, shards))
			} else {
				for _, n := range c.names {
					if n[1] == "bucket "+b {
						c.send("PATCH", "/api/v2/buckets/"+n[0], "", nil, fmt.Sprintf(`{"retentionRules":[{"type":"expire","everySeconds":0,"shardGroupDurationSeconds":%d}]}`, int(shards.Seconds())))
					}
				}
			}
		}
	}
}

func (d dice) time() int64 {
	switch d.IntN(12) {
	case 0:
		return pick[int64](d, -9223372036854775806, -9223372036854775805, -9223372036854700000, -9223286400000000000, 9223372036854775806, 9223372036854775805, 9223372036854000000, 0, 1)
	case 1:
		return int64(d.IntN(400)-200) * int64(day)
	default:
		return int64(d.IntN(12)-6)*int64(day) + int64(d.IntN(24))*int64(time.Hour) + int64(d.IntN(3))
	}
}

func (d dice) line(v1 bool) string {
	var tags string
	for _, k := range []string{"a", "b", "v"} {
		if d.IntN(3) == 0 {
			tags += fmt.Sprintf(",%s=%d", k, d.IntN(3))
		}
	}
	var fields []string
	for _, k := range []string{"v", "w", "x", "a"} {
		if d.IntN(2) == 0 {
			fields = append(fields, k+"="+d.value(k, v1))
		}
	}
	if fields == nil {
		fields = []string{"z=1"}
	}
	return fmt.Sprintf("m%d%s %s", d.IntN(3), tags, strings.Join(fields, ","))
}

// value mostly has the field's usual type.
func (d dice) value(key string, v1 bool) string {
	usual := map[string]int{"v": 0, "w": 1, "x": 2, "a": 3}[key]
	if d.IntN(6) == 0 && !d.calm {
		usual = d.IntN(5)
	}
	switch usual {
	case 0:
		return fmt.Sprint(float64(d.IntN(41)-20) / 2)
	case 1:
		return fmt.Sprint(d.IntN(2001)-1000, "i")
	case 2:
		return fmt.Sprintf("%q", pick(d, "", "x", "y z", "zz"))
	case 3:
		return pick(d, "true", "false")
	}
	if v1 {
		return "1i"
	}
	return fmt.Sprint(d.IntN(300), "u")
}

func (d dice) where() string {
	var conds []string
	switch d.IntN(5) {
	case 0:
	case 1:
		conds = append(conds, "time >= "+least+" AND time <= "+greatest)
	case 2:
		conds = append(conds, fmt.Sprintf("time >= %d", d.time()))
	default:
		from := int64(d.IntN(14)-7) * int64(day)
		conds = append(conds, fmt.Sprintf("time >= %d AND time < %d", from, from+pick(d, int64(time.Hour), int64(day), int64(3*day), int64(week))))
	}
	if d.IntN(4) == 0 {
		conds = append(conds, fmt.Sprintf("%s %s '%s'", pick(d, "a::tag", "b", "nope::tag"), pick(d, "=", "!="), pick(d, "", "0", "1")))
	}
	if conds == nil {
		return ""
	}
	return " WHERE " + strings.Join(conds, " AND ")
}

func (d dice) question() string {
	m := fmt.Sprintf(" FROM m%d", d.IntN(3))
	switch d.IntN(9) {
	case 0:
		return "SELECT *::field" + m + d.where() + " GROUP BY *" + pick(d, "", " ORDER BY time DESC", " LIMIT 2", " LIMIT 1 OFFSET 1")
	case 1:
		return "SELECT *::field,*::tag" + m + d.where()
	case 2:
		return fmt.Sprintf("SELECT %s::%s", pick(d, "v", "w", "x", "a"), pick(d, "float", "integer", "string", "boolean", "field")) + m + d.where()
	case 3:
		return pick(d, "SHOW FIELD KEYS", "SHOW TAG KEYS", "SHOW SERIES", "SHOW MEASUREMENTS")
	case 4:
		return "EXPLAIN SELECT *::field" + m + d.where()
	case 5:
		return fmt.Sprintf("SELECT count(%s::%s)", pick(d, "v", "w", "x", "a"), pick(d, "float", "integer", "string", "boolean")) + m + d.where() + pick(d, "", " GROUP BY *", " GROUP BY a")
	case 6:
		return "SELECT " + pick(d, "count(*::field)", "sum(*::field)", "min(*::field)", "max(*::field)", "count(*::field),sum(*::field)") + m + d.where() + pick(d, "", " GROUP BY *", " GROUP BY b")
	case 7:
		// Of several series with a value at the first or last time, servers take whichever they read first.
		return fmt.Sprintf("SELECT %s(%s)", pick(d, "count", "first", "last", "max"), pick(d, "v", "w", "a::field", "*::field")) + m + d.where() + " GROUP BY *"
	}
	function, tags := pick(d, "count(*::field)", "sum(*::field)", "max(*::field)"), pick(d, "", ",a", ",*")
	if tags == ",*" {
		function = "count(*::field),sum(*::field),first(*::field),last(*::field)"
	}
	by := pick(d, "1h", "1d", "7d", "7d,-3d", "7d,4d", "1d,12h", "13h,1h")
	span := "time >= " + least + " AND time <= " + greatest
	if d.IntN(2) == 0 {
		from := int64(d.IntN(14)-7) * int64(day)
		span = fmt.Sprintf("time >= %d AND time < %d", from, from+pick(d, int64(day), int64(week), 50*int64(day)))
	}
	return fmt.Sprintf("SELECT %s%s WHERE %s GROUP BY time(%s)%s fill(none)", function, m, span, by, tags)
}
