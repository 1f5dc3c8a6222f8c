package conformance

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
	// The ends of the axis.
	least    = "-9223372036854775806"
	greatest = "9223372036854775806"
)

// at is a time in the first days of 1970, in nanoseconds.
func at(d time.Duration, ns int64) string { return fmt.Sprint(int64(d) + ns) }

// scape is a bucket with sparse series, all types, and a field and a tag of one name.
func scape(c *scene, name string) string {
	b := c.bucket(name, day)
	c.write(b, strings.Join([]string{
		`c,a=1 v=1,w=1i 1`, `c,a=1 v=2 2`, `c,a=1 v=3 3`, `c,a=2,b=x v=4 1`, `c,a=2,b=x v=5 2`, `c,b=y v=6 1`, `c v=7 1`,
		`c,a=2,b=x v=5,k="s" ` + at(day, 2),
		`t,h=a f=1.5,i=1i,s="x",b=true 1`, `t,h=b f=2.5,i=2i,s="",b=false 2`, `t,h=a f=-0.0 ` + at(day, 5),
		`n,x=tag x=1,y=2i 1`, `n,x=other x=2 1`, `"q\ 'm",t\,k=v\ \=1 f\ 1=1,f\"2=2 7`,
	}, "\n"))
	return b
}

var readCases = []testCase{
	{"fact 4, 6: both forms of a read", both, func(c *scene) {
		b := scape(c, "forms")
		got := c.query(b, "SELECT *::field FROM c WHERE time >= 0 AND time < "+at(day, 0)+" GROUP BY *")
		c.want(got, "[0 cmap[a: b:][time v w] (1i 7f null) more][0 cmap[a: b:y][time v w] (1i 6f null) more][0 cmap[a:1 b:][time v w] (1i 1f 1i; 2i 2f null; 3i 3f null) more][0 cmap[a:2 b:x][time v w] (1i 4f null; 2i 5f null)]")
		got = c.query(b, "SELECT *::field,*::tag FROM c WHERE time >= 0 AND time < "+at(day, 0))
		c.want(got, `[0 c[time v w a b] (1i 1f 1i "1" null; 1i 4f null "2" "x"; 1i 6f null null "y"; 1i 7f null null null; 2i 2f null "1" null; 2i 5f null "2" "x"; 3i 3f null "1" null)]`)
		for _, m := range []string{"c", "t", "n", `"\"q 'm"`} {
			for _, form := range []string{"SELECT *::field FROM %s GROUP BY *", "SELECT *::field,*::tag FROM %s", "SELECT * FROM %s", "SELECT *::tag FROM %s"} {
				c.query(b, fmt.Sprintf(form, m))
			}
		}
	}},
	{"fact 6: a field and a tag of one name", both, func(c *scene) {
		b := scape(c, "clash")
		got := c.query(b, "SELECT *::field,*::tag FROM n")
		c.want(got, `[0 n[time x y x_1] (1i 1f 2i "tag"; 1i 2f null "other")]`)
		c.query(b, "SELECT x FROM n")
		c.query(b, "SELECT x::tag, x::field FROM n")
		c.query(b, "SELECT x FROM n GROUP BY x")
	}},
	{"fact 5: values and types in msgpack and JSON", both, func(c *scene) {
		b := c.bucket("values", day)
		c.write(b, "v f=-0.0,g=1e308,h=5e-324,i=9223372036854775807i,j=-9223372036854775808i,k=127i,l=128i,m=-1i,s=\"\",t=\"a\r\n\xff\\\"\\\\ü\",u=true,w=1 1")
		c.query(b, "SELECT *::field FROM v GROUP BY *")
		for _, f := range []string{"f", "g", "h", "i", "j", "k", "l", "m", "s", "t", "u", "w"} {
			c.query(b, "SELECT "+f+" FROM v")
		}
		c.queryAs("", "msgpack", b, "SELECT f FROM v", url.Values{"epoch": {""}})
		c.queryAs("", "json", b, "SELECT f FROM v", url.Values{"epoch": {""}})
		c.queryAs("", "json", b, "SELECT f FROM v", url.Values{"epoch": {"ms"}})
	}},
	{"fact 5, 18: unsigned", both, func(c *scene) {
		b := c.bucket("unsigned", day)
		c.write(b, "u v=18446744073709551615u,s=5u 1\nu v=9223372036854775808u 2\nu v=5u 3")
		for _, q := range []string{"SELECT v FROM u", "SELECT v::unsigned FROM u", "SELECT v::integer FROM u", "SELECT v::float FROM u", "SELECT v::string FROM u", "SELECT sum(v),count(v),first(v),last(v),min(v),max(v) FROM u",
			"EXPLAIN SELECT *::field FROM u", "SHOW FIELD KEYS"} {
			c.query(b, q)
		}
	}},
	{"fact 7: chunks", both, func(c *scene) {
		b := scape(c, "chunks")
		for _, n := range []string{"1", "2", "3", "100"} {
			for _, q := range []string{"SELECT *::field FROM c GROUP BY *", "SELECT v FROM t; SHOW MEASUREMENTS; SELECT f FROM t", "SHOW FIELD KEYS", "SHOW TAG KEYS", "SHOW SERIES", "SHOW MEASUREMENTS", "EXPLAIN SELECT *::field FROM c", "SELECT count(*::field) FROM c GROUP BY *"} {
				c.queryAs("", "msgpack", b, q, url.Values{"chunked": {"true"}, "chunk_size": {n}})
				c.queryAs("", "json", b, q, url.Values{"chunked": {"true"}, "chunk_size": {n}})
			}
		}
	}},
	{"fact 7: ten thousand rows a chunk", both, func(c *scene) {
		b := c.bucket("long", week)
		var lines strings.Builder
		for i := range 20001 {
			fmt.Fprintf(&lines, "m v=%di %d\n", i, i)
		}
		c.write(b, lines.String())
		got := c.queryAs("", "msgpack", b, "SELECT v FROM m", url.Values{"chunked": {"true"}})
		if n := strings.Count(got, "series continues"); n != 2 {
			c.Errorf("%s: %d parts continue", c.name, n)
		}
	}},
	{"fact 6: ten thousand series", both, func(c *scene) {
		b := c.bucket("many", week)
		var lines strings.Builder
		for i := range 10000 {
			fmt.Fprintf(&lines, "m,s=%d,r=%d v=%di %d\n", i, i%7, i, i%3)
		}
		c.write(b, lines.String())
		c.query(b, "SELECT *::field FROM m GROUP BY *")
		c.query(b, "SELECT *::field,*::tag FROM m")
		c.query(b, "EXPLAIN SELECT *::field FROM m")
		c.query(b, "SELECT count(*::field),sum(*::field) FROM m")
		c.query(b, "SELECT count(*::field) FROM m GROUP BY r")
	}},
	{"conditions, order, limits", both, func(c *scene) {
		b := scape(c, "limits")
		for _, q := range []string{"SELECT v FROM c WHERE a = '2'", "SELECT v FROM c WHERE a != '2'", "SELECT v FROM c WHERE a = ''", "SELECT v FROM c WHERE a != ''", "SELECT v FROM c WHERE (a = '1' OR b = 'y') AND time < 3",
			"SELECT v FROM c WHERE a =~ /[12]/ AND b !~ /x/", "SELECT v FROM c WHERE time > 1 AND time <= 3", "SELECT v FROM c WHERE time = 2", "SELECT v FROM c WHERE time >= '1970-01-01T00:00:00.000000002Z' AND time < '1970-01-02T00:00:00Z'",
			"SELECT v FROM c GROUP BY * LIMIT 1", "SELECT v FROM c GROUP BY * LIMIT 1 OFFSET 1", "SELECT v FROM c GROUP BY a ORDER BY time DESC", "SELECT v FROM c GROUP BY b,a LIMIT 2", "SELECT f FROM t ORDER BY time DESC",
			"SELECT first(v) FROM c GROUP BY * LIMIT 1", "SELECT v::field, a::tag FROM c", "SELECT v AS x, w AS y FROM c", "SELECT v, v::integer, v::string, v FROM c", "SELECT nope FROM c", "SELECT v, nope FROM c", "SELECT v FROM nosuch",
			"SELECT v FROM c WHERE nope = 'x'", "SELECT v FROM c GROUP BY nope", "SELECT v FROM c WHERE time > now() - 1h", `SELECT v FROM "` + b + `".autogen.c`, `SELECT v FROM "` + b + `"..c`, "SELECT count(v), v FROM c"} {
			c.query(b, q)
		}
		c.query("elsewhere", `SELECT v FROM "`+b+`".autogen.c`)
	}},
}
