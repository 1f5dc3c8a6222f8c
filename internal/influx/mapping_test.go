package influx

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/influxdata/influxql"
	"pgregory.net/rapid"

	"influxmirror/influxtest"
	"influxmirror/internal/mirror"
)

// TestOnlyIsQuoted: whatever tags are asked for, the server's parser reads a condition on these tags with these values, on the time, and on nothing else.
func TestOnlyIsQuoted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("'\"\\\n\t;-/*$ ax:=,()é🛰")))).Filter(func(s string) bool { return s != "" && askable(s) })
		var tags []mirror.Tag
		for range rapid.IntRange(1, 3).Draw(t, "n") {
			tags = append(tags, mirror.Tag{Key: text.Draw(t, "key"), Value: text.Draw(t, "value")})
		}
		c := &Client{o: Options{Only: tags}}
		q, err := influxql.ParseQuery("SELECT *::field FROM m WHERE " + c.where(mirror.Window{Start: -7, Stop: 9}) + " GROUP BY *")
		if err != nil || len(q.Statements) != 1 {
			t.Fatal(q, err)
		}
		cond, span, err := influxql.ConditionExpr(q.Statements[0].(*influxql.SelectStatement).Condition, nil)
		if err != nil || span.MinTimeNano() != -7 || span.MaxTimeNano() != 8 {
			t.Fatal(span, err)
		}
		var got []mirror.Tag
		influxql.WalkFunc(cond, func(n influxql.Node) {
			e, ok := n.(*influxql.BinaryExpr)
			if !ok || e.Op == influxql.AND {
				return
			}
			ref, isRef := e.LHS.(*influxql.VarRef)
			value, isText := e.RHS.(*influxql.StringLiteral)
			if e.Op != influxql.EQ || !isRef || !isText || ref.Type != influxql.Tag {
				t.Fatalf("it is asked for %s", e)
			}
			got = append(got, mirror.Tag{Key: ref.Val, Value: value.Val})
		})
		if !slices.Equal(got, tags) {
			t.Fatalf("it is asked for %q, want %q", got, tags)
		}
	})
}

// TestPartOfABucket: two identities are equal only where bucket and tags are, and each tells its bucket.
func TestPartOfABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(side string) (string, []mirror.Tag) {
			var tags []mirror.Tag
			for range rapid.IntRange(0, 2).Draw(t, side) {
				tags = append(tags, mirror.Tag{Key: rapid.StringMatching(`[a&=?/|:%+]{1,2}`).Draw(t, side), Value: rapid.StringMatching(`[a&=?/|:%+]{1,2}`).Draw(t, side)})
			}
			return rapid.SampledFrom([]string{"influxdb2:1:2", "influxdb1:host:8086:db/rp", "influxdb1:host:8086:db?a=a/rp"}).Draw(t, side), tags
		}
		a, tagsA := draw("a")
		b, tagsB := draw("b")
		same := a == b && slices.Equal(tagsA, tagsB)
		partA, partB := mirror.Part(a, tagsA), mirror.Part(b, tagsB)
		if (partA == partB) != same || mirror.Whole(partA) != a || strings.Contains(partA[len(a):], "|") {
			t.Fatalf("%s and %s", partA, partB)
		}
	})
}

// TestStrayAnswers: a server that ignores what it was asked for is not believed.
func TestStrayAnswers(t *testing.T) {
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	s.CreateBucket("b", 0, 0)
	s.Write("b", "m,site=a v=1 5\nm,site=b v=2 6\nm v=3 7")
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Side: mirror.TargetSide, URL: u, Org: s.Org, Bucket: "b", Login: func() (Login, error) { return Login{Token: s.Token}, nil }, Only: []mirror.Tag{{Key: "site", Value: "a"}}}
	chunk := mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}
	for _, wide := range []bool{false, true} {
		c := New(o)
		c.learn("m", 1, map[bool]uint64{false: 1 << 20, true: 1}[wide])
		if r, err := c.Read(context.Background(), chunk, nil); err != nil || r.Total().Count != 1 {
			t.Errorf("wide %t: %d samples, %v", wide, r.Total().Count, err)
		}
		c.learn("m", 1, map[bool]uint64{false: 1 << 20, true: 1}[wide])
		c.o.Only = []mirror.Tag{{Key: "site", Value: "a"}}
		c.http.Transport = forgetful{c.http.Transport}
		if r, err := c.Read(context.Background(), chunk, nil); mirror.KindOf(err) != mirror.Broken || !strings.Contains(err.Error(), "a series without the tag that was asked for") {
			t.Errorf("wide %t: %d samples, %v", wide, r.Total().Count, err)
		}
		c.Close()
	}
	o.Only = []mirror.Tag{{Key: "site", Value: "a\x00b"}}
	c := New(o)
	defer c.Close()
	if _, err := c.Probe(context.Background()); mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), `InfluxQL cannot say the tag "site"="a\x00b"`) {
		t.Error(err)
	}
}

// forgetful takes the condition on the tag out of what is asked.
type forgetful struct{ http.RoundTripper }

func (f forgetful) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	text := strings.ReplaceAll(string(body), url.QueryEscape(` AND "site"::tag = 'a'`), "")
	if text == string(body) {
		return nil, fmt.Errorf("void: %s", text)
	}
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
	return f.RoundTripper.RoundTrip(r)
}

// BenchmarkRead reads one answer again and again: 200 000 samples in both forms, as they are, with a tag added, and of one part of a bucket.
func BenchmarkRead(b *testing.B) {
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	s.CreateBucket("b", 0, 0)
	const samples = 200_000
	lines := map[string]*strings.Builder{"narrow": {}, "wide": {}}
	for i := range samples / 2 {
		fmt.Fprintf(lines["narrow"], "narrow,host=h%d,site=x load=%d.5,n=%di %d\n", i%4, i, i, i)
		fmt.Fprintf(lines["wide"], "wide,host=h%d,site=x load=%d.5,n=%di %d\n", i/20, i, i, i)
	}
	for _, l := range lines {
		s.Write("b", l.String())
	}
	var mu sync.Mutex
	kept := map[string]*httptest.ResponseRecorder{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(asked))
		mu.Lock()
		a := kept[string(asked)]
		if a == nil {
			a = httptest.NewRecorder()
			s.Handler().ServeHTTP(a, r)
			a.Header().Set("Date", "Tue, 24 Nov 2026 00:00:00 GMT")
			kept[string(asked)] = a
		}
		mu.Unlock()
		for k, v := range a.Header() {
			w.Header()[k] = v
		}
		w.Header().Set("Content-Length", fmt.Sprint(a.Body.Len()))
		_, _ = w.Write(a.Body.Bytes())
	}))
	defer front.Close()
	u, err := url.Parse(front.URL)
	if err != nil {
		b.Fatal(err)
	}
	for name, per := range map[string]uint64{"narrow": 1 << 20, "wide": 1} {
		for what, o := range map[string]Options{"plain": {}, "added": {AddTags: []mirror.Tag{{Key: "station", Value: "mcmurdo"}}}, "only": {Only: []mirror.Tag{{Key: "site", Value: "x"}}}} {
			b.Run(name+"/"+what, func(b *testing.B) {
				o.URL, o.Bucket, o.Login = u, "b", func() (Login, error) { return Login{Token: s.Token}, nil }
				c := New(o)
				defer c.Close()
				chunk := mirror.Chunk{Measurement: name, Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}
				read := func() {
					c.learn(name, 1, per)
					if r, err := c.Read(context.Background(), chunk, func([]byte) error { return nil }); err != nil || r.Total().Count != samples {
						b.Fatal(r.Total(), err)
					}
				}
				for read(); b.Loop(); { // the first makes the answer
					read()
				}
				b.ReportMetric(float64(samples)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Msamples/s")
			})
		}
	}
}

// TestUntagged: what was read with added tags is written without them, whatever else the line holds.
func TestUntagged(t *testing.T) {
	tags := []mirror.Tag{{Key: "a b", Value: "x,y"}, {Key: "site", Value: "mc"}}
	for in, want := range map[string]string{
		"m,a\\ b=x\\,y,site=mc v=1 1\n":                                         "m v=1 1\n",
		"m,a\\ b=x\\,y,host=h,site=mc,z=1 v=1 1\n":                              "m,host=h,z=1 v=1 1\n",
		"m\\,site\\=mc,a\\ b=x\\,y,k=1\\,site\\=mc,site=mc s=\",site=mc \" 1\n": "m\\,site\\=mc,k=1\\,site\\=mc s=\",site=mc \" 1\n",
		"m,a\\ b=x\\,y,site=mc v=1 1\nn,a\\ b=x\\,y,site=mc,t=1 v=2 2\n":        "m v=1 1\nn,t=1 v=2 2\n",
	} {
		got, err := untagged(nil, []byte(in), tags)
		if err != nil || string(got) != want {
			t.Errorf("%q: %q, want %q: %v", in, got, want, err)
		}
	}
	for _, in := range []string{"m,site=mc v=1 1\n", "m,a\\ b=x\\,y,site=other v=1 1\n", "m,a\\ b=x\\,y,site=mcx v=1 1\n", "m\n"} {
		if got, err := untagged(nil, []byte(in), tags); err == nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}
