package influx

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/mirror"
)

// FuzzTold: what a server tells of itself is taken as a strict reader takes it, or not at all: counters, small answers, policies, plans, documents, clocks;
// and what a proxy says to a tunnel.
func FuzzTold(f *testing.F) {
	metric := func(bucket, id, n string) string {
		return `storage_shard_write_count{bucket="` + bucket + `",engine="tsm1",id="` + id + `",path="/d/` + id + `",walPath="/w"} ` + n + "\n"
	}
	f.Add(byte(0), []byte("# HELP\ninfluxdb_uptime_seconds{id=\"x\"} 5\n"+metric("0123", "7", "5")+metric("0124", "8", "6")+metric("0123", "9", "1.5e+06")), "Tue, 14 Nov 2023 22:13:20 GMT")
	f.Add(byte(0), []byte("influxdb_uptime_seconds{id=\"x\"} 5\n"+metric("0123", "7", "+Inf")+metric("0123", "8", "-1")+metric("0123", "7", "3")), "")
	f.Add(byte(1), []byte(`{"system":{"currentTime":"t","started":"s"},"shard:/x:7":{"name":"shard","tags":{"database":"db","id":"7","retentionPolicy":"rp"},"values":{"writeReq":1,"writePointsOk":2,"writePointsErr":3}}}`), "Sunday, 06-Nov-94 08:49:37 GMT")
	f.Add(byte(1), []byte(`{"system":{"started":"s"},"shard:7":{"tags":{"database":"db","id":"7","retentionPolicy":"rp"},"values":{"writeReq":18446744073709551615,"writePointsOk":2}}`), "")
	f.Add(byte(2), reply(3, plan1, count1, fakeTable{statement: 2, name: "x", columns: []string{"a", "b"}, rows: [][]any{{nil, true}, {1.5, "t"}, {uint64(1 << 63), int64(-1)}}}), "")
	f.Add(byte(3), reply(2, fakeTable{columns: []string{"name", "duration", "shardGroupDuration", "replicaN", "futureWriteLimit", "pastWriteLimit", "default"}, rows: [][]any{{"rp", "168h0m0s", "24h0m0s", int64(1), "0s", "0s", true}}}), "")
	f.Add(byte(3), reply(2, fakeTable{columns: []string{"name", "duration", "default"}, rows: [][]any{{"rp", "-1h", true}}}), "")
	f.Add(byte(4), []byte("EXPLAIN ANALYZE\n-----------\n.\n└── select\n    ├── create_iterator\n    │\u00a0\u00a0 ├── labels\n    │\u00a0\u00a0 │\u00a0\u00a0 ├── measurement: x shard_id: 9\n    │\u00a0\u00a0 │\u00a0\u00a0 └── shard_id: 7\nshard_id: x\n"), "")
	f.Add(byte(5), []byte(`{"buckets":[{"id":"02ab","orgID":"01cd","name":"b","retentionRules":[{"everySeconds":3600,"shardGroupDurationSeconds":86400}]}]}`), "")
	f.Add(byte(5), []byte(`{"buckets":[{"id":"; rm -rf /","orgID":"01cd","name":"b"}]}`), "")
	f.Add(byte(6), []byte("HTTP/1.1 200 Connection established\r\n\r\n"), "")
	f.Add(byte(6), []byte("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"), "")
	f.Add(byte(6), []byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"), "")
	f.Add(byte(7), []byte("\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90"), "")
	f.Add(byte(7), []byte("\x05\x00\x05\x05\x00\x03\x02hi\x00\x01"), "")
	f.Fuzz(func(t *testing.T, what byte, body []byte, date string) {
		if len(body) > 1<<16 || len(date) > 100 {
			return
		}
		header := answerHeader()
		header.Set("Date", date)
		header.Set("X-Influxdb-Version", "2.7.12")
		c := without(Options{Org: "lab", Login: func() (Login, error) { return Login{Token: fuzzToken}, nil }}, func(r *http.Request) *http.Response {
			if r.URL.Path == "/ready" {
				return said(404, header, nil)
			}
			return said(200, header, body)
		})
		p := mirror.Probe{Product: product2, BucketID: "0123"}
		ctx := context.Background()
		var err error
		switch what % 8 {
		case 0:
			if err = c.counters(ctx, &p); err == nil {
				checkMetrics(t, body, p.Counters)
			}
		case 1:
			if err = c.vars(ctx, &p, database{"db", "rp"}); err == nil {
				checkVars(t, body, p.Counters)
			}
		case 2:
			d := newDecoder(bytes.NewReader(body))
			tables, err := d.tables(3)
			d.free()
			if err == nil {
				checkTables(t, body, tables)
			}
			return
		case 3:
			d := newDecoder(bytes.NewReader(body))
			tables, err := d.tables(2)
			d.free()
			if err != nil {
				return
			}
			all, err := parsePolicies(tables)
			for _, one := range all {
				if err == nil && (one.name == "" || one.shardGroup <= 0 || one.retention < 0) {
					t.Fatalf("a policy %+v", one)
				}
			}
			return
		case 4:
			for line := range strings.SplitSeq(string(body), "\n") {
				_, digits, ok := strings.Cut(line, "shard_id: ")
				if got := shardOf(line); got != "" && (!ok || strings.TrimSpace(digits) != got || strings.ContainsFunc(got, func(r rune) bool { return r < '0' || r > '9' })) {
					t.Fatalf("%q names shard %q", line, got)
				}
			}
			return
		case 5:
			p = mirror.Probe{}
			if err = c.bucket(ctx, &p); err == nil && (p.Bucket != "b" || !idPattern.MatchString(p.BucketID) || !idPattern.MatchString(p.OrgID) || p.Identity != "influxdb2:"+p.OrgID+":"+p.BucketID || p.ShardGroup <= 0) {
				t.Fatalf("%q is bucket %+v", body, p)
			}
		default:
			checkTunnel(t, what%8 == 7, body)
			return
		}
		if err != nil {
			if mirror.KindOf(err) == "" {
				t.Fatalf("no error of an endpoint: %v", err)
			}
			checkWords(t, err.Error())
		} else if at, bad := http.ParseTime(date); bad == nil && p.Date != at.UnixNano() || bad != nil && p.Date != 0 {
			t.Fatalf("%q is %v", date, time.Unix(0, p.Date))
		}
	})
}

var (
	idPattern     = regexp.MustCompile(`^[0-9A-Za-z]{1,64}$`)
	metricPattern = regexp.MustCompile(`^storage_shard_write_count\{bucket="([0-9a-z]*)",engine="[^"\\]*",id="([^"\\]*)",path="[^"\\]*",walPath="[^"\\]*"\} (\d+(?:\.\d+)?(?:e\+\d\d)?)\r?$`)
)

// checkMetrics: where all lines are what a server writes, the counters are those of the bucket.
func checkMetrics(t *testing.T, body []byte, got mirror.Counters) {
	t.Helper()
	want := map[string]uint64{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	for lines.Scan() {
		if !strings.HasPrefix(lines.Text(), "storage_shard_write_count{") {
			continue
		}
		m := metricPattern.FindStringSubmatch(lines.Text())
		if m == nil {
			return
		}
		if n, err := strconv.ParseFloat(m[3], 64); m[1] == "0123" && err == nil && n < 1<<63 {
			want[m[2]] = uint64(n)
		}
	}
	if lines.Err() == nil && got.Started != "" && !maps.Equal(got.Shards, want) {
		t.Fatalf("%q counts %v, want %v", body, got, want)
	}
}

// checkVars: what is taken is one whole document, and the counters are its.
func checkVars(t *testing.T, body []byte, got mirror.Counters) {
	t.Helper()
	var all map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatalf("%q is no document, and was taken: %v", body, err)
	}
	for id, n := range got.Shards {
		found := false
		for key, v := range all {
			shard, _ := v.(map[string]any)
			tags, _ := shard["tags"].(map[string]any)
			values, _ := shard["values"].(map[string]any)
			if !strings.HasPrefix(key, "shard:") || tags["id"] != id || tags["database"] != "db" || tags["retentionPolicy"] != "rp" {
				continue
			}
			var sum uint64
			for _, name := range []string{"writeReq", "writePointsOk", "writePointsErr"} {
				x, _ := values[name].(json.Number)
				one, _ := strconv.ParseUint(string(x), 10, 64)
				sum += one
			}
			found = found || sum == n
		}
		if !found && !bytes.ContainsAny(body, "ABCDEFGHIJKLMNQSTUVWXYZ\\") && bytes.Count(body, []byte("shard:")) == 1 && bytes.Count(body, []byte(`"tags"`)) == 1 && bytes.Count(body, []byte(`"values"`)) == 1 { // names fit in any case; of two the last counts
			t.Fatalf("%q says nothing of shard %q = %d", body, id, n)
		}
	}
}

// checkTables holds a small answer against the second reader.
func checkTables(t *testing.T, body []byte, got []table) {
	t.Helper()
	var want []table
	for rest := body; len(rest) > 0; {
		var doc any
		var err error
		if doc, rest, err = tree(rest, 0); err != nil {
			t.Fatalf("it was taken, and is %v", err)
		}
		for _, e := range doc.([]pair) {
			if e.key != "results" {
				continue
			}
			for _, r := range e.value.([]any) {
				if repeats(r.([]pair)) {
					return
				}
				id := int64(-1)
				for _, e := range r.([]pair) {
					switch e.key {
					case "statement_id":
						id = e.value.(int64)
					case "series":
						for _, s := range e.value.([]any) {
							if repeats(s.([]pair)) {
								return
							}
							if one, ok := tableOf(int(id), s.([]pair)); ok {
								want = append(want, one)
							}
						}
					}
				}
			}
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d tables, want %d", len(got), len(want))
	}
	for i := range got {
		a, b := got[i], want[i]
		if a.Statement != b.Statement || a.Name != b.Name || !slices.Equal(a.Columns, b.Columns) || len(a.Rows) != len(b.Rows) || len(a.Rows) > 0 && !reflect.DeepEqual(a.Rows, b.Rows) {
			t.Fatalf("got %+v, want %+v", a, b)
		}
	}
}

func tableOf(id int, keys []pair) (out table, ok bool) {
	out.Statement = id
	for _, e := range keys {
		switch e.key {
		case "name":
			out.Name = e.value.(string)
		case "columns":
			for _, c := range e.value.([]any) {
				out.Columns = append(out.Columns, c.(string))
			}
		case "values":
			ok = true
			for _, r := range e.value.([]any) {
				var row []cell
				for _, v := range r.([]any) {
					row = append(row, cellOf(v))
				}
				out.Rows = append(out.Rows, row)
			}
			return out, ok // a name behind it comes too late
		}
	}
	return out, ok
}

func cellOf(v any) cell {
	switch v := v.(type) {
	case nil:
		return cell{Nil: true}
	case int64:
		return cell{Bits: uint64(v)}
	case uint64:
		return cell{Bits: v}
	case float64:
		return cell{Float: true, Bits: math.Float64bits(v)}
	case bool:
		return cell{Bits: map[bool]uint64{true: 1}[v]}
	case string:
		return cell{Text: v}
	}
	return cell{Text: fmt.Sprint("not a value: ", v)}
}

// conversation is a peer that says what it says, whatever it hears.
type conversation struct {
	net.Conn
	in *bytes.Reader
}

func (c *conversation) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c *conversation) Write(b []byte) (int, error) { return len(b), nil }

// checkTunnel: a tunnel is made only where a proxy said so, and nothing of what follows is swallowed.
func checkTunnel(t *testing.T, socks bool, body []byte) {
	t.Helper()
	r := &route{proxy: &url.URL{Scheme: "http", Host: "proxy.example:3128"}, url: &url.URL{Scheme: "https", Host: "station.example"}}
	conn := &conversation{in: bytes.NewReader(body)}
	var err error
	if socks {
		r.proxy.Scheme = "socks5h"
		err = r.socks(context.Background(), conn, "station.example:443")
	} else {
		err = r.ask(conn, "station.example:443")
	}
	if err != nil {
		if strings.ContainsAny(err.Error(), "\x1b\x07\r\n") {
			t.Fatalf("a terminal would obey %q", err)
		}
		return
	}
	if !socks {
		if !bytes.HasPrefix(body, []byte("HTTP/1.")) || !bytes.HasPrefix(body[min(8, len(body)):], []byte(" 200")) || !bytes.HasSuffix(body, []byte("\n\r\n")) && !bytes.HasSuffix(body, []byte("\n\n")) {
			t.Fatalf("%q is taken for a tunnel", body)
		}
		return
	}
	ends := map[byte]int{1: 2 + 4 + 4 + 2, 4: 2 + 4 + 16 + 2}
	if len(body) > 6 && body[5] == 3 {
		ends[3] = 2 + 4 + 1 + int(body[6]) + 2
	}
	left, _ := io.ReadAll(conn.in)
	if len(body) < 12 && body[5] != 3 || body[0] != 5 || body[1] != 0 || body[2] != 5 || body[3] != 0 || len(body)-len(left) != ends[body[5]] {
		t.Fatalf("%q is taken for a tunnel, and %q is left", body, left)
	}
}
