package influx

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/mirror"
)

// paths are what a server answers, by path; others are not found, as 1.x says it.
type paths map[string]http.HandlerFunc

// pretender is a Client of a server that calls itself version.
func pretender(t *testing.T, version string, answers paths) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Influxdb-Version", version)
		switch fn := answers[r.URL.Path]; {
		case fn != nil:
			fn(w, r)
		case r.URL.Path == "/ping":
			w.WriteHeader(http.StatusNoContent)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Side: mirror.SourceSide, URL: u, Bucket: "db", Org: "lab"})
	t.Cleanup(c.Close)
	return c
}

func says(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

// policiesOf answers SHOW RETENTION POLICIES, and refuses what only an admin may ask.
func policiesOf(columns []string, rows ...[]any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", msgpackType)
		if strings.Contains(r.FormValue("q"), "SHOW STATS") {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte("\x81\xa5error\xaarequires it"))
			return
		}
		_, _ = w.Write(reply(2, fakeTable{statement: 0, columns: columns, rows: rows}))
	}
}

// What calls itself InfluxDB and is not is told apart by what it answers, and what is one by the same.
func TestWhatItIs(t *testing.T) {
	json := "application/json"
	lists := says(200, json, `{"results":[{"series":[{"values":[]}]}]}`)
	usual := policiesOf([]string{"name", "duration", "shardGroupDuration", "replicaN", "default"}, []any{"autogen", "0s", "168h0m0s", int64(1), true})
	for name, c := range map[string]struct {
		version string
		answers paths
		kind    mirror.Kind
		says    string
		product string
	}{
		"VictoriaMetrics":                 {"1.8.0", paths{"/ready": says(400, "text/plain", "unsupported path requested: \"/ready\""), "/query": lists}, mirror.Foreign, "imitations cannot be mirrored", ""},
		"a quiet imitation":               {"1.8.0", paths{"/query": lists}, mirror.Foreign, "imitations cannot be mirrored", ""},
		"a page for everything":           {"1.8.0", paths{"/ready": says(200, "text/html", "<html>"), "/query": says(200, "text/html", "<html>")}, mirror.Foreign, "imitations cannot be mirrored", ""},
		"1.x":                             {"1.8.10", paths{"/query": usual}, "", "", "InfluxDB 1"},
		"1.x built by somebody":           {"unknown", paths{"/query": usual}, "", "", "InfluxDB 1"},
		"1.x with a tenant's proxy":       {"1.8.10", paths{"/query": usual, "/ready": says(403, json, `{}`)}, "", "", "InfluxDB 1"},
		"2.x":                             {"v2.7.12", paths{"/ready": says(200, json, `{"status":"ready"}`), "/api/v2/buckets": says(200, json, `{}`)}, mirror.Missing, "in organisation", ""},
		"2.x behind a proxy":              {"v2.7.12", paths{"/api/v2/buckets": says(200, json, `{}`)}, mirror.Missing, "in organisation", ""},
		"2.x by somebody, behind a proxy": {"dev", paths{"/api/v2/setup": says(200, json, `{"allowed":false}`), "/api/v2/buckets": says(200, json, `{}`)}, mirror.Missing, "in organisation", ""},
		"3.x":                             {"3.1.0", paths{"/query": usual}, mirror.Blocked, "only InfluxDB 1 and 2", ""},
		"no policy that is the default":   {"1.8.10", paths{"/query": policiesOf([]string{"name", "duration", "shardGroupDuration", "replicaN", "default"}, []any{"a", "0s", "24h0m0s", int64(1), false})}, mirror.Blocked, "no default retention policy; name one of \"a\"", ""},
		"a policy without a duration":     {"1.8.10", paths{"/query": policiesOf([]string{"name", "default"}, []any{"a", true})}, mirror.Foreign, "a retention policy", ""},
		"a duration that is none":         {"1.8.10", paths{"/query": policiesOf([]string{"name", "duration", "shardGroupDuration", "default"}, []any{"a", "x", "24h", true})}, mirror.Foreign, "a duration", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := pretender(t, c.version, c.answers).Probe(context.Background())
			if mirror.KindOf(err) != c.kind || p.Product != c.product || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}

// A 1.x server that does not tell its write counters, or too much, is probed like one that has none.
func TestCountersOfOddOldServers(t *testing.T) {
	json := "application/json"
	good := `{"system":{"started":"2026-01-01T00:00:00Z"},"shard:a:1":{"tags":{"database":"db","retentionPolicy":"autogen","id":"1"},"values":{"writeReq":2,"writePointsOk":3,"writePointsErr":0}},
		"shard:a:2":{"tags":{"database":"other","retentionPolicy":"autogen","id":"2"},"values":{"writeReq":2,"writePointsOk":3}},"memstats":{"Alloc":1}}`
	for name, c := range map[string]struct {
		vars   http.HandlerFunc
		shards string
		kind   mirror.Kind
	}{
		"two databases":    {says(200, json, good), "map[1:5]", ""},
		"no start":         {says(200, json, strings.Replace(good, `"started"`, `"x"`, 1)), "map[]", ""},
		"kept back":        {says(403, json, `{"error":"no"}`), "map[]", ""},
		"not there":        {nil, "map[]", ""},
		"HTML":             {says(200, "text/html", "<html>"), "map[]", ""},
		"a list":           {says(200, json, "[1]"), "map[]", ""},
		"half a document":  {says(200, json, good[:200]), "map[]", ""},
		"too much to read": {says(200, json, `{"x":"`+strings.Repeat("x", 2<<20)+`"}`), "map[]", ""},
		"busy":             {says(503, json, "{}"), "map[]", mirror.Busy},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			answers := paths{"/query": policiesOf([]string{"name", "duration", "shardGroupDuration", "default"}, []any{"autogen", "0s", "168h0m0s", true})}
			if c.vars != nil {
				answers["/debug/vars"] = func(w http.ResponseWriter, r *http.Request) { asked++; c.vars(w, r) }
			}
			client := pretender(t, "1.8.10", answers)
			client.o.Compress = true
			for range 2 {
				p, err := client.Probe(context.Background())
				if mirror.KindOf(err) != c.kind {
					t.Fatal(err)
				}
				if err != nil {
					return
				}
				if fmt.Sprint(p.Counters.Shards) != c.shards || p.Counters.Known() != (c.shards != "map[]") || time.Since(time.Unix(0, p.Date)).Abs() > time.Minute {
					t.Errorf("%+v", p)
				}
			}
			if name == "too much to read" && asked != 1 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}
