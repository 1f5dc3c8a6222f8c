package influx

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/mirror"
	"influxmirror/test/servers"
)

func targetOf(t *testing.T, s *servers.Server, bucket string) *Target {
	t.Helper()
	return targetAs(t, s, bucket, Login{Token: s.Token, User: s.User, Password: s.Password})
}

func targetAs(t *testing.T, s *servers.Server, bucket string, as Login) *Target {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := NewTarget(Options{Side: mirror.SourceSide, URL: u, Org: s.Org, Bucket: bucket, Login: func() (Login, error) { return as, nil }})
	t.Cleanup(c.Close)
	return c
}

const week = 7 * 24 * time.Hour

var oddLines = strings.Join([]string{
	`m,host=a,t=x f=1.5,i=-9223372036854775808i,u=18446744073709551615u,b=true,s="" 1700000000000000000`,
	`m,host=b f=-0,i=9223372036854775807i,s="quote \" backslash \\ newline ` + "\n" + ` cr ` + "\r\n" + ` emoji 🛰 bad ` + "\xff\xfe" + `" 1700000000000000001`,
	`m f=1e308,b=false 1700000000000000002`,
	`m,host=f,f=tagged f=5e-324 1700000000000000003`,
	`a\ b\,c=d,k\ \=\,=v\ \=\,ü f\ \=\,"q=1,back\slash=2 1700000000000000000`,
	"edges v=1 -9223372036854775806",
	"edges v=2 9223372036854775806",
	"edges v=3 0",
	"edges v=4 -9223372036854775000",
	"edges v=5 9223372036854770000",
	"types v=1i 1600000000000000000",
	"types v=1 1601000000000000000",
	`types v="one" 1602000000000000000`,
	"types v=true 1603000000000000000",
	"types,t=a v=3u,w=1 1604000000000000000",
}, "\n")

// withoutUnsigned leaves out what 1.x as shipped does not take.
func withoutUnsigned(lines string) string {
	return strings.NewReplacer(",u=18446744073709551615u", "", "v=3u,", "").Replace(lines)
}

func TestReadWriteReal(t *testing.T) {
	for _, kind := range []servers.Kind{servers.V2, servers.V1, servers.V16} {
		t.Run(kind.String(), func(t *testing.T) { testReadWrite(t, kind) })
	}
}

func testReadWrite(t *testing.T, kind servers.Kind) {
	s := servers.Start(t, kind, servers.Auth)
	ctx := context.Background()
	var src, dst *Target
	samples := uint64(24)
	if kind.Old() {
		// The bucket is one policy of two, and the other has the same names with other types.
		samples = 22
		s.CreateBucket("src", 0, week)
		s.Write("src", "m i=1,f=\"x\",host=true 1700000000000000000\ntypes v=1 1600000000000000000\ntypes v=\"x\" 1601000000000000000\nelsewhere v=1 1\nelsewhere v=1i 1700000000000000000")
		s.CreateBucket("src/kept", 0, week)
		s.CreateBucket("dst", 0, week)
		s.Write("src/kept", withoutUnsigned(oddLines))
		s.CreateUser("mirror", "it's ü", "READ src", "ALL dst")
		as := Login{User: "mirror", Password: "it's ü"}
		src, dst = targetAs(t, s, "src/kept", as), targetAs(t, s, "dst", as)
	} else {
		s.CreateBucket("src", 0, week)
		s.CreateBucket("dst", 0, week)
		s.Write("src", oddLines)
		src, dst = targetOf(t, s, "src"), targetOf(t, s, "dst")
	}
	src.o.Compress, dst.o.Compress = kind.Old(), kind.Old() // 2.x is mirrored so in other tests
	p, err := src.Probe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dst.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	if !p.Counters.Known() || p.ShardGroup != int64(week) || p.Date == 0 {
		t.Errorf("probe %+v", p)
	}
	grid := mirror.NewGrid(p.ShardGroup)
	survey := func(c *Client) (out []mirror.Count) {
		err := c.Survey(ctx, mirror.SurveyRequest{Window: mirror.Axis, Width: grid.Duration(), Offset: grid.Offset()}, func(n mirror.Count) error {
			out = append(out, n)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	counts := survey(src.Client)
	var sum uint64
	for _, n := range counts {
		sum += n.Samples
		if g := grid.Group(n.Window.Start); g != n.Window {
			t.Errorf("step %v is not the shard group %v", n.Window, g)
		}
		chunk := mirror.Chunk{Measurement: n.Measurement, Window: n.Window, Width: grid.Width()}
		w, err := dst.Open(ctx, chunk)
		if err != nil {
			t.Fatal(err)
		}
		var first mirror.Reading
		for _, per := range []float64{1, 1e9} { // wide, then GROUP BY *
			src.series[n.Measurement] = per
			var sink Sink
			if per == 1e9 {
				sink = w.Write
			}
			r, err := src.Read(ctx, chunk, sink)
			if err != nil {
				t.Fatal(err)
			}
			if r.Total().Count != n.Samples {
				t.Errorf("%v: read %d, survey %d", chunk, r.Total().Count, n.Samples)
			}
			if per == 1 {
				first = r
			} else if fmt.Sprint(first.Cells) != fmt.Sprint(r.Cells) {
				t.Errorf("%v: the two forms differ", chunk)
			}
		}
		refused, err := w.Close()
		if err != nil || len(refused.Lines)+len(refused.Fields) > 0 {
			t.Fatal(err, refused)
		}
		back, err := dst.Read(ctx, chunk, nil)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(back.Cells) != fmt.Sprint(first.Cells) {
			t.Errorf("%v: read back %v, want %v", chunk, back.Total(), first.Total())
		}
	}
	if sum != samples {
		t.Errorf("survey counts %d samples, want %d: %v", sum, samples, counts)
	}
	if got := survey(dst.Client); fmt.Sprint(got) != fmt.Sprint(counts) {
		t.Errorf("surveys differ: %v, %v", got, counts)
	}
	// A restart hides the oldest shard group (facts 9), and nothing of it is lost by that.
	total := func() (all mirror.Fingerprint) {
		t.Helper()
		for _, n := range counts {
			r, err := src.Read(ctx, mirror.Chunk{Measurement: n.Measurement, Window: n.Window, Width: grid.Width()}, nil)
			if err != nil {
				t.Fatal(err)
			}
			all = all.Add(r.Total())
		}
		return all
	}
	before := total()
	s.Restart()
	if _, err := src.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	if got := survey(src.Client); fmt.Sprint(got) != fmt.Sprint(counts) {
		t.Errorf("after a restart: %v, want %v", got, counts)
	}
	if after := total(); after != before {
		t.Errorf("after a restart %v is read, before %v", after, before)
	}
	if kind.Old() {
		// Several shards are read at once where they agree on the types.
		r, err := src.Read(ctx, mirror.Chunk{Measurement: "edges", Window: mirror.Axis, Width: math.MaxInt64}, nil)
		if err != nil || r.Total().Count != 5 {
			t.Errorf("a window over several shards: %v %v", r, err)
		}
	}
	if _, err := src.Read(ctx, mirror.Chunk{Measurement: "types", Window: mirror.Window{Start: 1600000000000000000, Stop: 1605000000000000000}, Width: grid.Width()}, nil); mirror.KindOf(err) != mirror.MultiShard {
		t.Errorf("a window over several shards: %v", err)
	}
}

func TestRefusedFieldsReal(t *testing.T) {
	s := servers.Start(t, servers.V2)
	ctx := context.Background()
	s.CreateBucket("dst", 0, week)
	s.Write("dst", `m v="text" 1700000000000000000`)
	dst := targetOf(t, s, "dst")
	if _, err := dst.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	var lines []byte
	for i := range 1000 {
		lines = fmt.Appendf(lines, "m,t=%d ok=%di,v=%d,z=1 17000000000000%05d\n", i%7, i, i, i)
	}
	w, err := dst.Open(ctx, mirror.Chunk{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(lines); err != nil {
		t.Fatal(err)
	}
	refused, err := w.Close()
	if err != nil || len(refused.Lines) > 0 || !strings.Contains(refused.Fields[mirror.RefusedField{Key: "v", Group: 1699833600000000000}], "type conflict") {
		t.Fatalf("%v, %v", refused, err)
	}
	r, err := dst.Read(ctx, mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 1699833600000000000, Stop: 1700438400000000000}, Width: int64(week)}, nil)
	if err != nil || r.Total().Count != 2001 {
		t.Errorf("%v %v, want 2001 samples", r, err)
	}
}

// Whether a login may write is asked without writing.
func TestCanWriteReal(t *testing.T) {
	s := servers.Start(t, servers.V2)
	ctx := context.Background()
	id := s.CreateBucket("b", 0, week)
	other := s.CreateBucket("other", 0, week)
	for _, c := range []struct {
		bucket, token string
		can           bool
		kind          mirror.Kind
	}{
		{"b", s.Token, true, ""},
		{"b", s.CreateToken([]string{id}, []string{id}), true, ""},
		{"b", s.CreateToken(nil, []string{id}), true, ""},
		{"b", s.CreateToken([]string{id}, nil), false, ""},
		{"b", s.CreateToken([]string{id, other}, []string{other}), false, ""},
		{"b", "nonsense", false, mirror.Rights},
		{"nosuch", s.Token, false, mirror.Missing},
	} {
		can, err := targetAs(t, s, c.bucket, Login{Token: c.token}).CanWrite(ctx)
		if can != c.can || mirror.KindOf(err) != c.kind {
			t.Errorf("%s: %v %v, want %v %s", c.bucket, can, err, c.can, c.kind)
		}
	}
	if a := s.Query("b", "SHOW MEASUREMENTS"); a != "{\"results\":[{\"statement_id\":0}]}\n" {
		t.Errorf("something was written: %s", a)
	}
}
