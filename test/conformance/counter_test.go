package conformance

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

type counter struct {
	shard            string
	points, requests string
}

var metric = regexp.MustCompile(`(?m)^storage_shard_write_(count|sum)\{bucket="(\w+)",engine="tsm1",id="(\d+)",path="[^"]+",walPath="[^"]+"\} (\S+)$`)

// counters returns the write counters of a bucket (a name that was given to its id) by shard.
func (c *scene) counters(name string) []counter {
	c.Helper()
	id := ""
	for _, n := range c.names {
		if n[1] == name || n[1] == "bucket "+name {
			id = n[0]
		}
	}
	_, _, body := c.send("GET", "/metrics", "none", nil, "")
	byShard := map[string]*counter{}
	for _, m := range metric.FindAllStringSubmatch(string(body), -1) {
		if m[2] != id {
			continue
		}
		if byShard[m[3]] == nil {
			byShard[m[3]] = &counter{shard: m[3]}
		}
		if m[1] == "count" {
			byShard[m[3]].points = m[4]
		} else {
			byShard[m[3]].requests = m[4]
		}
	}
	var list []counter
	for _, n := range byShard {
		list = append(list, *n)
	}
	slices.SortFunc(list, func(a, b counter) int {
		x, _ := strconv.Atoi(a.shard)
		y, _ := strconv.Atoi(b.shard)
		return x - y
	})
	return list
}

// count keeps the counters by the order of the shards.
func (c *scene) count(b string) {
	c.Helper()
	var out []string
	for i, n := range c.counters(b) {
		out = append(out, fmt.Sprintf("#%d %s points %s requests", i, n.points, n.requests))
	}
	c.keep("counters", strings.Join(out, ", "))
}

var counterCases = []testCase{
	{"fact 23: write counters", only2, func(c *scene) {
		b := c.bucket("counted", day)
		c.count(b)
		for _, l := range []string{"m v=1 1\nm v=2 2", "m v=1 1", "m v=3 " + at(day, 1), "m v=\"x\" 1", "m v=1 3\nm v=\"x\" 3\nm w=1 4", "bad line", "", "#x v=1 1", "m time=5 1", "m time=5,v=2 1", "m v=4 " + at(2*day, 1) + "\nm v=5 " + at(3*day, 1)} {
			c.write(b, l)
			c.count(b)
		}
		c.query(b, "SELECT v FROM m")
		c.count(b)
	}},
	{"fact 23: a restart begins again", only2, func(c *scene) {
		b := c.bucket("reborn", day)
		c.write(b, "m v=1 1\nm v=2 "+at(day, 2))
		started := func() string {
			_, _, body := c.send("GET", "/ready", "none", nil, "")
			var r struct{ Started string }
			_ = json.Unmarshal(body, &r)
			return r.Started
		}
		before := started()
		c.restart()
		if started() == before {
			c.Errorf("%s: started did not change", c.name)
		}
		c.count(b)
		c.write(b, "m v=1 1")
		c.count(b)
		c.query(b, "SELECT v FROM m")
	}},
	{"fact 23: counters of 1.x", only1, func(c *scene) {
		b := c.bucket("counted", day)
		look := func() {
			_, _, body := c.send("GET", "/debug/vars", "none", nil, "")
			var vars map[string]json.RawMessage
			if err := json.Unmarshal(body, &vars); err != nil {
				c.Fatal(err)
			}
			var out []string
			for k, v := range vars {
				var s struct {
					Tags   map[string]string
					Values struct{ WritePointsOk, WriteReq int }
				}
				if strings.HasPrefix(k, "shard:") && json.Unmarshal(v, &s) == nil && s.Tags["database"] == b {
					out = append(out, fmt.Sprintf("%s %d points %d requests", s.Tags["retentionPolicy"], s.Values.WritePointsOk, s.Values.WriteReq))
				}
			}
			slices.Sort(out)
			c.keep("vars", strings.Join(out, ", "))
		}
		for _, l := range []string{"m v=1 1\nm v=2 2", "m v=3 " + at(day, 1), "m v=\"x\" 1", "m v=1 3\nm v=\"x\" 3\nm w=1 4", "#x v=1 1"} {
			c.write(b, l)
			look()
		}
	}},
}

var retentionCases = []testCase{
	{"fact 17: points older than the retention", not16, func(c *scene) {
		now := time.Now()
		c.call(c.createBucket("short", time.Hour, time.Hour), "bucket short")
		stamp := func(d time.Duration) string { return c.call(fmt.Sprint(now.Add(d).UnixNano()), fmt.Sprint("now+", d)) }
		c.write("short", "m v=1 1")
		c.write("short", "m v=1 "+stamp(-2*time.Hour)+"\nm v=2 "+stamp(0))
		c.write("short", "m,t=a v=1 1\nm,t=b v=1 2\nm v=3 "+stamp(time.Hour))
		c.write("short", "m v=\"x\" "+stamp(0)+"\nm v=1 1")
		status, _, body := c.send("POST", "/query?db=short", "", []string{"Content-Type", "application/x-www-form-urlencoded"}, "q=SELECT+count(v)+FROM+m")
		c.keep("count", fmt.Sprint(status, string(body)))
	}},
	{"fact 17: a shorter retention hides nothing by itself", both, func(c *scene) {
		id := c.call(c.createBucket("shorter", 0, time.Hour), "bucket shorter")
		now := c.call(fmt.Sprint(time.Now().UnixNano()), "now")
		c.write("shorter", "m v=1 1\nm v=2 "+now)
		if c.v1 {
			c.query("shorter", "ALTER RETENTION POLICY autogen ON shorter DURATION 1h")
		} else {
			c.send("PATCH", "/api/v2/buckets/"+id, "", nil, `{"retentionRules":[{"type":"expire","everySeconds":3600,"shardGroupDurationSeconds":3600}]}`)
		}
		c.want(c.query("shorter", "SELECT count(v) FROM m"), "[0 m[time count] (0i 2i)]")
		c.want(c.query("shorter", "SELECT v FROM m WHERE time < 10"), "[0 m[time v] (1i 1f)]")
	}},
}
