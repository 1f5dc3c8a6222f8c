package conformance

import "fmt"

func axis(c *scene, name string) string {
	b := c.bucket(name, week)
	c.write(b, "edge v=1 "+least+"\nedge v=2 "+greatest+"\nedge v=3 0\nnear v=1 -9223372036854775000\nnear v=2 -9223372036000000000\nnear v=3 9223372036000000000\nnear,s=1 v=4 5")
	return b
}

var axisQueries = []string{
	"SELECT v FROM %[1]s", "SELECT count(v) FROM %[1]s", "SELECT first(v) FROM %[1]s", "SELECT last(v) FROM %[1]s", "SELECT first(v),last(v) FROM %[1]s", "SELECT v FROM %[1]s GROUP BY *",
	"SELECT %[2]s FROM %[1]s WHERE time >= -9223372036854775806 AND time <= 9223372036854775806",
	"SELECT %[2]s FROM %[1]s WHERE time >= -9223372036854775806 AND time < 9223372036854775806",
	"SELECT %[2]s FROM %[1]s WHERE time >= -9223372036854775806 AND time < 9223372036854775807",
	"SELECT %[2]s FROM %[1]s WHERE time >= -9223372036854775806 AND time <= 9223372036854775807",
	"SELECT %[2]s FROM %[1]s WHERE time >= -9223372036854775807 AND time < 0",
	"SELECT %[2]s FROM %[1]s WHERE time >= -9223372036854775808 AND time < 0",
	"SELECT %[2]s FROM %[1]s WHERE time >= -9223372036854775806 AND time < 0",
	"SELECT %[2]s FROM %[1]s WHERE time >= -9223372036854775806 AND time < -9223286400000000000",
	"SELECT %[2]s FROM %[1]s WHERE time >= 9223286400000000000 AND time <= 9223372036854775806",
	"SELECT %[2]s FROM %[1]s WHERE time > 0",
	"SELECT %[2]s FROM %[1]s WHERE time >= -1 AND time < 1",
	"SELECT %[2]s FROM %[1]s WHERE time > '2262-04-11T23:34:00Z'",
	"SELECT %[2]s FROM %[1]s WHERE time < '2262-04-11T23:35:00Z'",
	"SELECT count(v) FROM %[1]s WHERE time >= -9223372036854775806 AND time <= 9223372036854775806 GROUP BY time(7d,-3d) fill(none)",
	"SELECT count(v) FROM %[1]s WHERE time >= -9223372036854775806 AND time <= 9223372036854775806 GROUP BY time(7d,4d) fill(none)",
	"SELECT count(v) FROM %[1]s WHERE time >= -9223372036854775806 AND time <= 9223372036854775806 GROUP BY time(7d) fill(none)",
	"SELECT count(v) FROM %[1]s WHERE time >= -9223372036854775806 AND time <= 9223372036854775806 GROUP BY time(1h) fill(none)",
	"SELECT count(v) FROM %[1]s WHERE time >= -9223372036854775806 AND time <= 9223372036854775806 GROUP BY time(1d,12h),s fill(none)",
	"SELECT count(v) FROM %[1]s WHERE time >= '1677-09-21T00:12:43.145224194Z'",
	"EXPLAIN SELECT v FROM %[1]s WHERE time >= -9223372036854775806 AND time <= 9223372036854775806",
	"EXPLAIN SELECT v FROM %[1]s WHERE time >= -9223372036854775806 AND time < 0",
}

func lookAlong(c *scene, b string) {
	for _, m := range []string{"edge", "near"} {
		for _, q := range axisQueries {
			for _, what := range []string{"v", "count(v)"} {
				c.query(b, fmt.Sprintf(q+"%.0[2]s", m, what))
			}
		}
	}
}

var axisCases = []testCase{
	{"fact 9: the ends of the axis", both, func(c *scene) {
		b := axis(c, "axis")
		c.want(c.query(b, "SELECT v FROM edge WHERE time >= "+least+" AND time <= "+greatest), "[0 edge[time v] (-9223372036854775806i 1f; 0i 3f; 9223372036854775806i 2f)]")
		for _, t := range []string{"-9223372036854775807", "-9223372036854775808", "9223372036854775807", "9223372036854775808", "1x"} {
			c.write(b, "edge v=1 "+t)
		}
		lookAlong(c, b)
	}},
	{"fact 9: a restart hides the year 1677", both, func(c *scene) {
		b := axis(c, "hidden")
		c.restart()
		c.want(c.query(b, "SELECT v FROM edge WHERE time >= "+least+" AND time < 0"), "[0]")
		c.want(c.query(b, "SELECT v FROM edge WHERE time >= "+least+" AND time <= "+greatest), "[0 edge[time v] (-9223372036854775806i 1f; 0i 3f; 9223372036854775806i 2f)]")
		lookAlong(c, b)
		c.write(b, "edge v=4 -9223372036854775000")
		lookAlong(c, b)
	}},
	{"fact 9: without an upper bound GROUP BY time stops at now", both, func(c *scene) {
		b := c.bucket("future", week)
		c.write(b, "m v=1 1\nm v=1 4102444800000000000")
		c.query(b, "SELECT count(v) FROM m GROUP BY time(7d) fill(none)")
		c.query(b, "SELECT count(v) FROM m WHERE time >= 0 GROUP BY time(7d,-3d) fill(none)")
		c.query(b, "SELECT count(v) FROM m WHERE time <= 4102444800000000000 GROUP BY time(7d,-3d) fill(none)")
	}},
}
