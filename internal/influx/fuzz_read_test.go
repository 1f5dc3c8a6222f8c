package influx

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// canned is a transport without a network: what a peer answers, whatever it is asked.
type canned func(*http.Request) *http.Response

func (fn canned) RoundTrip(r *http.Request) (*http.Response, error) { return fn(r), nil }

// said is an answer that came whole, as far as HTTP can tell.
func said(status int, header http.Header, body []byte) *http.Response {
	return &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
}

// without is a Client, and a Target, whose answers come from fn.
func without(o Options, fn canned) *Target {
	o.Side, o.Bucket = mirror.SourceSide, "b"
	if o.URL == nil {
		o.URL = &url.URL{Scheme: "http", Host: "station.example"}
	}
	t := NewTarget(o)
	t.http.Transport = fn
	return t
}

func answerHeader() http.Header {
	return http.Header{"Content-Type": {msgpackType}, "Date": {"Tue, 14 Nov 2023 22:13:20 GMT"}}
}

// found is what a Read handed on.
type found struct {
	mirror.Reading
	lines []string // one for each Sample, sorted
	err   error
	used  uint64 // bytes that were allocated
}

func readOf(t *testing.T, chunk mirror.Chunk, wide, packed bool, body []byte) found {
	c := without(Options{}, func(*http.Request) *http.Response {
		h := answerHeader()
		if packed {
			h.Set("Content-Encoding", "gzip")
		}
		return said(http.StatusOK, h, body)
	})
	c.learn(chunk.Measurement, 1, map[bool]uint64{true: 1, false: wideAt}[wide])
	var out found
	var lines []byte
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out.Reading, out.err = c.Read(context.Background(), chunk, func(b []byte) error {
		lines = append(lines, b...)
		return nil
	})
	runtime.ReadMemStats(&after)
	out.used = after.TotalAlloc - before.TotalAlloc
	if out.err != nil {
		if mirror.KindOf(out.err) == "" {
			t.Errorf("no error of an endpoint: %v", out.err)
		}
		return out
	}
	for len(lines) > 0 {
		var line []byte
		line, lines = lineproto.Next(lines)
		lineproto.Fields(line, func(_, one []byte) { out.lines = append(out.lines, string(one)) })
	}
	slices.Sort(out.lines)
	return out
}

// check holds a read against the Samples it has to hand on. fields are all of the measurement.
func (f *found) check(t *testing.T, chunk mirror.Chunk, fields []string, want []mirror.Sample) {
	t.Helper()
	cells := make([]mirror.Fingerprint, chunk.Cells())
	var lines []string
	var unwritable mirror.Fingerprint
	for i := range want {
		s := &want[i]
		hi, lo := lineproto.HashSample(nil, s)
		for c := range cells {
			if chunk.Cell(c).Contains(s.Time) {
				cells[c].AddHash(hi, lo)
			}
		}
		misled := lineproto.MisleadsKey(lineproto.AppendKey(nil, s.Measurement, s.Tags))
		for _, name := range fields {
			misled = misled || lineproto.MisleadsField(name)
		}
		if misled && strings.Contains(s.Text, "\n") || lineproto.UnwritableSeries(s.Measurement, s.Tags) != "" || lineproto.UnwritableField(s.Field) != "" || lineproto.UnwritableBits(s.Type, s.Bits) != "" {
			unwritable.AddHash(hi, lo)
		} else {
			lines = append(lines, string(lineproto.AppendLine(nil, s)))
		}
	}
	slices.Sort(lines)
	if !slices.Equal(f.Cells, cells) {
		t.Fatalf("a read of %v is %v, want %v", want, f.Cells, cells)
	}
	if !slices.Equal(f.lines, lines) {
		t.Fatalf("a read of %v wrote %q, want %q", want, f.lines, lines)
	}
	for _, e := range f.Unwritable {
		unwritable = unwritable.Sub(e.Samples)
	}
	if !unwritable.IsZero() {
		t.Fatalf("a read of %v left out %v", want, f.Unwritable)
	}
}

// checkRead: a read of an answer is an error, or says what the answer says, all of it.
func checkRead(t *testing.T, chunk mirror.Chunk, wide bool, body []byte, got found) {
	t.Helper()
	if limit := uint64(16<<20 + 200*len(body)); got.used > limit {
		t.Errorf("%d bytes were allocated for an answer of %d", got.used, len(body))
	}
	if got.err != nil {
		return
	}
	j, err := judge(body, chunk, wide)
	if err != nil {
		t.Fatalf("it was taken, and is %v: %+v", err, got.Reading)
	}
	if j.twice {
		return
	}
	if got.Live != (j.counts[0] != j.counts[1]) || !got.Live && uint64(len(j.samples)) != j.counts[0] {
		t.Fatalf("counts of %v, %d samples, live %v", j.counts, len(j.samples), got.Live)
	}
	got.check(t, chunk, j.fields, j.samples)
}

var fuzzChunk = mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 0, Stop: 1000}, Width: 250}

// FuzzAnswer: whatever bytes a peer sends as the answer to a read, in bounded memory it is an error or all of what a second reader finds in it.
func FuzzAnswer(f *testing.F) {
	good := reply(5, plan1, count1, sample1, countNow1)
	f.Add(good, false)
	f.Add(good, true)
	f.Add(good[:len(good)-1], false)
	f.Add(reply(5, plan1, count1, sample1, with(countNow1, func(t *fakeTable) { t.rows = [][]any{{int64(0), int64(2)}} })), false)
	f.Add(reply(5, plan1, count1, countNow1), false)
	f.Add(reply(4, plan1, count1, sample1, countNow1), true)
	f.Add(reply(5, with(plan1, func(t *fakeTable) {
		t.columns, t.rows = []string{"QUERY PLAN", "x"}, [][]any{{"NUMBER OF SHARDS: 1", []any{"AUXILIARY FIELDS: v::float", "x"}}}
	}), count1, sample1, countNow1), false)
	// One document a statement; then some are left out, or come in another order.
	var each [][]byte
	for i, t := range []fakeTable{plan1, count1, sample1, countNow1, {statement: 4}} {
		b := msgp.AppendArrayHeader(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "results"), 1)
		each = append(each, appendResult(b, i, map[bool][]fakeTable{true: {t}}[i < 4]))
	}
	f.Add(bytes.Join(each, nil), false)
	long := reply(5, with(plan1, func(t *fakeTable) {
		t.rows = [][]any{{"AUXILIARY FIELDS: v::string"}, {"NUMBER OF SHARDS: 1"}}
	}), count1, with(sample1, func(t *fakeTable) { t.rows = [][]any{{int64(5), "here"}} }))
	f.Add(bytes.Replace(long, []byte("\xa4here"), []byte("\xdb\x01\xf0\x00\x00here"), 1), false) // it claims 31 MiB, and does not bring them
	f.Add(slices.Concat(each[0], each[1], each[3], each[4]), false)
	f.Add(slices.Concat(each[0], each[4]), false)
	f.Add(slices.Concat(each[1], each[0], each[2], each[3], each[4]), false)
	f.Add(slices.Concat(each[0], each[1], each[2], each[2], each[3], each[3], each[4]), false)
	for _, s := range [][]byte{{0x25, 0, 0, 1, 3, 0}, {0x3f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}} {
		a := build(s)
		f.Add(a.body, a.wide)
	}
	f.Fuzz(func(t *testing.T, body []byte, wide bool) {
		if len(body) > 1<<20 {
			return
		}
		checkRead(t, fuzzChunk, wide, body, readOf(t, fuzzChunk, wide, false, body))
	})
}

// The ways in which an answer is spoiled.
const (
	whole     = iota
	cutOff    // at any byte but the last
	rowLost   // and the number of rows says nothing of it
	rowTwice  // the same
	flipped   // some bits of one byte
	taken     // some bytes out of the middle
	packed    // as it is
	packedBad // one byte of the packed answer is another, or it is cut off
	ways
)

// FuzzRead: a good answer is read as what it says, in either form; one that was spoiled in one place is an error, or what it says now. A lost or doubled row
// is never taken, nor is an answer that was cut off, nor a packed one that is not as it was.
func FuzzRead(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0}, byte(whole), uint16(0), byte(0)) // a tag that is an empty text
	for way := range ways {
		f.Add([]byte{0, 0, 2, 0, 0, 1, 1, 4, 2, 2, 1, 3, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}, byte(way), uint16(77), byte(1))
		f.Add([]byte("\x01\x01\x00\x04\x02\x02\x02\x03ab\x03\x01\x00\x05hello\x00\x04\"\\\n,"), byte(way), uint16(200), byte(0x80))
	}
	f.Fuzz(func(t *testing.T, script []byte, way byte, where uint16, bits byte) {
		a := build(script[:min(len(script), 2000)])
		body, at := a.body, int(where)%len(a.body)
		switch way %= ways; way {
		case whole, packed:
			sent := body
			if way == packed {
				sent = zipped(body)
			}
			got := readOf(t, fuzzChunk, a.wide, way == packed, sent)
			if got.err != nil || got.Live {
				t.Fatalf("a good answer is not taken: %v, live %v", got.err, got.Live)
			}
			got.check(t, fuzzChunk, a.fields, a.samples)
			return
		case cutOff:
			if got := readOf(t, fuzzChunk, a.wide, false, body[:at]); got.err == nil {
				t.Fatalf("an answer cut off at %d of %d was taken", at, len(body))
			}
			return
		case packedBad:
			p := zipped(body)
			at := int(where) % len(p)
			if bits == 0 {
				p = p[:at]
			} else {
				p[at] ^= bits
			}
			if got := readOf(t, fuzzChunk, a.wide, true, p); got.err == nil {
				got.check(t, fuzzChunk, a.fields, a.samples) // some bits of gzip's head say nothing
			}
			return
		case rowLost, rowTwice:
			if len(a.rows) == 0 {
				return
			}
			i := int(where) % len(a.rows)
			row, header := a.rows[i], a.headers[i]
			body = slices.Clone(body)
			n := binary.BigEndian.Uint32(body[header+1:])
			if way == rowLost {
				binary.BigEndian.PutUint32(body[header+1:], n-1)
				body = slices.Delete(body, row[0], row[1])
			} else {
				binary.BigEndian.PutUint32(body[header+1:], n+1)
				body = slices.Insert(body, row[1], body[row[0]:row[1]]...)
			}
			got := readOf(t, fuzzChunk, a.wide, false, body)
			if got.err == nil && got.Live {
				t.Fatal("counts that agree are not seen to")
			}
			if got.err == nil { // a row of nothing
				got.check(t, fuzzChunk, a.fields, a.samples)
			}
			return
		case flipped:
			body = slices.Clone(body)
			body[at] ^= bits
		case taken:
			body = slices.Delete(slices.Clone(body), at, min(len(body), at+1+int(bits)))
		}
		checkRead(t, fuzzChunk, a.wide, body, readOf(t, fuzzChunk, a.wide, false, body))
	})
}

func zipped(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}
