package security

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"
)

// mostMemory is what a process may have, whatever it is sent (law L16).
const mostMemory = 256 << 20

// A hundred thousand series are copied and proven in little memory.
func TestManySeries(t *testing.T) {
	p := newPlace(t)
	var lines strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&lines, "cpu,host=machine-%06d,rack=r%d load=%d.5,up=true 1700000000000000000\n", i, i%500, i)
	}
	p.src.Write("lab", lines.String())
	most, said := p.peak(5*time.Minute, "sync")
	t.Logf("%d MiB", most>>20)
	if most == 0 || most > mostMemory {
		t.Errorf("it took %d MiB", most>>20)
	}
	if got := len(p.dst.Dump("lab")); got != 200_000 {
		t.Errorf("void: the target holds %d samples\n%.2000s", got, said)
	}
}

// endless sends head and then part again and again, packed if so, until the client has enough or it is a gigabyte.
func endless(contentType string, packed bool, head, part []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Influxdb-Version", "2.7.12")
		write := w.Write
		if packed {
			w.Header().Set("Content-Encoding", "gzip")
			z, _ := gzip.NewWriterLevel(w, gzip.BestSpeed)
			write = z.Write
		}
		part := bytes.Repeat(part, 1+(256<<10)/len(part))
		if _, err := write(head); err != nil {
			return
		}
		for sent := 0; sent < 1<<30; sent += len(part) {
			if _, err := write(part); err != nil {
				return
			}
		}
	}
}

// results begins an answer of so many results; the first is of statement 0 and has so many series.
func results(series uint32) []byte {
	b := msgp.AppendString(msgp.AppendMapHeader(nil, 1), "results")
	b = msgp.AppendArrayHeader(b, 1)
	b = msgp.AppendString(msgp.AppendMapHeader(b, 2), "statement_id")
	b = msgp.AppendString(msgp.AppendInt(b, 0), "series")
	return msgp.AppendArrayHeader(b, series)
}

// rowsOf begins a series of one column and as many rows as can be said.
func rowsOf(column string) []byte {
	b := msgp.AppendString(msgp.AppendMapHeader(results(1), 3), "name")
	b = msgp.AppendString(msgp.AppendString(b, "m"), "columns")
	b = msgp.AppendString(msgp.AppendArrayHeader(b, 1), column)
	return msgp.AppendArrayHeader(msgp.AppendString(b, "values"), 1<<32-1)
}

// Nothing that a server sends makes the process large: neither what has no end, nor what is packed, nor what only claims to be much.
func TestHostileAnswersTakeLittleMemory(t *testing.T) {
	const pack = "application/x-msgpack"
	series := func() []byte {
		b := msgp.AppendString(msgp.AppendMapHeader(nil, 3), "name")
		b = msgp.AppendString(msgp.AppendString(b, "m"), "columns")
		b = msgp.AppendString(msgp.AppendArrayHeader(b, 1), "c")
		return msgp.AppendArrayHeader(msgp.AppendString(b, "values"), 0)
	}()
	cell := msgp.AppendInt(msgp.AppendArrayHeader(nil, 1), 1)
	name := func(n int) []byte { return msgp.AppendString(msgp.AppendArrayHeader(nil, 1), strings.Repeat("n", n)) }
	claim := func(size uint32) []byte {
		return append(msgp.AppendArrayHeader(nil, 1), 0xdb, byte(size>>24), byte(size>>16), byte(size>>8), byte(size))
	}
	deep := bytes.Repeat([]byte("["), 1<<10)
	plan := msgp.AppendString(msgp.AppendArrayHeader(nil, 1), "AUXILIARY FIELDS: "+strings.TrimSuffix(strings.Repeat("a::float, ", 1000), ", "))
	type hostile struct {
		path   string
		answer http.HandlerFunc
	}
	cases := map[string]hostile{
		"an endless ping":                   {"/ping", endless("text/plain", false, nil, []byte("x"))},
		"endless buckets":                   {"/api/v2/buckets", endless("application/json", false, []byte(`{"buckets":[{}`), []byte(",{}"))},
		"endless rules":                     {"/api/v2/buckets", endless("application/json", false, []byte(`{"buckets":[{"retentionRules":[{}`), []byte(",{}"))},
		"packed buckets":                    {"/api/v2/buckets", endless("application/json", true, []byte(`{"buckets":[{"id":"`), []byte("a"))},
		"deep JSON":                         {"/api/v2/buckets", endless("application/json", false, []byte(`{"buckets":`), deep)},
		"endless mappings":                  {"/api/v2/dbrps", endless("application/json", true, []byte(`{"content":[{}`), []byte(",{}"))},
		"endless tokens":                    {"/api/v2/authorizations", endless("application/json", true, []byte(`{"authorizations":[{}`), []byte(",{}"))},
		"a line of a gigabyte":              {"/metrics", endless("text/plain", false, nil, []byte("x"))},
		"a packed line of a gigabyte":       {"/metrics", endless("text/plain", true, nil, []byte("x"))},
		"endless shards":                    {"/metrics", endless("text/plain", true, nil, []byte("storage_shard_write_count{bucket=\"x\",id=\"1\"} 1\n"))},
		"endless cells":                     {"/query", endless(pack, true, rowsOf("c"), cell)},
		"endless short names":               {"/query", endless(pack, true, rowsOf("name"), name(3))},
		"endless long names":                {"/query", endless(pack, true, rowsOf("name"), name(100_000))},
		"endless series":                    {"/query", endless(pack, true, results(1<<32-1), series)},
		"endless plans":                     {"/query", endless(pack, true, rowsOf("QUERY PLAN"), plan)},
		"a text that claims four gigabytes": {"/query", endless(pack, true, rowsOf("c"), claim(1<<32-1))},
		"a text that claims two megabytes":  {"/query", endless(pack, true, rowsOf("c"), claim(2<<20))},
		"deep msgpack":                      {"/query", endless(pack, true, nil, bytes.Repeat([]byte{0x91}, 1<<10))},
		"deep maps":                         {"/query", endless(pack, true, nil, bytes.Repeat([]byte{0x81, 0xa1, 'x'}, 1<<10))},
		"an endless error": {"/query", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.WriteHeader(400)
			endless("application/json", true, []byte(`{"error":"`), []byte("x"))(w, r)
		}},
		"a million headers": {"/ping", func(w http.ResponseWriter, _ *http.Request) {
			for i := range 1_000_000 {
				w.Header().Set(fmt.Sprint("X-", i), "x")
			}
			w.WriteHeader(204)
		}},
	}
	for what, c := range cases {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.src.Write("lab", "cpu load=1 1700000000000000000\n")
			fired := make(chan struct{}, 1000)
			p.behind(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != c.path {
					return false
				}
				select {
				case fired <- struct{}{}:
				default:
				}
				c.answer(w, r)
				return true
			})
			most, said := p.peak(3*time.Second, "sync")
			t.Logf("%d MiB: %.300s", most>>20, said)
			if len(fired) == 0 || most == 0 {
				t.Error("void")
			}
			if most > mostMemory {
				t.Errorf("it took %d MiB", most>>20)
			}
		})
	}
}
