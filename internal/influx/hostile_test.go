package influx

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"

	"influxmirror/internal/mirror"
)

// table appends one series of one statement; values are int64, uint64, float64, bool, string or nil.
type fakeTable struct {
	statement int
	name      string
	columns   []string
	rows      [][]any
}

// reply is what a server sends: {"results":[{"statement_id":…,"series":[{…}]}]}.
func reply(statements int, tables ...fakeTable) []byte {
	n := uint32(statements)
	b := msgp.AppendMapHeader(nil, 1)
	b = msgp.AppendString(b, "results")
	b = msgp.AppendArrayHeader(b, n)
	for i := range statements {
		var of []fakeTable
		for _, t := range tables {
			if t.statement == i {
				of = append(of, t)
			}
		}
		b = appendResult(b, i, of)
	}
	return b
}

func appendResult(b []byte, id int, tables []fakeTable) []byte {
	b = msgp.AppendMapHeader(b, 2)
	b = msgp.AppendString(b, "statement_id")
	b = msgp.AppendInt(b, id)
	b = msgp.AppendString(b, "series")
	b = msgp.AppendArrayHeader(b, uint32(len(tables)))
	for _, t := range tables {
		b = msgp.AppendMapHeader(b, 3)
		b = msgp.AppendString(b, "name")
		b = msgp.AppendString(b, t.name)
		b = msgp.AppendString(b, "columns")
		b = msgp.AppendArrayHeader(b, uint32(len(t.columns)))
		for _, c := range t.columns {
			b = msgp.AppendString(b, c)
		}
		b = msgp.AppendString(b, "values")
		b = msgp.AppendArrayHeader(b, uint32(len(t.rows)))
		for _, row := range t.rows {
			b = msgp.AppendArrayHeader(b, uint32(len(row)))
			for _, v := range row {
				b, _ = msgp.AppendIntf(b, v)
			}
		}
	}
	return b
}

// answering is a client of a server that answers every query by fn.
func answering(t *testing.T, fn func(q string) []byte) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", msgpackType)
		_, _ = w.Write(fn(r.FormValue("q")))
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Side: mirror.SourceSide, URL: u, Bucket: "b"})
	t.Cleanup(c.Close)
	return c
}

const hours = int64(time.Hour)

var (
	noRow     = fakeTable{statement: 0, name: "m", rows: [][]any{{}}}
	plan1     = fakeTable{statement: 0, columns: []string{"QUERY PLAN"}, rows: [][]any{{"AUXILIARY FIELDS: v::float"}, {"NUMBER OF SHARDS: 1"}, {"NUMBER OF SERIES: 1"}}}
	count1    = fakeTable{statement: 1, name: "m", columns: []string{"time", "count_v"}, rows: [][]any{{int64(0), int64(1)}}}
	sample1   = fakeTable{statement: 2, name: "m", columns: []string{"time", "v"}, rows: [][]any{{int64(5), 1.5}}}
	countNow1 = fakeTable{statement: 3, name: "m", columns: []string{"time", "count_v"}, rows: [][]any{{int64(0), int64(1)}}}
)

// with returns a table with another field.
func with(t fakeTable, change func(*fakeTable)) fakeTable {
	change(&t)
	return t
}

// TestReadOfOddAnswers: whatever a peer sends instead of an answer, a read returns an error of its own, and nothing of it counts.
func TestReadOfOddAnswers(t *testing.T) {
	good := reply(5, plan1, count1, sample1, countNow1)
	nest := func(depth int) []byte {
		b := msgp.AppendMapHeader(nil, 1)
		b = msgp.AppendString(b, "x")
		for range depth {
			b = msgp.AppendArrayHeader(b, 1)
		}
		return msgp.AppendNil(b)
	}
	huge := func(header func([]byte, uint32) []byte) []byte { return header(nil, math.MaxUint32) }
	cases := map[string][]byte{
		"nothing":                       {},
		"an answer less its last byte":  good[:len(good)-1],
		"half an answer":                good[:len(good)/2],
		"no sentinel":                   reply(4, plan1, count1, sample1, countNow1),
		"a statement more":              reply(6, plan1, count1, sample1, countNow1),
		"an answer and something":       append(append([]byte{}, good...), 0xc1),
		"JSON":                          []byte(`{"results":[]}`),
		"a statement below 0":           append(append(append(msgp.AppendMapHeader(nil, 1), msgp.AppendString(nil, "results")...), msgp.AppendArrayHeader(nil, 1)...), appendResult(nil, -1, []fakeTable{count1})...),
		"statements out of order":       append(append(append(msgp.AppendMapHeader(nil, 1), msgp.AppendString(nil, "results")...), msgp.AppendArrayHeader(nil, 1)...), appendResult(nil, 2, nil)...),
		"no plan":                       reply(5, count1, sample1, countNow1),
		"a plan of no shard":            reply(5, with(plan1, func(t *fakeTable) { t.rows = [][]any{{"AUXILIARY FIELDS: v::float"}} }), count1, sample1, countNow1),
		"a plan of many shards, maybe":  reply(5, with(plan1, func(t *fakeTable) { t.rows = append([][]any{{"NUMBER OF SHARDS: x"}}, t.rows...) }), count1, sample1, countNow1),
		"a plan with an unknown type":   reply(5, with(plan1, func(t *fakeTable) { t.rows = [][]any{{"AUXILIARY FIELDS: v::thing"}} }), count1, sample1, countNow1),
		"a plan with an open name":      reply(5, with(plan1, func(t *fakeTable) { t.rows = [][]any{{`AUXILIARY FIELDS: "v::float`}} }), count1, sample1, countNow1),
		"a plan that is no text":        reply(5, with(plan1, func(t *fakeTable) { t.rows = [][]any{{int64(1)}} }), count1, sample1, countNow1),
		"rows of another measurement":   reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.name = "n" }), countNow1),
		"another column":                reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.columns = []string{"time", "w"} }), countNow1),
		"a column more":                 reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.columns = []string{"time", "v", "w"}; t.rows = [][]any{{int64(5), 1.5, 1.5}} }), countNow1),
		"no column":                     reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.columns = nil; t.rows = [][]any{{}} }), countNow1),
		"a row too short":               reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.rows = [][]any{{int64(5)}} }), countNow1),
		"a time outside":                reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.rows = [][]any{{int64(-5), 1.5}} }), countNow1),
		"no time":                       reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.rows = [][]any{{nil, 1.5}} }), countNow1),
		"a value of another type":       reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.rows = [][]any{{int64(5), "1.5"}} }), countNow1),
		"an integer where floats are":   reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.rows = [][]any{{int64(5), int64(1)}} }), countNow1),
		"a sample too many":             reply(5, plan1, count1, with(sample1, func(t *fakeTable) { t.rows = [][]any{{int64(5), 1.5}, {int64(6), 1.5}} }), countNow1),
		"a sample missing":              reply(5, plan1, count1, countNow1),
		"counts without rows of counts": reply(5, plan1, with(count1, func(t *fakeTable) { t.columns = nil; t.rows = [][]any{{}} }), sample1, countNow1),
		"a count that is text":          reply(5, plan1, with(count1, func(t *fakeTable) { t.rows = [][]any{{int64(0), "1"}} }), sample1, with(countNow1, func(t *fakeTable) { t.rows = [][]any{{int64(0), "1"}} })),
		"an error inside":               append(append(append(append(msgp.AppendMapHeader(nil, 1), msgp.AppendString(nil, "results")...), msgp.AppendArrayHeader(nil, 1)...), msgp.AppendMapHeader(nil, 1)...), append(msgp.AppendString(nil, "error"), msgp.AppendString(nil, "query killed")...)...),
		"a map of 2^32":                 huge(msgp.AppendMapHeader),
		"an array of 2^32":              huge(msgp.AppendArrayHeader),
		"2^32 results":                  append(append(msgp.AppendMapHeader(nil, 1), msgp.AppendString(nil, "results")...), huge(msgp.AppendArrayHeader)...),
		"nested a million deep":         nest(1_000_000),
	}
	chunk := mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}
	for name, body := range cases {
		t.Run(name, func(t *testing.T) {
			c := answering(t, func(q string) []byte { return body })
			c.learn("m", 1, 1000) // the form is known
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			r, err := c.Read(context.Background(), chunk, func([]byte) error { return nil })
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("it was taken: %+v", r)
			}
			if mirror.KindOf(err) == "" {
				t.Errorf("no error of an endpoint: %v", err)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
				t.Errorf("%d MiB were allocated", used>>20)
			}
		})
	}
	c := answering(t, func(string) []byte { return good })
	c.learn("m", 1, 1000)
	if r, err := c.Read(context.Background(), chunk, nil); err != nil || r.Total().Count != 1 || r.Live {
		t.Errorf("void: a good answer is not taken: %+v, %v", r, err)
	}
	live := reply(5, plan1, count1, sample1, with(countNow1, func(t *fakeTable) { t.rows = [][]any{{int64(0), int64(2)}} }))
	c = answering(t, func(string) []byte { return live })
	c.learn("m", 1, 1000)
	if r, err := c.Read(context.Background(), chunk, nil); err != nil || !r.Live {
		t.Errorf("counts before and after differ, and the read is not live: %+v, %v", r, err)
	}
}

// TestSurveyOfOddAnswers: the same for surveys, and for the small questions.
func TestSurveyOfOddAnswers(t *testing.T) {
	steps := func(rows ...[]any) fakeTable {
		return fakeTable{statement: 0, name: "m", columns: []string{"time", "count_v"}, rows: rows}
	}
	negative := append(append(append(msgp.AppendMapHeader(nil, 1), msgp.AppendString(nil, "results")...), msgp.AppendArrayHeader(nil, 1)...), appendResult(nil, -1, []fakeTable{steps([]any{int64(0), int64(1)})})...)
	req := mirror.SurveyRequest{Measurements: []string{"m"}, Window: mirror.Window{Start: 0, Stop: 10 * hours}, Width: hours}
	for name, body := range map[string][]byte{
		"nothing":               {},
		"no sentinel":           reply(1, steps([]any{int64(0), int64(1)})),
		"no column":             reply(2, noRow),
		"no time column":        reply(2, fakeTable{statement: 0, name: "m", columns: []string{"count_v"}, rows: [][]any{{int64(1)}}}),
		"a statement below 0":   negative,
		"a count before":        reply(2, steps([]any{-5 * hours, int64(1)})),
		"a count behind":        reply(2, steps([]any{10 * hours, int64(1)})),
		"a count far behind":    reply(2, steps([]any{int64(math.MaxInt64), int64(1)})),
		"a count long ago":      reply(2, steps([]any{int64(math.MinInt64), int64(1)})),
		"a time that is a text": reply(2, steps([]any{"now", int64(1)})),
		"a time that is absent": reply(2, steps([]any{nil, int64(1)})),
	} {
		t.Run(name, func(t *testing.T) {
			c := answering(t, func(q string) []byte {
				if strings.HasPrefix(q, "SHOW FIELD KEYS") {
					return reply(3)
				}
				return body
			})
			err := c.Survey(context.Background(), req, func(n mirror.Count) error {
				if n.Window.Empty() || !req.Window.Covers(n.Window) {
					t.Errorf("counted in %v", n.Window)
				}
				return nil
			})
			if err == nil || mirror.KindOf(err) == "" {
				t.Errorf("it was taken: %v", err)
			}
		})
	}
	for name, body := range map[string][]byte{"no column": reply(2, noRow), "a statement below 0": negative, "a row too long": reply(2, fakeTable{statement: 0, columns: []string{"name"}, rows: [][]any{{"a", "b"}}})} {
		t.Run("ask: "+name, func(t *testing.T) {
			c := answering(t, func(string) []byte { return body })
			ctx := context.Background()
			if _, err := c.measurements(ctx); err == nil {
				t.Error("a list of measurements was taken")
			}
			if _, err := c.TagKeys(ctx); err == nil {
				t.Error("a list of tags was taken")
			}
			if _, err := c.Locate(ctx, map[mirror.Window][]string{{Start: 0, Stop: 1}: {"m"}}); err == nil {
				t.Error("a list of shards was taken")
			}
			if _, _, err := c.readHidden(ctx, mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: mirror.MinTime, Stop: 0}, Width: math.MaxInt64}, nil); err == nil {
				t.Error("a read of the oldest rows was taken")
			}
		})
	}
}

// TestNamesThatCannotBeAsked: every name that a statement can hold reaches the server as it is, and all others are unreadable.
func TestNamesThatCannotBeAsked(t *testing.T) {
	for name, readable := range map[string]bool{
		"m": true, `a"b`: true, `a'b`: true, `a\b`: true, "a\nb": true, "a;b": true, "a b": true, "$1": true, "": true, "ü": true, "a\u2028b": true, "\ufffd": true, "/x/": true, "a\tb": true,
		"a\rb": false, "a\r\nb": false, "\x00": false, "a\xff": false, "\xed\xa0\x80": false, "_tags": false, "_series": false,
	} {
		asked := ""
		c := answering(t, func(q string) []byte {
			if strings.HasPrefix(q, "SHOW FIELD KEYS") {
				return reply(3)
			}
			asked = q
			return reply(2)
		})
		why := ""
		err := c.Survey(context.Background(), mirror.SurveyRequest{Measurements: []string{name}, Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}, func(n mirror.Count) error {
			why = n.Unreadable
			return nil
		})
		if err != nil || (why == "") != readable || (asked != "") != readable {
			t.Errorf("%q: unreadable %q, asked %q: %v", name, why, asked, err)
		}
		if readable && !strings.Contains(asked, " FROM "+ident(name)+" WHERE ") {
			t.Errorf("%q is asked for by %q", name, asked)
		}
	}
}

// TestFieldsThatCannotBeCast: a measurement with fields of several types, one of which no statement can name, is unreadable, not miscounted.
func TestFieldsThatCannotBeCast(t *testing.T) {
	c := answering(t, func(q string) []byte {
		if strings.HasPrefix(q, "SHOW FIELD KEYS") {
			rows := [][]any{{"v", "float"}, {"v", "string"}, {"a\rb", "float"}}
			return reply(3, fakeTable{name: "m", columns: []string{"fieldKey", "fieldType"}, rows: rows}, fakeTable{statement: 1, name: "m", columns: []string{"fieldKey", "fieldType"}, rows: rows})
		}
		t.Errorf("asked %q", q)
		return reply(2)
	})
	why := ""
	err := c.Survey(context.Background(), mirror.SurveyRequest{Measurements: []string{"m"}, Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}, func(n mirror.Count) error {
		why = n.Unreadable
		return nil
	})
	if err != nil || why == "" {
		t.Errorf("unreadable %q: %v", why, err)
	}
}

// TestSurveyStaysInItsWindow: whatever the window and width, no statement asks for more than was asked, but for what the whole axis is compared with.
func TestSurveyStaysInItsWindow(t *testing.T) {
	for _, width := range []int64{60e9, 3600e9, 5400e9, day, 7 * day, 180 * day, 365 * day} {
		grid := mirror.NewGrid(width)
		for _, w := range []mirror.Window{mirror.Axis, grid.Group(mirror.MinTime), grid.Group(grid.Group(mirror.MinTime).Stop), {Start: mirror.MinTime, Stop: mirror.MinTime + 5}, grid.Group(mirror.MaxTime),
			{Start: mirror.MaxTime - 5, Stop: math.MaxInt64}, {Start: mirror.MinTime, Stop: 0}, {Start: 0, Stop: math.MaxInt64}, {Start: -7, Stop: 9}} {
			s := &survey{c: &Client{}, req: mirror.SurveyRequest{Window: w, Width: width, Offset: grid.Offset()}}
			s.begin()
			s.add("m")
			var parts []mirror.Window
			for _, a := range s.asked {
				if a.part != before && a.part != after && a.part != rest {
					parts = append(parts, a.window)
				}
				if a.window.Empty() {
					t.Errorf("width %d: an empty statement for %v", width, w)
				}
			}
			at := w.Start
			for _, p := range parts {
				if p.Start != at {
					t.Errorf("width %d: %v is asked as %v", width, w, parts)
				}
				at = p.Stop
			}
			if at != w.Stop {
				t.Errorf("width %d: %v is asked as %v", width, w, parts)
			}
		}
	}
}

// TestMetricsOfOddServers: what is no counter is not taken for one, and no answer ends more than the hint it is.
func TestMetricsOfOddServers(t *testing.T) {
	id := "bucket=\"0123\""
	for name, c := range map[string]struct {
		body string
		want string
	}{
		"good":         {fmt.Sprintf("influxdb_uptime_seconds{id=\"a\"} 1\nstorage_shard_write_count{%s,id=\"7\"} 5\n", id), "map[7:5]"},
		"another's":    {"influxdb_uptime_seconds{id=\"a\"} 1\nstorage_shard_write_count{bucket=\"9\",id=\"7\"} 5\n", "map[]"},
		"NaN":          {fmt.Sprintf("influxdb_uptime_seconds{id=\"a\"} 1\nstorage_shard_write_count{%s,id=\"7\"} NaN\n", id), "map[]"},
		"negative":     {fmt.Sprintf("influxdb_uptime_seconds{id=\"a\"} 1\nstorage_shard_write_count{%s,id=\"7\"} -1\n", id), "map[]"},
		"infinite":     {fmt.Sprintf("influxdb_uptime_seconds{id=\"a\"} 1\nstorage_shard_write_count{%s,id=\"7\"} +Inf\n", id), "map[]"},
		"a long line":  {"influxdb_uptime_seconds{id=\"a\"} 1\n" + strings.Repeat("x", 3<<20), "map[]"},
		"no id":        {fmt.Sprintf("influxdb_uptime_seconds{id=\"a\"} 1\nstorage_shard_write_count{%s} 5\n", id), "map[]"},
		"no number":    {fmt.Sprintf("influxdb_uptime_seconds{id=\"a\"} 1\nstorage_shard_write_count{%s,id=\"7\"}\n", id), "map[]"},
		"open bracket": {fmt.Sprintf("influxdb_uptime_seconds{id=\"a\"} 1\nstorage_shard_write_count{%s,id=\"7", id), "map[]"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(c.body)) }))
			defer s.Close()
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			client := New(Options{Side: mirror.SourceSide, URL: u, Bucket: "b"})
			defer client.Close()
			p := mirror.Probe{BucketID: "0123"}
			if err := client.counters(context.Background(), &p); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(p.Counters.Shards); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestBomb: an answer that unpacks to more than a small answer may have ends there.
func TestBomb(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	head := msgp.AppendString(msgp.AppendMapHeader(nil, 1), "x")
	_, _ = z.Write(append(head, 0xc6, 0x7f, 0xff, 0xff, 0xff)) // 2 GiB to pass over
	zeros := make([]byte, 1<<20)
	for range 256 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", msgpackType)
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(packed.Bytes())
	}))
	defer s.Close()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Side: mirror.SourceSide, URL: u, Bucket: "b"})
	defer c.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = c.TagKeys(context.Background())
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; mirror.KindOf(err) != mirror.TooLarge || used > 64<<20 {
		t.Errorf("%d MiB were allocated: %v", used>>20, err)
	}
}
