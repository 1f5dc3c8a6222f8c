package e2e

// The comparison here is the judge of the whole program, so it shares nothing with it: it asks the server's own catalogue where the shard
// groups lie, reads each measurement in each of them alone, and compares sample by sample.

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"
	"github.com/zeebo/xxh3"

	"influxmirror/test/servers"
)

const (
	axisStart = -9223372036854775806
	axisStop  = 9223372036854775806 // a valid time: spans here hold both ends
)

// A span is a stretch of time, both ends included.
type span struct{ first, last int64 }

func (s span) holds(t int64) bool { return s.first <= t && t <= s.last }

// oldest bounds how many points of a series the oldest shard group may hold here.
const oldest = 20

var always = span{axisStart, axisStop}

// place is everything of a sample but its value.
type place struct {
	measurement string
	tags        string // length-prefixed keys and values, sorted by key
	field       string
	time        int64
}

func (p place) String() string {
	return fmt.Sprintf("%q [%s] %q %d", p.measurement, showTags(p.tags), p.field, p.time)
}

// contents is a bucket: place → a letter for the type and the value's bytes.
type contents map[place]string

// groups asks the server's catalogue for the bucket's shard groups. It needs the operator's token.
func groups(t testing.TB, s *servers.Server, bucket string) []span {
	t.Helper()
	a, err := s.Do("GET", "/api/v2/backup/metadata", "")
	if err != nil || a.Status != 200 {
		t.Fatalf("read the catalogue: %d %v", a.Status, err)
	}
	_, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest []struct {
		BucketName        string
		OrganizationID    string
		RetentionPolicies []struct {
			ShardGroups []struct {
				StartTime, EndTime time.Time
				DeletedAt          *time.Time
			}
		}
	}
	parts := multipart.NewReader(strings.NewReader(string(a.Body)), params["boundary"])
	for {
		p, err := parts.NextPart()
		if err != nil {
			t.Fatalf("the catalogue has no buckets: %v", err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(p.Header.Get("Content-Disposition"), `"buckets"`) {
			if err := json.Unmarshal(b, &manifest); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	clip := func(at time.Time) int64 {
		switch {
		case at.Before(time.Unix(0, axisStart)):
			return axisStart
		case at.After(time.Unix(0, axisStop)):
			return math.MaxInt64
		}
		return at.UnixNano()
	}
	var out []span
	for _, m := range manifest {
		if m.BucketName != bucket || m.OrganizationID != s.OrgID {
			continue
		}
		for _, rp := range m.RetentionPolicies {
			for _, g := range rp.ShardGroups {
				if g.DeletedAt == nil {
					out = append(out, span{clip(g.StartTime), clip(g.EndTime) - 1})
				}
			}
		}
	}
	for i := range out {
		out[i].last = min(out[i].last, axisStop)
		if out[i].first > out[i].last { // a restarted server reads back the start of its oldest group, before the axis, as a time after its end
			out[i].first = axisStart
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].first < out[j].first })
	return out
}

// contentsOf reads every sample of a bucket that lies in within.
func contentsOf(t testing.TB, server *servers.Server, bucket string, within span) contents {
	t.Helper()
	s := reader{server}
	out := contents{}
	var measurements []string
	s.answer(t, bucket, []string{"SHOW MEASUREMENTS"}, func(_ int, b rows) {
		for _, v := range b.values {
			measurements = append(measurements, v[0].(string))
		}
	})
	type part struct {
		measurement string
		span        span
	}
	var parts []part
	for _, g := range groups(t, server, bucket) {
		g = span{max(g.first, within.first), min(g.last, within.last)}
		if g.first > g.last {
			continue
		}
		for _, m := range measurements {
			parts = append(parts, part{m, g})
		}
	}
	for some := range slices.Chunk(parts, 1000) {
		// The catalogue says which fields are unsigned in this shard; msgpack does not tell 5 from 5u.
		var find, read []string
		for _, p := range some {
			from, last, limit := "SELECT *::field FROM "+quoted(p.measurement), p.span.last, ""
			if p.span.first == axisStart {
				// After a restart the server shows the oldest group only to those who ask up to the end of the axis.
				last, limit = axisStop, fmt.Sprintf(" LIMIT %d", oldest)
			}
			from += fmt.Sprintf(" WHERE time >= %d AND time <= %d", p.span.first, last)
			find = append(find, "EXPLAIN "+from)
			read = append(read, from+" GROUP BY *"+limit)
		}
		unsigned := make([]map[string]bool, len(some))
		s.answer(t, bucket, find, func(st int, b rows) {
			for _, v := range b.values {
				line := v[0].(string)
				if n, ok := strings.CutPrefix(line, "NUMBER OF SHARDS: "); ok && n != "1" && some[st].span.first != axisStart {
					t.Fatalf("%q in %v lies in %s shards, the catalogue says one", some[st].measurement, some[st].span, n)
				}
				if list, ok := strings.CutPrefix(line, "AUXILIARY FIELDS: "); ok {
					unsigned[st] = unsignedIn(list)
				}
			}
		})
		s.answer(t, bucket, read, func(st int, b rows) {
			if b.name != some[st].measurement {
				t.Fatalf("rows of %q where %q was asked for", b.name, some[st].measurement)
			}
			for i, row := range b.values {
				at := row[0].(int64)
				if !some[st].span.holds(at) {
					if some[st].span.first == axisStart {
						break // of younger groups
					}
					t.Fatalf("time %d outside %v", at, some[st].span)
				}
				if i == oldest-1 && some[st].span.first == axisStart {
					t.Fatalf("the oldest group holds more than %d points of a series", oldest-1)
				}
				for i, v := range row[1:] {
					if v == nil {
						continue
					}
					p := place{b.name, b.tags, b.columns[i+1], at}
					if _, twice := out[p]; twice {
						t.Fatalf("%v came twice", p)
					}
					out[p] = valueOf(v, unsigned[st][b.columns[i+1]])
				}
			}
		})
	}
	return out
}

var reference = regexp.MustCompile(`("(?:[^"\\]|\\.)*"|[^":, ]+)::([a-z]+)`)

func unsignedIn(list string) map[string]bool {
	out := map[string]bool{}
	for _, m := range reference.FindAllStringSubmatch(list, -1) {
		name := m[1]
		if strings.HasPrefix(name, `"`) {
			name = strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(name[1 : len(name)-1])
		}
		out[name] = m[2] == "unsigned"
	}
	return out
}

// valueOf is the type's letter and the value's bytes: 8 big-endian bytes, or the text.
func valueOf(v any, unsigned bool) string {
	bits := func(letter byte, n uint64) string {
		return string(binary.BigEndian.AppendUint64([]byte{letter}, n))
	}
	switch v := v.(type) {
	case float64:
		return bits('f', math.Float64bits(v))
	case int64:
		if unsigned {
			return bits('u', uint64(v))
		}
		return bits('i', uint64(v))
	case uint64:
		if !unsigned && v > math.MaxInt64 {
			panic("an unsigned value in a column that is not")
		}
		if unsigned {
			return bits('u', v)
		}
		return bits('i', v)
	case bool:
		if v {
			return bits('b', 1)
		}
		return bits('b', 0)
	case string:
		return "s" + v
	}
	panic(fmt.Sprintf("a value of type %T", v))
}

func showValue(v string) string {
	if v == "" {
		return "nothing"
	}
	if v[0] == 's' {
		return strconv.Quote(v[1:])
	}
	n := binary.BigEndian.Uint64([]byte(v[1:]))
	switch v[0] {
	case 'f':
		return fmt.Sprintf("%v (%016x)", math.Float64frombits(n), n)
	case 'i':
		return fmt.Sprintf("%di", int64(n))
	case 'u':
		return fmt.Sprintf("%du", n)
	}
	return fmt.Sprint(n == 1)
}

// rows is one block of an answer.
type rows struct {
	name    string
	tags    string
	columns []string
	values  [][]any
}

// reader is a server that answers in msgpack.
type reader struct{ *servers.Server }

// answer runs the statements in one request and hands over every block of rows. Anything but a whole answer ends the test.
func (s reader) answer(t testing.TB, bucket string, statements []string, fn func(statement int, b rows)) {
	t.Helper()
	form := url.Values{"db": {bucket}, "epoch": {"ns"}, "q": {strings.Join(statements, "; ")}}
	a, err := s.Do("POST", "/query", form.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Accept", "application/x-msgpack")
	if err != nil || a.Status != 200 || a.Header.Get("Content-Type") != "application/x-msgpack" {
		t.Fatalf("query: %d %s %v", a.Status, a.Header.Get("Content-Type"), err)
	}
	v, rest, err := msgp.ReadIntfBytes(a.Body)
	if err != nil || len(rest) > 0 {
		t.Fatalf("query: %v, %d bytes left", err, len(rest))
	}
	results, _ := v.(map[string]any)["results"].([]any)
	if len(results) != len(statements) {
		t.Fatalf("%d answers to %d statements: %.300s", len(results), len(statements), a.Body)
	}
	for i, r := range results {
		r := r.(map[string]any)
		if e, bad := r["error"]; bad {
			t.Fatalf("statement %s: %v", statements[i], e)
		}
		list, _ := r["series"].([]any)
		for _, one := range list {
			one := one.(map[string]any)
			b := rows{}
			b.name, _ = one["name"].(string)
			if tags, ok := one["tags"].(map[string]any); ok {
				var keys []string
				for k, v := range tags {
					if v != "" {
						keys = append(keys, k)
					}
				}
				sort.Strings(keys)
				for _, k := range keys {
					b.tags += prefixed(k) + prefixed(tags[k].(string))
				}
			}
			for _, c := range one["columns"].([]any) {
				b.columns = append(b.columns, c.(string))
			}
			for _, row := range one["values"].([]any) {
				b.values = append(b.values, row.([]any))
			}
			if one["partial"] == true || r["partial"] == true {
				t.Fatal("a partial answer")
			}
			fn(i, b)
		}
	}
}

func quoted(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}

func prefixed(s string) string { return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s }

func unprefixed(s string) (out []string) {
	for len(s) > 0 {
		n := binary.BigEndian.Uint32([]byte(s))
		out = append(out, s[4:4+n])
		s = s[4+n:]
	}
	return out
}

func showTags(s string) string {
	var b strings.Builder
	for i, part := range unprefixed(s) {
		b.WriteString(strconv.Quote(part))
		b.WriteString([]string{"=", " "}[i%2])
	}
	return strings.TrimSpace(b.String())
}

// diff is what two buckets do not share.
type diff struct{ missing, different, extra []place }

func (d diff) none() bool { return len(d.missing)+len(d.different)+len(d.extra) == 0 }

func compare(source, target contents) (d diff) {
	for p, v := range source {
		switch w, ok := target[p]; {
		case !ok:
			d.missing = append(d.missing, p)
		case v != w:
			d.different = append(d.different, p)
		}
	}
	for p := range target {
		if _, ok := source[p]; !ok {
			d.extra = append(d.extra, p)
		}
	}
	for _, l := range [][]place{d.missing, d.different, d.extra} {
		sort.Slice(l, func(i, j int) bool {
			if l[i].time != l[j].time {
				return l[i].time < l[j].time
			}
			return l[i].String() < l[j].String()
		})
	}
	return d
}

// report writes the first differences.
func (d diff) report(t testing.TB, source, target contents) {
	t.Helper()
	for _, l := range []struct {
		what string
		list []place
	}{{"missing", d.missing}, {"different", d.different}, {"only on the target", d.extra}} {
		if len(l.list) > 0 {
			t.Errorf("%d samples %s", len(l.list), l.what)
		}
		for _, p := range l.list[:min(10, len(l.list))] {
			t.Errorf("  %v: %s at the source, %s at the target", p, showValue(source[p]), showValue(target[p]))
		}
	}
}

// identical fails the test unless both buckets hold the same samples in within, and returns them.
func (s *scene) identical(within span) contents {
	s.t.Helper()
	source, target := s.contents(within)
	if len(source) == 0 {
		s.t.Fatal("nothing to compare")
	}
	compare(source, target).report(s.t, source, target)
	return source
}

// contents reads both buckets.
func (s *scene) contents(within span) (source, target contents) {
	s.t.Helper()
	done := make(chan contents, 1)
	go func() {
		defer close(done)
		done <- contentsOf(s.t, s.src, s.bucket, within)
	}()
	target = contentsOf(s.t, s.dst, s.bucket, within)
	if source = <-done; source == nil {
		s.t.FailNow()
	}
	return source, target
}

// hash is the fingerprint's hash of one sample, written a second time from its description: what a Proof claims is checked with it.
func hash(p place, v string) (hi, lo uint64) {
	b := []byte{1}
	b = append(b, prefixed(p.measurement)...)
	tags := unprefixed(p.tags)
	b = binary.BigEndian.AppendUint32(b, uint32(len(tags)/2))
	b = append(b, p.tags...)
	b = append(b, prefixed(p.field)...)
	b = append(b, v...) // letter and value
	b = binary.BigEndian.AppendUint64(b, uint64(p.time))
	h := xxh3.Hash128(b)
	return h.Hi, h.Lo
}
