package conformance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// times and links of the API, which are nobody's business here
var incidental = regexp.MustCompile(`"(links|createdAt|updatedAt|description|labels|commit|up|started)":("[^"]*"|\{[^{}]*\}|\[\]),?`)

// api asks the API and keeps the status and the body, without what differs from server to server.
func (c *scene) api(method, path, auth, body string) string {
	c.Helper()
	status, h, got := c.send(method, path, auth, []string{"Content-Type", "application/json"}, body)
	var v any
	text := string(got)
	if json.Unmarshal(got, &v) == nil {
		b, _ := json.Marshal(v)
		text = incidental.ReplaceAllString(string(b), "")
		text = strings.ReplaceAll(text, ",}", "}")
	}
	return c.keep(method+" "+path, fmt.Sprint(status, " ", strings.TrimSuffix(h.Get("Content-Type"), "; charset=utf-8"), " ", text))
}

var rightsCases = []testCase{
	{"fact 8, 12, 21: what tokens see", only2, func(c *scene) {
		mine := c.call(c.createBucket("mine", 0, day), "mine")
		c.call(c.createBucket("theirs", 0, day), "theirs")
		c.write("mine", "m v=1 1")
		c.write("theirs", "m v=2 1")
		read, write, all := "Token "+c.createToken([]string{mine}, nil), "Token "+c.createToken(nil, []string{mine}), "Token "+c.token
		for _, auth := range []string{read, write, all, "Token nonsense", "none", "Bearer " + c.token} {
			for _, p := range []string{"/api/v2/orgs?org=lab", "/api/v2/orgs?org=nosuch", "/api/v2/buckets?name=mine", "/api/v2/buckets?name=theirs", "/api/v2/buckets?name=nosuch", "/api/v2/buckets?name=mine&org=lab", "/api/v2/buckets?name=mine&org=nosuch",
				"/api/v2/buckets?name=mine&orgID=" + c.orgID, "/api/v2/buckets/" + mine, "/api/v2/buckets/0000000000000001", "/api/v2/buckets/zz", "/api/v2/dbrps?db=mine&orgID=" + c.orgID, "/api/v2/dbrps?db=theirs&orgID=" + c.orgID,
				"/api/v2/dbrps?db=nosuch&orgID=" + c.orgID, "/api/v2/dbrps?db=mine"} {
				if auth == all && strings.HasPrefix(p, "/api/v2/orgs?org=lab") {
					status, _, body := c.send("GET", p, auth, nil, "")
					c.keep(p, fmt.Sprint(status, strings.Contains(string(body), c.orgID)))
					continue
				}
				c.api("GET", p, auth, "")
			}
			for _, db := range []string{"mine", "theirs"} {
				for _, q := range []string{"SELECT v FROM m", "EXPLAIN SELECT v FROM m", "SHOW MEASUREMENTS", "SHOW FIELD KEYS", "SHOW RETENTION POLICIES", "SHOW TAG KEYS", "SHOW SERIES"} {
					c.queryAs(auth, "json", db, q, nil)
				}
				c.writeAs(auth, db, "")
				c.writeAs(auth, db, "m v=3 3")
			}
			c.writeAs(auth, "nosuch", "")
			if auth == read || auth == write {
				c.queryAs(auth, "json", "mine", "SHOW DATABASES", nil)
			}
		}
		c.want(c.writeAs(read, "mine", ""), "403 forbidden insufficient permissions for write")
		c.queryAs("Basic "+base64.StdEncoding.EncodeToString([]byte("whoever:"+c.token)), "json", "mine", "SELECT v FROM m", nil)
		for i, id := range shards(c, "mine") {
			c.call("shard "+id, fmt.Sprint("shard #", i))
		}
		got := c.queryAs(read, "json", "mine", "EXPLAIN ANALYZE SELECT v FROM m", nil)
		c.want(got, "[0 <nil>[EXPLAIN ANALYZE] (m in <shard #0>)]")
	}},
	{"fact 11, 12: DBRP rows", only2, func(c *scene) {
		a := c.call(c.createBucket("rows/of/a", 0, day), "a")
		b := c.call(c.createBucket("rowsb", 0, day), "b")
		c.write("rows/of/a", "m v=1 1")
		c.write("rowsb", "m v=2 1")
		look := func() {
			for _, db := range []string{"rows", "rows/of/a", "rowsb", "mapped", a} {
				status, _, body := c.send("GET", "/api/v2/dbrps?"+url.Values{"orgID": {c.orgID}, "db": {db}}.Encode(), "", nil, "")
				var list struct {
					Content []struct {
						Database, BucketID string
						RP                 string `json:"retention_policy"`
						Default, Virtual   bool
					}
				}
				_ = json.Unmarshal(body, &list)
				c.keep("dbrps "+db, fmt.Sprintf("%d %+v", status, list))
				c.query(db, "SELECT v FROM m")
				c.query(db, "SHOW RETENTION POLICIES")
				c.queryAs("", "json", db, "SELECT v FROM m", url.Values{"rp": {"of/a"}})
				c.queryAs("", "json", db, "SELECT v FROM m", url.Values{"rp": {"autogen"}})
				c.queryAs("", "json", db, "SELECT v FROM m", url.Values{"org": {"nosuch"}})
			}
			c.query("mapped", "SELECT v FROM rowsb.autogen.m")
		}
		look()
		for _, body := range []map[string]any{
			{"orgID": c.orgID, "bucketID": b, "database": "mapped", "retention_policy": "rp1", "default": true},
			{"orgID": c.orgID, "bucketID": a, "database": "rowsb", "retention_policy": "rp2", "default": true},
		} {
			j, _ := json.Marshal(body)
			status, _, _ := c.send("POST", "/api/v2/dbrps", "", []string{"Content-Type", "application/json"}, string(j))
			c.want(fmt.Sprint(status), "201")
		}
		look()
	}},
	{"buckets are made and changed", only2, func(c *scene) {
		mine := c.call(c.createBucket("maker", 0, day), "maker")
		c.api("GET", "/api/v2/buckets/"+mine, "", "")
		for i, body := range []string{`{"name":"made"}`, `{"orgID":"ORG"}`, `{"orgID":"ORG","name":"maker"}`, `{"orgID":"ORG","name":"_made"}`, `{"orgID":"ORG","name":"made","retentionRules":[{"type":"expire","everySeconds":1800}]}`,
			`{"orgID":"ORG","name":"made","retentionRules":[{"type":"expire","everySeconds":3600,"shardGroupDurationSeconds":7200}]}`} {
			if i != 1 { // 2.x makes a bucket without a name of that
				c.api("POST", "/api/v2/buckets", "", strings.Replace(body, "ORG", c.orgID, 1))
			}
		}
		c.api("POST", "/api/v2/buckets", "Token "+c.createToken([]string{mine}, []string{mine}), `{"orgID":"`+c.orgID+`","name":"made"}`)
		for i, rule := range []string{``, `{"type":"expire","everySeconds":7200}`, `{"type":"expire","everySeconds":604800}`, `{"type":"expire","everySeconds":31536000}`, `{"type":"expire","everySeconds":0,"shardGroupDurationSeconds":60}`, `{"type":"expire","everySeconds":0,"shardGroupDurationSeconds":5400}`} {
			status, _, body := c.send("POST", "/api/v2/buckets", "", []string{"Content-Type", "application/json"}, fmt.Sprintf(`{"orgID":%q,"name":"made %d","retentionRules":[%s]}`, c.orgID, i, rule))
			var b struct{ RetentionRules any }
			_ = json.Unmarshal(body, &b)
			c.keep("make "+rule, fmt.Sprint(status, b))
		}
		c.api("PATCH", "/api/v2/buckets/"+mine, "", `{"name":"maker2","retentionRules":[{"type":"expire","everySeconds":0,"shardGroupDurationSeconds":604800}]}`)
		c.api("GET", "/api/v2/buckets?name=maker", "", "")
		c.api("GET", "/api/v2/buckets?name=maker2", "", "")
		c.api("DELETE", "/api/v2/buckets/"+mine, "", "")
		c.api("GET", "/api/v2/buckets/"+mine, "", "")
	}},
	{"fact 25: who it is", not16, func(c *scene) {
		for _, m := range []string{"GET", "HEAD"} {
			status, h, _ := c.send(m, "/ping", "none", nil, "")
			c.keep(m+" ping", fmt.Sprint(status, h.Get("X-Influxdb-Build"), h.Get("X-Influxdb-Version")))
			if d, err := http.ParseTime(h.Get("Date")); err != nil || time.Since(d).Abs() > time.Minute {
				c.Errorf("%s: Date %s", c.name, h.Get("Date"))
			}
		}
		status, h, body := c.send("GET", "/health", "none", nil, "")
		var health struct{ Name, Status, Version, Message string }
		_ = json.Unmarshal(body, &health)
		c.keep("health", fmt.Sprint(status, h.Get("X-Influxdb-Version"), health))
		if !c.v1 {
			status, _, body := c.send("GET", "/ready", "none", nil, "")
			var ready struct {
				Status  string
				Started time.Time
			}
			_ = json.Unmarshal(body, &ready)
			c.keep("ready", fmt.Sprint(status, ready.Status, time.Since(ready.Started) < time.Hour))
		}
	}},
}

// shards returns the shard ids of a bucket by start, as far as the server tells them.
func shards(c *scene, bucket string) []string {
	c.Helper()
	var ids []string
	if c.v1 {
		_, _, body := c.send("GET", "/query?q=SHOW+SHARDS", "", nil, "")
		var a struct {
			Results []struct {
				Series []struct {
					Name   string
					Values [][]any
				}
			}
		}
		if err := json.Unmarshal(body, &a); err != nil {
			c.Fatal(err)
		}
		for _, s := range a.Results[0].Series {
			for _, v := range s.Values {
				if s.Name == bucket {
					ids = append(ids, fmt.Sprint(v[0]))
					c.keep("shard", fmt.Sprint(v[1], v[2], v[4:6]))
				}
			}
		}
	} else {
		for _, n := range c.counters(bucket) {
			ids = append(ids, n.shard)
		}
	}
	if len(ids) == 0 {
		c.Fatalf("%s: no shards of %s", c.name, bucket)
	}
	slices.SortFunc(ids, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b)/2 })
	return ids
}
