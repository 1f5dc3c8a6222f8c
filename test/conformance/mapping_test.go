package conformance

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
	"influxmirror/test/servers"
)

// siteValues are values of an added tag that statements and lines must carry as they are.
var siteValues = []string{"mcmurdo", `it's`, `a "b" c`, `x\y`, `\'`, "Südpol 🛰", "a,b=c d", "--", "' OR time > 0 --", "${x}", "Mcmurdo", "mcmurd"}

func mapEscaped(s string) string {
	return strings.NewReplacer(",", `\,`, "=", `\=`, " ", `\ `).Replace(s)
}

var mappingCases = []testCase{
	{"one tag's part of a bucket", both, func(c *scene) {
		b := c.bucket("parts", day)
		var lines []string
		for i, v := range siteValues {
			lines = append(lines, fmt.Sprintf("m,site=%s,a=%d v=%d,site=\"mcmurdo\" %s", mapEscaped(v), i%2, i, at(0, int64(i))))
		}
		lines = append(lines, "m v=1,site=\"mcmurdo\" "+at(0, 50), "m,site=mcmurdo v=2i "+at(2*day, 0), "m,site=elsewhere v=\"x\",w=1 "+at(4*day, 0), "m,site=elsewhere u=1 "+at(0, 51),
			"other,site=elsewhere v=1 "+at(0, 0), "plain v=1 "+at(0, 0))
		for _, l := range lines {
			c.write(b, l)
		}
		span := " WHERE time >= 0 AND time <= " + at(10*day, 0)
		first := " WHERE time >= 0 AND time < " + at(day, 0)
		for _, v := range append([]string{"nowhere"}, siteValues...) {
			only := ` AND "site"::tag = '` + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
			for _, q := range []string{"SELECT *::field FROM m" + first + only + " GROUP BY *", "SELECT *::field, *::tag FROM m" + first + only, "SELECT count(*::field) FROM m" + span + only,
				"EXPLAIN SELECT *::field FROM m" + first + only + " GROUP BY *", "EXPLAIN SELECT *::field, *::tag FROM m" + first + only} {
				c.query(b, q)
			}
		}
		only := ` AND "site"::tag = 'mcmurdo'`
		for _, q := range []string{"SELECT count(*::field), sum(*::field) FROM m" + span + only + " GROUP BY time(1d) fill(none)", "SELECT count(v::float), count(v::string) FROM m" + span + only, "SELECT *::field FROM other" + span + only + " GROUP BY *",
			"SELECT count(*::field) FROM plain" + span + only, "EXPLAIN SELECT *::field FROM other" + first + only, "SELECT *::field, *::tag FROM m" + span + only + " LIMIT 1",
			"SELECT *::field FROM m" + span + only + ` AND "a"::tag = '0' GROUP BY *`, "SHOW TAG KEYS"} {
			c.query(b, q)
		}
		c.want(c.query(b, "SELECT count(v) FROM m"+first+only), "[0 m[time count] (0i 1i)]")
	}},
}

// end is one bucket of a server for a client.
type end struct{ url, org, token, user, password string }

func (e end) options(side mirror.Side, bucket string) influx.Options {
	u, err := url.Parse(e.url)
	if err != nil {
		panic(err)
	}
	return influx.Options{Side: side, URL: u, Org: e.org, Bucket: bucket, Login: func() (influx.Login, error) {
		if e.user != "" {
			return influx.Login{User: e.user, Password: e.password}, nil
		}
		return influx.Login{Token: e.token}, nil
	}}
}

// TestMapping: sources that share a bucket each see their own part of it and nothing else: what a source is read and surveyed to hold with its tag is what the
// target is read and surveyed to hold of it. A source that has the tag already is refused before and during a read.
func TestMapping(t *testing.T) {
	for _, kind := range []servers.Kind{servers.V2, servers.V1} {
		t.Run(kind.String()+" real", func(t *testing.T) {
			s := servers.Start(t, kind)
			testMapping(t, end{s.URL, s.Org, s.Token, s.User, s.Password}, func(name string) { s.CreateBucket(name, 0, week) }, s.Write)
		})
		t.Run(kind.String()+" double", func(t *testing.T) {
			version := influxtest.V2
			if kind.Old() {
				version = influxtest.V1
			}
			s := influxtest.NewServer(influxtest.Options{Version: version})
			t.Cleanup(s.Close)
			testMapping(t, end{url: s.URL, org: s.Org, token: s.Token}, func(name string) { s.CreateBucket(name, 0, week) }, s.Write)
		})
	}
}

func testMapping(t *testing.T, server end, create func(string), write func(string, string)) {
	ctx := context.Background()
	create("shared")
	write("shared", "m,site=stranger v=7,own=1 1700000000000000000\nm v=8 1700000000000000001\nstrange,site=stranger v=1 1700000000000000000")
	chunkOf := func(name string) mirror.Chunk {
		w := mirror.NewGrid(int64(week)).Group(1700000000000000000)
		return mirror.Chunk{Measurement: name, Window: w, Width: int64(time.Hour)}
	}
	type part struct {
		source *influx.Client
		target *influx.Target
	}
	var parts []part
	for i, v := range siteValues {
		name := fmt.Sprintf("site%d", i)
		create(name)
		write(name, fmt.Sprintf("m,a=1 v=%d,site=\"of old\",s=\"it's \\\" %s\" 1700000000000000000\nm,a=2,zz=9 v=-0,n=%di 1700000000000000001\nm site=\"no tag\" 1700000000000000002\nfew,h=%d v=true 1700000000000000003",
			i, strings.ReplaceAll(strings.ReplaceAll(v, `\`, `\\`), `"`, `\"`), i, i))
		var many []string
		for k := range 300 {
			many = append(many, fmt.Sprintf("many v=%d.5 %d", i, 1700000000000000000+int64(k)*1e9))
		}
		write(name, strings.Join(many, "\n"))
		tags := []mirror.Tag{{Key: "site", Value: v}}
		from, to := server.options(mirror.SourceSide, name), server.options(mirror.TargetSide, "shared")
		from.AddTags, to.Only = tags, tags
		p := part{influx.New(from), influx.NewTarget(to)}
		t.Cleanup(p.source.Close)
		t.Cleanup(p.target.Close)
		parts = append(parts, p)
	}
	identities := map[string]bool{}
	for i, p := range parts {
		if _, err := p.source.Probe(ctx); err != nil {
			t.Fatal(err)
		}
		probe, err := p.target.Probe(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if identities[probe.Identity] || mirror.Whole(probe.Identity) == probe.Identity || strings.Contains(probe.Identity, "|") {
			t.Errorf("identity %s", probe.Identity)
		}
		identities[probe.Identity] = true
		for _, name := range []string{"m", "few", "many"} {
			if r, err := p.target.Read(ctx, chunkOf(name), nil); err != nil || r.Total().Count != 0 {
				t.Fatalf("%q sees %d samples of %s that others wrote: %v", siteValues[i], r.Total().Count, name, err)
			}
			w, err := p.target.Open(ctx, chunkOf(name))
			if err != nil {
				t.Fatal(err)
			}
			r, err := p.source.Read(ctx, chunkOf(name), w.Write)
			if err != nil || len(r.Unwritable) > 0 || r.Total().Count == 0 {
				t.Fatal(r, err)
			}
			if refused, err := w.Close(); err != nil || len(refused.Lines)+len(refused.Fields) > 0 {
				t.Fatal(refused, err)
			}
		}
	}
	for i, p := range parts {
		for _, name := range []string{"m", "few", "many"} {
			var lines [2]bytes.Buffer
			a, err := p.source.Read(ctx, chunkOf(name), func(b []byte) error { lines[0].Write(b); return nil })
			if err != nil {
				t.Fatal(err)
			}
			b, err := p.target.Read(ctx, chunkOf(name), func(b []byte) error { lines[1].Write(b); return nil })
			if err != nil {
				t.Fatal(err)
			}
			if a.Total() != b.Total() || lines[0].Len() != lines[1].Len() || !bytes.Contains(lines[1].Bytes(), []byte(",site="+mapEscaped(siteValues[i]))) {
				t.Errorf("%q, %s: source\n%.500s\ntarget\n%.500s", siteValues[i], name, lines[0].String(), lines[1].String())
			}
		}
		for _, req := range []mirror.SurveyRequest{{Window: mirror.Axis, Width: int64(week), Offset: mirror.NewGrid(int64(week)).Offset(), Sums: true}, {Window: chunkOf("m").Window, Width: int64(time.Hour)}} {
			var got [2][]string
			for side, c := range []*influx.Client{p.source, p.target.Client} {
				err := c.Survey(ctx, req, func(n mirror.Count) error {
					got[side] = append(got[side], fmt.Sprint(n.Measurement, n.Window, n.Samples))
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if strings.Join(got[0], "\n") != strings.Join(got[1], "\n") || len(got[0]) < 3 {
				t.Errorf("%q: source %q, target %q", siteValues[i], got[0], got[1])
			}
		}
		if at, err := p.target.Locate(ctx, map[mirror.Window][]string{chunkOf("m").Window: {"m"}}); err != nil || len(at) != 1 {
			t.Errorf("%q is located in %v: %v", siteValues[i], at, err)
		}
	}

	// A tag that the source has is never changed: between two whole probes a read says so, in either form, then the probe does.
	p := parts[0]
	for _, line := range []string{"m,site=taken v=1 1700000000000000009", "many,site=taken v=1 1700000000000000009"} {
		write("site0", line)
		name, _, _ := strings.Cut(line, ",")
		_, err := p.source.Read(ctx, chunkOf(name), func([]byte) error { return nil })
		if want := fmt.Sprintf("measurement %q has a tag \"site\" (\"taken\") already, and add_tags changes no tag; choose another key in add_tags", name); mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	again := server.options(mirror.SourceSide, "site0")
	again.AddTags = []mirror.Tag{{Key: "site", Value: "mcmurdo"}}
	c := influx.New(again)
	defer c.Close()
	if _, err := c.Probe(ctx); mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), "has a tag \"site\" already") {
		t.Errorf("the probe says %v", err)
	}
	again.Wants = func(name string) bool { return name == "few" }
	c = influx.New(again)
	defer c.Close()
	if _, err := c.Probe(ctx); err != nil {
		t.Errorf("measurements that are not mirrored may have the tag: %v", err)
	}
}
