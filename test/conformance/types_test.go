package conformance

import (
	"fmt"
	"strings"
	"time"
)

// mixed is a bucket in which the field v is of another type each day.
func mixed(c *scene, name string) string {
	b := c.bucket(name, day)
	c.write(b, strings.Join([]string{"mix v=1i 10", "mix v=2.5 " + at(day, 10), `mix v="str" ` + at(2*day, 10), "mix v=true " + at(3*day, 10),
		"only v=1 7", "late w=1 " + at(3*day, 1), `sb v="x" ` + at(0, 1), "sb v=true " + at(day, 1), `ib v=true 1`, "ib v=7i " + at(day, 1)}, "\n"))
	return b
}

var typeCases = []testCase{
	{"fact 1, 10: a field of several types", both, func(c *scene) {
		b := mixed(c, "mixed")
		c.want(c.query(b, "SELECT v FROM mix"), "[0 mix[time v] (10i 1f; 86400000000010i 2.5f)]")
		c.want(c.query(b, "SELECT count(v::float),count(v::integer),count(v::string),count(v::boolean),count(v::unsigned) FROM mix"), "[0 mix[time count count_1 count_2 count_3 count_4] (0i 2i 2i 1i 1i 2i)]")
		for _, m := range []string{"mix", "sb", "ib"} {
			for _, cast := range []string{"float", "integer", "unsigned", "string", "boolean", "field"} {
				for _, q := range []string{"SELECT v::%s FROM %s", "SELECT count(v::%s) FROM %s", "SELECT first(v::%s), last(v::%[1]s) FROM %s", "EXPLAIN SELECT v::%s FROM %s", "EXPLAIN ANALYZE SELECT v::%s FROM %s"} {
					q = fmt.Sprintf(q, cast, m)
					if strings.HasPrefix(q, "EXPLAIN ANALYZE") {
						continue // shard numbers; see fact 3
					}
					c.query(b, q)
				}
			}
			for _, q := range []string{"SELECT *::field FROM %s GROUP BY *", "SELECT *::field,*::tag FROM %s", "SELECT count(*::field),first(*::field) FROM %s", "SELECT sum(*::field) FROM %s", "EXPLAIN SELECT *::field FROM %s"} {
				c.query(b, fmt.Sprintf(q, m))
			}
		}
		c.query(b, "SHOW FIELD KEYS")
	}},
	{"fact 2: one shard group is exact", both, func(c *scene) {
		b := mixed(c, "exact")
		for d, want := range []string{"(10i 1i)", "(86400000000010i 2.5f)", `(172800000000010i "str")`, "(259200000000010i true)"} {
			got := c.query(b, fmt.Sprintf("SELECT *::field FROM mix WHERE time >= %s AND time < %s GROUP BY *", at(time.Duration(d)*day, 0), at(time.Duration(d+1)*day, 0)))
			c.want(got, "[0 mix[time v] "+want+"]")
		}
	}},
	{"fact 2: the duration says how new groups are cut", not16, func(c *scene) {
		b := mixed(c, "recut")
		id := ""
		for _, n := range c.names {
			if n[1] == "bucket "+b {
				id = n[0]
			}
		}
		if c.v1 {
			c.query(b, `ALTER RETENTION POLICY autogen ON "`+b+`" SHARD DURATION 7d`)
		} else {
			status, _, _ := c.send("PATCH", "/api/v2/buckets/"+id, "", nil, `{"retentionRules":[{"type":"expire","everySeconds":0,"shardGroupDurationSeconds":604800}]}`)
			c.want(fmt.Sprint(status), "200")
		}
		c.write(b, "mix v=9i "+at(5*day, 0)+"\nmix v=8i "+at(8*day, 0)+"\nmix v=7i -1")
		week := "time >= " + at(-3*day, 0) + " AND time < " + at(4*day, 0)
		c.query(b, "SELECT *::field FROM mix WHERE "+week+" GROUP BY *")
		c.want(c.query(b, "SELECT count(*::field) FROM mix WHERE "+week), "[0 mix[time count_v] (-259200000000000i 3i)]")
		for d := range 14 {
			c.query(b, fmt.Sprintf("EXPLAIN SELECT *::field FROM mix WHERE time >= %s AND time < %s", at(time.Duration(d-4)*day, 0), at(time.Duration(d-3)*day, 0)))
		}
		c.query(b, "EXPLAIN SELECT *::field FROM mix")
	}},
	{"fact 3: EXPLAIN", both, func(c *scene) {
		b := mixed(c, "explain")
		for _, q := range []string{"EXPLAIN SELECT *::field FROM only", "EXPLAIN SELECT *::field FROM only WHERE time >= 0 AND time < " + at(10*day, 0), "EXPLAIN SELECT *::field FROM only WHERE time >= " + at(day, 0) + " AND time < " + at(10*day, 0),
			"EXPLAIN SELECT *::field FROM only WHERE time >= " + at(100*day, 0) + " AND time < " + at(101*day, 0), "EXPLAIN SELECT *::field FROM nosuch", "EXPLAIN SELECT count(*::field) FROM mix", // of several functions a real server sometimes forgets one
			"EXPLAIN SELECT v, w FROM late", "EXPLAIN SELECT nope FROM late", "EXPLAIN SELECT *::field,*::tag FROM only", `EXPLAIN SELECT *::field FROM _series`, "EXPLAIN SELECT *::field FROM _tags"} {
			c.query(b, q)
		}
		empty := c.query(b, "EXPLAIN SELECT *::field FROM nosuch")
		c.want(empty, `[0 <nil>[QUERY PLAN] ("")]`)
		all := scape(c, "explained")
		for _, q := range []string{"EXPLAIN SELECT *::field FROM c", "EXPLAIN SELECT *::field FROM c WHERE time >= 0 AND time < " + at(day, 0), "EXPLAIN SELECT *::field,*::tag FROM c", "EXPLAIN SELECT *::field FROM t GROUP BY *",
			`EXPLAIN SELECT *::field FROM "\"q 'm"`, "EXPLAIN SELECT *::field FROM c WHERE time >= " + at(day, 0) + " AND time < " + at(2*day, 0)} {
			c.query(all, q)
		}
	}},
	{"fact 3: EXPLAIN ANALYZE tells the shards", both, func(c *scene) {
		b := mixed(c, "analyze")
		for i, id := range shards(c, b) {
			c.call("shard "+id, fmt.Sprint("shard #", i))
		}
		for _, q := range []string{"EXPLAIN ANALYZE SELECT *::field FROM mix", "EXPLAIN ANALYZE SELECT *::field FROM only", "EXPLAIN ANALYZE SELECT *::field FROM late WHERE time >= 0 AND time < " + at(10*day, 0), "EXPLAIN ANALYZE SELECT *::field FROM nosuch",
			"EXPLAIN ANALYZE SELECT count(*::field) FROM mix", "EXPLAIN ANALYZE SELECT v::string FROM mix", "EXPLAIN ANALYZE SELECT nope FROM mix"} {
			c.query(b, q)
		}
		c.want(c.query(b, "EXPLAIN ANALYZE SELECT *::field FROM only"), "[0 <nil>[EXPLAIN ANALYZE] (only in <shard #0>)]")
	}},
}
