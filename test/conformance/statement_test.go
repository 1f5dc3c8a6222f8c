package conformance

import (
	"fmt"
	"net/url"
	"strings"
)

var statementCases = []testCase{
	{"fact 7: an error in the middle", not16, func(c *scene) {
		b := scape(c, "middle")
		for _, q := range []string{"SELECT v FROM c LIMIT 1; SELECT sum(s) FROM t; SHOW DATABASES; SELECT v FROM c LIMIT 1", "SELECT v FROM c LIMIT 1; SELECT v FROM _series; SHOW DATABASES",
			"SELECT sum(s) FROM t", "SELECT v FROM c LIMIT 1; SELECT v FROM nosuch; SHOW MEASUREMENTS", "SELECT v FROM c LIMIT 1; SELECT sum(s) FROM t"} {
			c.query(b, q)
			c.queryAs("", "json", b, q, url.Values{"chunked": {"true"}})
			c.queryAs("", "msgpack", b, q, nil)
		}
	}},
	{"fact 7: many statements", both, func(c *scene) {
		b := scape(c, "several")
		c.query(b, strings.Repeat("SELECT count(*::field) FROM c; EXPLAIN SELECT *::field FROM t; ", 200)+"SHOW MEASUREMENTS")
	}},
	{"errors of whole requests", both, func(c *scene) {
		b := scape(c, "wrong")
		for _, q := range []string{"SELEC", "SELECT FROM c", "SHOW DATABASES; SELEC", ""} {
			c.query(b, q)
		}
	}},
	{"fact 8: unknown databases", both, func(c *scene) {
		for _, q := range []string{"SELECT v FROM c", "EXPLAIN SELECT v FROM c", "EXPLAIN ANALYZE SELECT v FROM c", "SHOW MEASUREMENTS", "SHOW FIELD KEYS", "SHOW TAG KEYS", "SHOW SERIES", "SHOW RETENTION POLICIES", `SHOW TAG VALUES WITH KEY = "a"`} {
			c.query("no such", q)
		}
		c.want(c.query("no such", "SHOW MEASUREMENTS"), "[0]")
		c.want(c.query("no such", "SELECT v FROM c"), "[? error database not found: no such]")
		for _, q := range []string{"SELECT v FROM c", "SHOW MEASUREMENTS", "SHOW FIELD KEYS"} {
			c.query("", q)
		}
	}},
	{"fact 14: system measurements", both, func(c *scene) {
		b := c.bucket("system", day)
		for _, m := range []string{"_series", "_tags", "_tagKeys", "_fieldKeys", "_measurements", "_name", "_tagKey", "_tagValues", "_other"} {
			c.write(b, m+" v=1 1")
			c.query(b, "SELECT v FROM "+m)
			c.query(b, "SELECT count(v) FROM "+m)
		}
		c.query(b, "SHOW MEASUREMENTS")
	}},
	{"fact 13: what 2.x lacks", only2, func(c *scene) {
		b := scape(c, "lacks")
		for _, q := range []string{"SHOW SHARDS", "SHOW STATS", "SHOW DIAGNOSTICS", "SHOW SERIES CARDINALITY"} {
			c.query(b, q)
		}
	}},
	{"fact 13: SHOW SHARDS", only1, func(c *scene) {
		b := mixed(c, "shown")
		c.write(b, "m v=1 -1\nm v=2 "+greatest)
		ids := shards(c, b)
		if len(ids) != 6 {
			c.Errorf("%s: shards %v", c.name, ids)
		}
		c.query(b, `SHOW RETENTION POLICIES`)
		c.query("", fmt.Sprintf("SHOW RETENTION POLICIES ON %q", b))
	}},
	{"fact 1.x: databases and policies", only1, func(c *scene) {
		for _, q := range []string{`CREATE DATABASE made WITH DURATION INF REPLICATION 1 SHARD DURATION 2d NAME keep`, `SHOW RETENTION POLICIES ON made`, `CREATE RETENTION POLICY other ON made DURATION 30d REPLICATION 1 DEFAULT`, `SHOW RETENTION POLICIES ON made`,
			`CREATE DATABASE made`, `CREATE DATABASE plain`, `SHOW RETENTION POLICIES ON plain`, `ALTER RETENTION POLICY keep ON made DEFAULT`, `SHOW RETENTION POLICIES ON made`} {
			c.query("", q)
		}
		c.write("made", "m v=1 1")
		c.query("made", "SELECT v FROM m")
		c.query("made", "SELECT v FROM made.keep.m")
		c.query("made", "SELECT v FROM made.other.m")
		c.query("made", "SELECT v FROM made.nope.m")
		c.query("made", "SELECT v FROM keep.m")
	}},
}
