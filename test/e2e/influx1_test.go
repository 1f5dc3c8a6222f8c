package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
	"influxmirror/test/oracle"
	"influxmirror/test/servers"
)

// oddPoints are values of every type, odd names, both ends of the axis, a field of several types, many series and what is newest. Unsigned
// integers are only among them if asked for: 1.x as shipped refuses them.
func oddPoints(unsigned bool, now int64) (points []string) {
	base := monday(now) - 5*week
	names := []string{"plain", "a b", "k,v", "x=y", `q"uote`, "tür", `back\slash`, "🛰", "_tag", "a/b"}
	for i, n := range names {
		o := names[(i+1)%len(names)]
		points = append(points, point(n, []string{n, o}, []string{n, "1i", o, text(n + "\n\r\"\\")}, base+int64(i)))
	}
	for i := range 200 {
		fields := []string{"f", []string{"-0", "1e308", "0.1", "5e-324"}[i%4], "i", []string{"9223372036854775807i", "-9223372036854775808i", "0i"}[i%3], "b", strconv.FormatBool(i%2 == 0), "s", text([]string{"", "\xff\xfe", "x"}[i%3])}
		if unsigned {
			fields = append(fields, "u", []string{"18446744073709551615u", "0u", "7u"}[i%3])
		}
		points = append(points, point("types", []string{"n", strconv.Itoa(i % 3)}, fields, base+int64(i)*hour))
	}
	for i, v := range []string{"7i", "7.5", `"seven"`, "true"} {
		for k := range 20 {
			points = append(points, point("shifty", nil, []string{"v", v, "n", strconv.Itoa(k) + "i"}, base+int64(i)*week+int64(k)*hour))
		}
	}
	for _, at := range []int64{axisStart, axisStart + 1, -1, 0, 1, now + day, axisStop - 1, axisStop} {
		points = append(points, point("axis", nil, []string{"v", strconv.FormatInt(at, 10) + "i"}, at))
	}
	for i := range 3000 {
		points = append(points, point("series", []string{"id", strconv.Itoa(i)}, []string{"v", strconv.Itoa(i) + "i"}, base+int64(i%100)*minute))
	}
	for i := range 300 {
		points = append(points, point("live", []string{"host", "h"}, []string{"v", strconv.Itoa(i)}, now-int64(i)*10*int64(time.Second)))
	}
	return points
}

// end is a bucket of a new server: on 1.x one policy of a database beside another that has the same names with other types, and a user that
// may do no more than it has to.
type end struct {
	*servers.Server
	bucket string
	login  influx.Login
}

func endOn(t *testing.T, kind servers.Kind, index, grant string) end {
	t.Helper()
	if !kind.Old() {
		s := servers.Start(t, kind)
		s.CreateBucket("kept", 0, 7*24*time.Hour)
		return end{s, "kept", influx.Login{Token: s.Token}}
	}
	s := servers.Start(t, kind, servers.Auth, "INFLUXDB_DATA_INDEX_VERSION="+index)
	s.CreateBucket("lab", 0, 24*time.Hour)
	s.CreateBucket("lab/kept", 0, 7*24*time.Hour)
	s.Write("lab", "types f=\"no float\",i=1 1\nelsewhere v=1 1\nshifty v=false 1\nseries,only=here v=\"x\" 1")
	s.CreateUser("mirror", "pass word", grant+" lab")
	return end{s, "lab/kept", influx.Login{User: "mirror", Password: "pass word"}}
}

func (e end) options(t *testing.T, side mirror.Side) influx.Options {
	t.Helper()
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	return influx.Options{Side: side, URL: u, Org: e.Org, Bucket: e.bucket, Login: func() (influx.Login, error) { return e.login, nil }}
}

// InfluxDB 1.x is a source and a target like any other, with a user who may only read the source's database and has all rights on the
// target's.
func TestInflux1(t *testing.T) {
	for _, pair := range [][2]servers.Kind{{servers.V16, servers.V2}, {servers.V1, servers.V2}, {servers.V2, servers.V1}, {servers.V16, servers.V1}, {servers.V2, servers.V16}} {
		t.Run(fmt.Sprint(pair[0], " to ", pair[1]), func(t *testing.T) {
			t.Parallel()
			testInflux1(t, pair[0], pair[1])
		})
	}
}

func testInflux1(t *testing.T, from, to servers.Kind) {
	index := "inmem" // as shipped
	if from.Old() && to.Old() {
		index = "tsi1" // as large ones have it
	}
	src, dst := endOn(t, from, index, "READ"), endOn(t, to, index, "ALL")
	load(src.Server, src.bucket, oddPoints(!from.Old(), time.Now().UnixNano()))
	l, err := ledger.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var key string
	m := engine.New(engine.Settings{Name: "m", Wait: 10 * time.Second}, influx.New(src.options(t, mirror.SourceSide)), influx.NewTarget(dst.options(t, mirror.TargetSide)),
		func(ctx context.Context, k, _, _ string) (engine.Ledger, error) {
			key = k
			return l.Pair(ctx, k)
		}, slog.New(slog.DiscardHandler))
	pass := func() engine.Report {
		t.Helper()
		r, err := m.Pass(t.Context(), engine.Goal{Insist: true})
		if err != nil || !r.Complete() {
			t.Fatalf("pass: %v, left %d, errors %v", err, r.Left, r.Errors)
		}
		return r
	}
	// same compares with the judge: everything arrives but, on 1.x, unsigned integers, which are enumerated.
	same := func() {
		t.Helper()
		source, target := contentsOf(t, src.Server, src.bucket, always), contentsOf(t, dst.Server, dst.bucket, always)
		d := compare(source, target)
		if to.Old() && !from.Old() {
			if len(d.Missing) != 200 {
				t.Errorf("%d samples are missing, want the 200 unsigned ones", len(d.Missing))
			}
			for _, p := range d.Missing {
				if p.Field != "u" {
					t.Errorf("%v is missing: %v", p, oracle.ShowValue(source[p]))
				}
			}
			d.Missing = nil
		}
		d.Report(t, source, target)
		if len(source) < 4000 {
			t.Errorf("only %d samples to compare", len(source))
		}
	}
	pass()
	same()
	if to.Old() && !from.Old() {
		p, err := l.Pair(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		refused := uint64(0)
		for x, err := range p.Exceptions(t.Context(), mirror.Refused) {
			if err != nil || x.Field != "u" || x.Reason != "unable to parse: invalid number" {
				t.Errorf("exception %+v: %v", x, err)
			}
			refused += x.Samples.Count
		}
		if refused != 200 {
			t.Errorf("%d samples are excepted, want 200", refused)
		}
	}
	if r := pass(); r.Written != 0 {
		t.Errorf("a pass with nothing new wrote %d lines", r.Written)
	}
	// What is overwritten, late and new is found, by the counters of either line of servers.
	src.Write(src.bucket, strings.Join([]string{`types,n=0 s="changed" ` + fmt.Sprint(monday(time.Now().UnixNano())-5*week), "axis v=-7i -1", "late v=true -86400000000001", "series,id=1 v=-1i " + fmt.Sprint(monday(time.Now().UnixNano())-5*week+minute)}, "\n"))
	if r := pass(); r.Written == 0 {
		t.Error("a pass with something new wrote nothing")
	}
	same()
	v, err := m.Verify(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	want := "IDENTICAL"
	if word, code := v.Result(); word != want || code != 0 || !v.AddsUp() {
		t.Errorf("verify says %s (%d), rows %v, adds up: %v", word, code, v.Rows, v.AddsUp())
	}
	for _, e := range []end{src, dst} {
		if e.Kind.Old() {
			if other := contentsOf(t, e.Server, "lab/autogen", always); len(other) != 5 {
				t.Errorf("the other policy of %v holds %d samples", e.Kind, len(other))
			}
		}
	}
}
