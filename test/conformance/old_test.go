package conformance

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// oldCases are what the client relies on of servers of the 1.x line.
var oldCases = []testCase{
	{"1.x: a bucket is a database and a policy", only1, func(c *scene) {
		b := c.bucket("policies", day)
		c.createBucket(b+"/other", 0, week)
		c.write(b, "m,t=a v=1 1\nonly_a v=1 1\nm,t=a v=2 "+at(day, 1))
		c.writeTo(b, "other", "m,t=a,u=b v=\"x\",z=1i 1\nonly_b v=true 1")
		c.writeTo(b, "nosuch", "m v=1 1")
		for _, rp := range []string{"", "autogen", "other"} {
			for _, q := range []string{"SELECT *::field FROM m GROUP BY *", "SELECT *::field, *::tag FROM m", "SELECT count(*::field) FROM m", "SELECT count(*::field) FROM only_b", "EXPLAIN SELECT *::field FROM m",
				"EXPLAIN SELECT *::field, *::tag FROM m WHERE time >= 0 AND time < 10", "EXPLAIN SELECT *::field FROM only_b", "SHOW FIELD KEYS", "SHOW FIELD KEYS FROM m", "SHOW MEASUREMENTS", "SHOW TAG KEYS", "SHOW RETENTION POLICIES ON policies"} {
				for _, format := range []string{"json", "msgpack"} {
					c.queryAs("", format, b, q, url.Values{"rp": {rp}, "chunked": {"true"}})
				}
			}
		}
		// A policy that is not there is said by all that read one.
		for _, q := range []string{"SELECT *::field FROM m", "EXPLAIN SELECT *::field FROM m", "SHOW FIELD KEYS"} {
			c.want(c.queryAs("", "msgpack", b, q, url.Values{"rp": {"nosuch"}}), "[? error retention policy not found: nosuch]")
		}
		c.want(c.queryAs("", "msgpack", b, "SELECT count(*::field) FROM m", url.Values{"rp": {"other"}}), "[0 m[time count_v count_z] (0i 1i 1i)]")
		c.want(c.queryAs("", "msgpack", b, "SHOW FIELD KEYS FROM m", url.Values{"rp": {"other"}}), `[0 m[fieldKey fieldType] ("v" "string"; "z" "integer")]`)
		c.want(c.queryAs("", "msgpack", b, "SHOW MEASUREMENTS", url.Values{"rp": {"other"}}), `[0 measurements[name] ("m"; "only_a"; "only_b")]`)
	}},
	{"1.x: names have no slash", only1, func(c *scene) {
		b := c.bucket("named", day)
		for _, name := range []string{"a/b", `a\\b`, ".", "..", "a\tb", "a b", "ü", `x\"y`} {
			c.query("", `CREATE DATABASE "`+name+`"`)
			c.query("", `CREATE RETENTION POLICY "`+name+`" ON "`+b+`" DURATION INF REPLICATION 1`)
		}
		c.query("", "SHOW RETENTION POLICIES ON "+b)
		c.want(c.query("", `CREATE DATABASE "a/b"`), "[? error invalid name]")
		for _, db := range []string{"a b", "ü", `x\"y`} {
			c.query("", `DROP DATABASE "`+db+`"`)
		}
	}},
	{"1.x: policies are made", only1, func(c *scene) {
		for _, q := range []string{`CREATE DATABASE c1 WITH DURATION INF REPLICATION 1 SHARD DURATION 90m NAME "x"`, `CREATE DATABASE c1 WITH DURATION INF REPLICATION 1 SHARD DURATION 90m NAME "x"`, `CREATE DATABASE c1 WITH DURATION INF REPLICATION 1 NAME "y"`,
			`CREATE DATABASE c2 WITH DURATION 30m REPLICATION 1 NAME "x"`, `CREATE DATABASE c3 WITH DURATION 3600s REPLICATION 1 SHARD DURATION 60s NAME "x"`, `CREATE DATABASE c4 WITH DURATION 1h REPLICATION 1 SHARD DURATION 2h NAME "x"`,
			`CREATE RETENTION POLICY z ON c3 DURATION 0s REPLICATION 1 SHARD DURATION 86400s`, `CREATE RETENTION POLICY z ON c3 DURATION INF REPLICATION 1 SHARD DURATION 1d`, `CREATE RETENTION POLICY z ON c3 DURATION 0s REPLICATION 1 SHARD DURATION 2d`,
			`CREATE RETENTION POLICY z ON nosuch DURATION INF REPLICATION 1`, `CREATE RETENTION POLICY q ON c3 DURATION 10m REPLICATION 1`, `CREATE RETENTION POLICY q ON c3 DURATION 100h REPLICATION 1`, `SHOW RETENTION POLICIES ON c1`, `SHOW RETENTION POLICIES ON c3`, `SHOW RETENTION POLICIES ON nosuch`, `SHOW RETENTION POLICIES ON c2`} {
			c.query("", q)
		}
	}},
	{"1.x: unsigned integers are no numbers", only1, func(c *scene) {
		b := c.bucket("unsigned", day)
		c.want(c.write(b, "m v=5u 1"), "400  unable to parse 'm v=5u 1': invalid number")
		c.write(b, "m v=5u 1\nm w=1 1")
		c.write(b, "m v=5u,w=2 2\nm v=6u 3\nm w=3 3")
		c.query(b, "SELECT * FROM m")
	}},
	{"1.x: what it is", only1, func(c *scene) {
		for _, path := range []string{"/ready", "/api/v2/setup", "/api/v2/orgs"} {
			status, _, _ := c.send("GET", path, "none", nil, "")
			c.want(c.keep(path, fmt.Sprint(status)), "404")
		}
	}},
	{"1.x: SHOW STATS tells the same as /debug/vars", only1, func(c *scene) {
		b := c.bucket("stats", day)
		c.createBucket(b+"/other", 0, week)
		look := func() map[string]int {
			sums := map[string]int{}
			for id, n := range c.vars(b) {
				sums[id] = n
			}
			got, started := c.stats(b)
			if fmt.Sprint(got) != fmt.Sprint(sums) {
				c.Errorf("%s: /debug/vars %v, SHOW STATS %v", c.name, sums, got)
			}
			if _, err := time.Parse(time.RFC3339Nano, started); err != nil {
				c.Errorf("%s: started %q", c.name, started)
			}
			var list []int
			for _, n := range sums {
				list = append(list, n)
			}
			slices.Sort(list)
			c.keep("counters", fmt.Sprint(list))
			return sums
		}
		look()
		// Whatever may be stored moves the counter of its shard, an overwrite by the same value too.
		for _, l := range []string{"m v=1 1\nm v=2 2", "m v=1 1", "m v=3 " + at(day, 1), "m v=\"x\" 1", "m v=1 3\nm v=\"x\" 3\nm w=1 4"} {
			before := look()
			c.write(b, l)
			after := look()
			moved := 0
			for id, n := range after {
				if n != before[id] {
					moved++
				}
			}
			c.want(fmt.Sprint(moved), "1")
		}
		c.writeTo(b, "other", "m v=1 1")
		look()
	}},
	{"1.6: groups made after the duration was altered overlap", on16, func(c *scene) {
		b := mixed(c, "overlapping")
		c.query(b, `ALTER RETENTION POLICY autogen ON "`+b+`" SHARD DURATION 7d`)
		c.write(b, "mix v=7i -1\nonly v=2 "+at(2*day, 0))
		for d := range 3 {
			w := "time >= " + at(time.Duration(d)*day, 0) + " AND time < " + at(time.Duration(d+1)*day, 0)
			if got := c.query(b, "EXPLAIN SELECT *::field FROM only WHERE "+w); !strings.Contains(got, "NUMBER OF SHARDS: 2") {
				c.Errorf("day %d: %s", d, got)
			}
		}
		c.want(c.query(b, "SHOW FIELD KEYS FROM only"), `[0 only[fieldKey fieldType] ("v" "float")]`)
		c.want(c.query(b, "SELECT *::field FROM only GROUP BY *"), "[0 only[time v] (7i 1f; 172800000000000i 2f)]")
		// One body with a point of the new group takes older points there as well: one place has two values then.
		c.write(b, "only v=3 -2\nonly v=9 7")
		if got := c.query(b, "SELECT count(v) FROM only WHERE time = 7"); !strings.Contains(got, "2i") {
			c.Errorf("one place counts %s", got)
		}
	}},
	{"1.6: other words and other limits", on16, func(c *scene) {
		b := c.bucket("wording", day)
		c.write(b, `m v="x",f=1 1`)
		c.want(c.write(b, "m ok=1i,v=1i 3"), `400  partial write: field type conflict: input field "v" on measurement "m" is type integer, already exists as type string dropped=1`)
		c.want(c.write(b, "m f=1i 4\nother x=1 4"), `400  partial write: field type conflict: input field "f" on measurement "m" is type integer, already exists as type float dropped=1`)
		c.want(c.query(b, "SELECT x FROM other"), "[0 other[time x] (4i 1f)]")
		c.want(c.write(b, "n time=5,z=1 1"), "204")
		c.want(c.query(b, "SELECT * FROM n"), "[0 n[time z] (1i 1f)]")
		// Two types of one field in the first body of a shard: nothing of it is stored.
		c.want(c.write(b, "fresh v=1 "+at(9*day, 1)+"\nfresh v=true "+at(9*day, 2)+"\nfresh w=1 "+at(9*day, 3)), "400  field type conflict")
		c.want(c.query(b, "SELECT * FROM fresh"), "[0]")
		c.want(c.write(b, "fresh v=1 "+at(9*day, 1)), "204")
		long := strings.Repeat("x", 1<<20+1)
		c.want(c.write(b, `long s="`+long+`" 1`), "204")
		c.want(c.queryAs("", "msgpack", b, "SELECT s FROM long", nil), `[0 long[time s] (1i "`+long+`")]`)
		c.createBucket("wording/short", time.Hour, time.Hour)
		c.want(c.writeTo(b, "short", "m v=1 1"), "400  partial write: points beyond retention policy dropped=1")
		c.want(c.query(b, "SELECT v FROM m; SELECT sum(v) FROM m; SHOW DATABASES"), "[0 m[time v] (1i \"x\")][? error unsupported sum iterator type: *query.stringInterruptIterator][? error not executed]")
		status, _, _ := c.send("GET", "/health", "none", nil, "")
		c.want(fmt.Sprint(status), "404")
	}},
}

// writeTo writes to a policy of 1.x.
func (c *scene) writeTo(db, policy, lines string) string {
	c.Helper()
	status, _, body := c.send("POST", "/write?"+url.Values{"db": {db}, "rp": {policy}}.Encode(), "", nil, lines)
	return c.keep("write to "+policy+" "+lines, refusal(status, body))
}

// vars returns what moves with every write, by shard, of a database's default policy.
func (c *scene) vars(db string) map[string]int {
	c.Helper()
	_, _, body := c.send("GET", "/debug/vars", "none", nil, "")
	var vars map[string]json.RawMessage
	if err := json.Unmarshal(body, &vars); err != nil {
		c.Fatal(err)
	}
	out := map[string]int{}
	for k, v := range vars {
		var s struct {
			Tags   map[string]string
			Values struct{ WritePointsOk, WritePointsErr, WriteReq int }
		}
		if strings.HasPrefix(k, "shard:") && json.Unmarshal(v, &s) == nil && s.Tags["database"] == db && s.Tags["retentionPolicy"] == "autogen" {
			out[s.Tags["id"]] = s.Values.WritePointsOk + s.Values.WritePointsErr + s.Values.WriteReq
		}
	}
	return out
}

// stats returns the same from SHOW STATS, and when the server started.
func (c *scene) stats(db string) (sums map[string]int, started string) {
	c.Helper()
	_, _, body := c.send("POST", "/query", "", []string{"Content-Type", "application/x-www-form-urlencoded"}, url.Values{"q": {"SHOW STATS FOR 'shard';SHOW DIAGNOSTICS FOR 'system'"}}.Encode())
	var a struct {
		Results []struct {
			Series []struct {
				Tags    map[string]string
				Columns []string
				Values  [][]any
			}
		}
	}
	if err := json.Unmarshal(body, &a); err != nil || len(a.Results) != 2 || len(a.Results[1].Series) != 1 {
		c.Fatalf("%s: %s: %v", c.name, body, err)
	}
	sums = map[string]int{}
	for _, s := range a.Results[0].Series {
		for i, column := range s.Columns {
			if s.Tags["database"] == db && s.Tags["retentionPolicy"] == "autogen" && slices.Contains([]string{"writeReq", "writePointsOk", "writePointsErr"}, column) {
				sums[s.Tags["id"]] += int(s.Values[0][i].(float64))
			}
		}
	}
	system := a.Results[1].Series[0]
	started, _ = system.Values[0][slices.Index(system.Columns, "started")].(string)
	return sums, started
}
