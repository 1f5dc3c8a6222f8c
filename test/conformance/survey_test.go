package conformance

import (
	"fmt"
	"strings"
)

var surveyCases = []testCase{
	{"fact 10: counts and sums", both, func(c *scene) {
		b := scape(c, "survey")
		span := " WHERE time >= 0 AND time < " + at(2*day, 0)
		for _, q := range []string{"SELECT count(*::field) FROM t", "SELECT count(*::field),sum(*::field),first(*::field),last(*::field),min(*::field),max(*::field) FROM t" + span, "SELECT sum(*::field) FROM t", "SELECT sum(s) FROM t", "SELECT sum(b) FROM t",
			"SELECT min(s) FROM t", "SELECT max(b), min(b) FROM t", "SELECT min(f) FROM t", "SELECT max(f) FROM t", "SELECT count(*::field) FROM c" + span + " GROUP BY time(1d) fill(none)", "SELECT count(*::field) FROM c" + span + " GROUP BY time(1h,30m) fill(none)",
			"SELECT count(*::field),first(*::field),last(*::field) FROM c" + span + " GROUP BY time(1d),a fill(none)", "SELECT count(v),count(k) FROM c WHERE time >= 0 AND time < 10", "SELECT count(*::field) FROM c GROUP BY *",
			"SELECT first(*::field) FROM c", "SELECT first(*::field),last(*::field) FROM c GROUP BY *", "SELECT count(*::field) FROM c WHERE a = '2'", "SELECT count(*::field) FROM nosuch", "SELECT count(nope) FROM c", "SELECT count(v::string) FROM c",
			"SELECT count(v),sum(v::integer),count(v::float) FROM c", "SELECT sum(v) FROM c GROUP BY a", "SELECT count(*::field) FROM c WHERE time >= " + at(100*day, 0) + " AND time < " + at(101*day, 0), "SELECT count(v) AS n FROM c", "SELECT count(v) FROM c LIMIT 1 OFFSET 1"} {
			c.query(b, q)
		}
		c.want(c.query(b, "SELECT sum(*::field) FROM t"), "[0 t[time sum_f sum_i] (0i 4f 3i)]")
		c.want(c.query(b, "SELECT sum(s) FROM t"), "[? error unsupported sum iterator type: *query.stringInterruptIterator]")
	}},
	{"fact 9: weeks start on Thursday without an offset", both, func(c *scene) {
		b := c.bucket("weeks", week)
		var lines []string
		for d := range 30 {
			lines = append(lines, fmt.Sprintf("m v=%di %d", d, int64(d-10)*int64(day)))
		}
		c.write(b, strings.Join(lines, "\n"))
		for _, by := range []string{"7d", "7d,-3d", "7d,4d", "7d,11d", "1d,-3d", "3d,1h"} {
			c.query(b, fmt.Sprintf("SELECT count(v),sum(v),first(v),last(v) FROM m WHERE time >= %s AND time <= %s GROUP BY time(%s) fill(none)", least, greatest, by))
		}
	}},
	{"fact 10: what SHOW says", both, func(c *scene) {
		b := scape(c, "show")
		for _, q := range []string{"SHOW MEASUREMENTS", "SHOW MEASUREMENTS LIMIT 2 OFFSET 1", "SHOW FIELD KEYS", "SHOW FIELD KEYS FROM c", "SHOW FIELD KEYS FROM nosuch", "SHOW TAG KEYS", "SHOW TAG KEYS FROM c", "SHOW TAG KEYS FROM nosuch",
			"SHOW SERIES", "SHOW SERIES FROM c", "SHOW SERIES FROM nosuch", "SHOW SERIES FROM c WHERE a = '2'", `SHOW TAG VALUES FROM c WITH KEY = "a"`, "SHOW DATABASES", "SHOW SERIES FROM c LIMIT 1 OFFSET 1"} {
			c.query(b, q)
		}
	}},
}
