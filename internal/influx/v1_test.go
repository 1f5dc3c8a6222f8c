package influx

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/mirror"
	"influxmirror/test/servers"
)

var oldKinds = []servers.Kind{servers.V1, servers.V16}

// readAll reads a measurement's whole axis in one Chunk.
func readAll(t *testing.T, c *Client, measurement string) (mirror.Reading, string, error) {
	t.Helper()
	var lines strings.Builder
	r, err := c.Read(context.Background(), mirror.Chunk{Measurement: measurement, Window: mirror.Axis, Width: 1 << 62}, func(b []byte) error {
		lines.Write(b)
		return nil
	})
	return r, lines.String(), err
}

// Shard groups that overlap, as 1.6 makes them when the duration of a policy is altered, are read exactly or not at all.
func TestOverlappingShardsReal(t *testing.T) {
	const D = 86400_000_000_000
	s := servers.Start(t, servers.V16)
	c := targetOf(t, s, "db")
	s.CreateBucket("db", 0, 24*time.Hour)
	s.Write("db", fmt.Sprintf("m,a=1 v=1i,s=\"x\" 10\nm v=2i %d\ntwo v=1i 10\ntypes v=1i 10", D+10))
	s.Query("db", "ALTER RETENTION POLICY autogen ON db SHARD DURATION 7d")
	s.Write("db", fmt.Sprintf("m v=3i -1\nm,a=1 v=4i %d\ntwo v=2i -1\ntypes v=2 %d", 3*D, 3*D))
	if _, err := c.Probe(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r, lines, err := readAll(t, c.Client, "m"); err != nil || r.Total().Count != 5 || !strings.Contains(lines, fmt.Sprintf("m,a=1 s=\"x\",v=1i 10\nm,a=1 v=4i %d\n", 3*D)) {
		t.Errorf("overlapping shards of one type: %v %v %q", r, err, lines)
	}
	// Each instant lies in two shards, and nothing tells which of them a number comes from.
	at := mirror.Chunk{Measurement: "types", Window: mirror.Window{Start: 10, Stop: 11}, Width: 1}
	if _, err := c.Read(context.Background(), at, nil); mirror.KindOf(err) != mirror.MultiShard {
		t.Errorf("overlapping shards of several types: %v", err)
	}
	// The first line's group takes the second, although an older group has that point.
	s.Write("db", "two v=3i -2\ntwo v=9i 10")
	if _, lines, err := readAll(t, c.Client, "two"); mirror.KindOf(err) != mirror.Rejected || !strings.Contains(err.Error(), "two shards hold a value") {
		t.Errorf("one point in two shards: %v %q", err, lines)
	}
}

// Every answer to what is wrong with a login, a name or a right says what to do.
func TestRefusedLoginsReal(t *testing.T) {
	for _, kind := range oldKinds {
		t.Run(kind.String(), func(t *testing.T) {
			ctx := context.Background()
			s := servers.Start(t, kind, servers.Auth)
			s.CreateBucket("db", 0, week)
			s.CreateBucket("db/year", 365*24*time.Hour, week)
			s.CreateUser("reader", "r", "READ db")
			s.CreateUser("writer", "w", "WRITE db")
			s.CreateUser("both", "b", "ALL db")
			s.CreateUser("nobody", "n")
			user := func(name string) Login { return Login{User: name, Password: name[:1]} }
			for _, c := range []struct {
				as     Login
				bucket string
				kind   mirror.Kind
				says   string
			}{
				{user("reader"), "db", "", ""},
				{user("both"), "db/autogen", "", ""},
				{user("reader"), "db/year", "", ""},
				{user("reader"), "db/nosuch", mirror.Missing, `no retention policy "nosuch"; it has "autogen", "year"`},
				{user("reader"), "db/a/b", mirror.Missing, "no name there has a slash"},
				{user("reader"), "nosuch", mirror.Missing, `GRANT READ ON "nosuch" TO "reader"`},
				{user("nobody"), "db", mirror.Missing, `GRANT READ ON "db" TO "nobody"`},
				{user("writer"), "db", mirror.Rights, `requires READ on db; an admin may say: GRANT READ ON "db" TO "writer"`},
				{Login{User: "reader", Password: "wrong"}, "db", mirror.Rights, "authorization failed; check username and password"},
				{Login{}, "db", mirror.Rights, "unable to parse authentication credentials; check username and password"},
				{Login{User: s.User, Password: s.Password}, "nosuch", mirror.Missing, `no database "nosuch"`},
			} {
				target := targetAs(t, s, c.bucket, c.as)
				p, err := target.Probe(ctx)
				if mirror.KindOf(err) != c.kind || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("%s as %s: %v", c.bucket, c.as.User, err)
				}
				if err == nil {
					name := "db/" + map[bool]string{true: "year", false: "autogen"}[strings.HasSuffix(c.bucket, "year")]
					if p.Product != "InfluxDB 1" || p.Bucket != name || p.Identity != "influxdb1:"+strings.TrimPrefix(s.URL, "http://")+":"+name || p.ShardGroup != int64(week) || p.Date == 0 || !p.Counters.Known() {
						t.Errorf("%s as %s: %+v", c.bucket, c.as.User, p)
					}
				}
			}
			for name, want := range map[string]bool{"reader": false, "writer": true, "both": true, "nobody": false} {
				if can, err := targetAs(t, s, "db", user(name)).CanWrite(ctx); can != want || err != nil {
					t.Errorf("%s can write: %v %v", name, can, err)
				}
			}
			if _, err := targetAs(t, s, "db", Login{User: "both", Password: "x"}).CanWrite(ctx); mirror.KindOf(err) != mirror.Rights {
				t.Errorf("with a wrong password: %v", err)
			}
			reader := targetAs(t, s, "db", user("reader"))
			if _, err := reader.Probe(ctx); err != nil {
				t.Fatal(err)
			}
			w, err := reader.Open(ctx, mirror.Chunk{})
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Write([]byte("m v=1 1\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Close(); mirror.KindOf(err) != mirror.Rights || !strings.Contains(err.Error(), `GRANT READ ON "db"`) && !strings.Contains(err.Error(), `GRANT ALL ON "db"`) {
				t.Errorf("a write of the reader: %v", err)
			}
			// The log's lines need no right to read.
			if err := targetAs(t, s, "db/year", user("writer")).Append(ctx, []byte("log Message=\"x\" "+fmt.Sprint(time.Now().UnixNano()))); err != nil {
				t.Errorf("a line of the log: %v", err)
			}
			if a := s.Query("db", "SELECT count(*) FROM year.log"); !strings.Contains(a, "[0,1]") {
				t.Errorf("the log holds %s", a)
			}
		})
	}
}

// A bucket is made as a database with its policy, or as one more policy; who may not is told the statement.
func TestCreateBucketReal(t *testing.T) {
	for _, kind := range oldKinds {
		t.Run(kind.String(), func(t *testing.T) {
			ctx := context.Background()
			s := servers.Start(t, kind, servers.Auth)
			s.CreateUser("plain", "p")
			admin, plain := Login{User: s.User, Password: s.Password}, Login{User: "plain", Password: "p"}
			for _, c := range []struct {
				bucket           string
				retention, group time.Duration
				want             string
				def              bool
			}{
				{`odd "name`, 0, 0, `odd "name/autogen`, true},
				{"db/kept", 0, 36 * time.Hour, "db/kept", true},
				{"db/short", 48 * time.Hour, 24 * time.Hour, "db/short", false},
				{"plain", 30 * 24 * time.Hour, 0, "plain/autogen", true},
			} {
				err := targetAs(t, s, c.bucket, plain).CreateBucket(ctx, c.retention, c.group)
				if mirror.KindOf(err) != mirror.Rights || !strings.Contains(err.Error(), "only an admin may create it, with: CREATE DATABASE ") || !strings.Contains(err.Error(), " REPLICATION 1") {
					t.Errorf("%s by a plain user: %v", c.bucket, err)
				}
				target := targetAs(t, s, c.bucket, admin)
				if _, err := target.Probe(ctx); mirror.KindOf(err) != mirror.Missing {
					t.Errorf("%s before it exists: %v", c.bucket, err)
				}
				if err := target.CreateBucket(ctx, c.retention, c.group); err != nil {
					t.Fatal(err)
				}
				p, err := target.Probe(ctx)
				if err != nil || p.Bucket != c.want || p.Retention != int64(c.retention) || c.group != 0 && p.ShardGroup != int64(c.group) {
					t.Errorf("%s: %+v %v", c.bucket, p, err)
				}
				db, _, _ := strings.Cut(c.bucket, "/")
				if d, err := targetAs(t, s, db, admin).Probe(ctx); err != nil || (d.Bucket == c.want) != c.def {
					t.Errorf("the default of %s is %s: %v", db, d.Bucket, err)
				}
			}
			err := targetAs(t, s, "tiny", admin).CreateBucket(ctx, time.Minute, 0)
			if mirror.KindOf(err) != mirror.Rejected || !strings.Contains(err.Error(), "must be at least 1h0m0s") {
				t.Errorf("a retention of a minute: %v", err)
			}
		})
	}
}

// Write counters are told to an admin and to a plain user alike, move with every write and begin again with the server.
func TestCountersOldReal(t *testing.T) {
	for _, kind := range oldKinds {
		t.Run(kind.String(), func(t *testing.T) {
			ctx := context.Background()
			s := servers.Start(t, kind, servers.Auth)
			s.CreateBucket("db", 0, 24*time.Hour)
			s.CreateBucket("db/other", 0, 24*time.Hour)
			s.CreateUser("plain", "p", "READ db")
			clients := []*Target{targetOf(t, s, "db"), targetAs(t, s, "db", Login{User: "plain", Password: "p"})}
			probe := func() mirror.Counters {
				t.Helper()
				var both [2]mirror.Counters
				for i, c := range clients {
					p, err := c.Probe(ctx)
					if err != nil {
						t.Fatal(err)
					}
					both[i] = p.Counters
				}
				if fmt.Sprint(both[0].Shards) != fmt.Sprint(both[1].Shards) || both[0].Started != both[1].Started || !both[0].Known() {
					t.Fatalf("the admin is told %v and the plain user %v", both[0], both[1])
				}
				return both[0]
			}
			before := probe()
			s.Write("db", "m v=1 1\nm v=2 86400000000000")
			s.Write("db/other", "m v=1 1")
			now := probe()
			if moved, ok := before.Moved(now); !ok || len(moved) != 2 || len(now.Shards) != 2 {
				t.Errorf("after writes to two shards: %v %v", moved, now)
			}
			at := map[mirror.Window][]string{{Start: 0, Stop: day}: {"m"}, {Start: day, Stop: 2 * day}: {"m"}, {Start: 2 * day, Stop: 3 * day}: {"m"}}
			for _, c := range clients {
				if where, err := c.Locate(ctx, at); err != nil || len(where) != 2 {
					t.Errorf("located %v: %v", where, err)
				}
			}
			before = now
			s.Write("db", "m v=3 1")
			now = probe()
			moved, ok := before.Moved(now)
			if where, _ := clients[1].Locate(ctx, at); !ok || len(moved) != 1 || where[moved[0]].Start != 0 {
				t.Errorf("after an overwrite: %v in %v", moved, where)
			}
			s.Restart()
			if _, ok := now.Moved(probe()); ok {
				t.Error("counters before and after a restart are compared")
			}
		})
	}
}

// What 1.x does not take is found at the cost of few requests and told in the server's words; nothing is converted.
func TestRefusedOldReal(t *testing.T) {
	for _, kind := range oldKinds {
		t.Run(kind.String(), func(t *testing.T) {
			ctx := context.Background()
			s := servers.Start(t, kind, "INFLUXDB_DATA_MAX_VALUES_PER_TAG=3")
			s.CreateBucket("dst", 0, week)
			s.Write("dst", "n v=\"text\" 1")
			dst := targetOf(t, s, "dst")
			if _, err := dst.Probe(ctx); err != nil {
				t.Fatal(err)
			}
			write := func(lines []byte) mirror.Refusals {
				t.Helper()
				w, err := dst.Open(ctx, mirror.Chunk{})
				if err != nil {
					t.Fatal(err)
				}
				if err := w.Write(lines); err != nil {
					t.Fatal(err)
				}
				refused, err := w.Close()
				if err != nil {
					t.Fatal(err)
				}
				return refused
			}
			stored := func(measurement string, want uint64) {
				t.Helper()
				r, err := dst.Read(ctx, mirror.Chunk{Measurement: measurement, Window: mirror.Window{Stop: int64(week)}, Width: int64(week)}, nil)
				if err != nil || r.Total().Count != want {
					t.Errorf("%s holds %v, want %d: %v", measurement, r.Total(), want, err)
				}
			}
			var lines []byte
			for i := range 3000 {
				lines = fmt.Appendf(lines, "m,t=%d ok=%di,s=\"5u\",u=%du %d\n", i%3, i, i, i)
			}
			before := writes(t, s)
			r := write(lines)
			if r.Unsigned != "unable to parse: invalid number" || len(r.Lines)+len(r.Fields) != 0 {
				t.Errorf("refused %+v", r)
			}
			if n := writes(t, s) - before; n > 60 {
				t.Errorf("it took %d requests", n)
			}
			stored("m", 6000)
			// The next Chunk knows already.
			before = writes(t, s)
			if r := write([]byte("m,t=1 u=7u 9\nm,t=1 ok=2i 9\n")); r.Unsigned == "" || len(r.Lines)+len(r.Fields) != 0 || writes(t, s)-before != 1 {
				t.Errorf("refused %+v after %d requests", r, writes(t, s)-before)
			}
			if r := write([]byte("n v=1 2\nn v=\"x\" 3\n")); len(r.Lines) != 0 || len(r.Fields) != 1 {
				t.Errorf("refused %+v", r)
			}
			s.Write("dst", "k,t=0 a=1 0\nk,t=1 a=1 1\nk,t=2 a=1 2") // new ones of one body are not counted against the limit
			lines = lines[:0]
			for i := range 500 {
				lines = fmt.Appendf(lines, "k,t=%d a=1,b=2 %d\n", i%5, i)
			}
			r = write(lines)
			values := map[string]bool{}
			for line, why := range r.Lines {
				if !strings.Contains(why, "max-values-per-tag limit exceeded") {
					t.Fatalf("%q: %s", line, why)
				}
				values[line[:5]] = true
			}
			if len(r.Lines) != 400 || len(values) != 2 {
				t.Errorf("%d samples of %v are refused, want 400 of two series", len(r.Lines), values)
			}
			stored("k", 600)
		})
	}
}

// writes is the number of write requests that the server has answered.
func writes(t *testing.T, s *servers.Server) int {
	t.Helper()
	a, err := s.Do("GET", "/debug/vars", "")
	var vars struct {
		HTTPD struct{ Values struct{ WriteReq int } } `json:"httpd"`
	}
	var all map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(a.Body, &all)
	}
	for name, v := range all {
		if strings.HasPrefix(name, "httpd") && err == nil {
			err = json.Unmarshal(v, &vars.HTTPD)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return vars.HTTPD.Values.WriteReq
}

// A policy with a write window is read, and never a target.
func TestWriteWindowReal(t *testing.T) {
	ctx := context.Background()
	s := servers.Start(t, servers.V1)
	s.CreateBucket("db", 0, week)
	s.Query("", "ALTER RETENTION POLICY autogen ON db PAST LIMIT 24h")
	c := targetOf(t, s, "db")
	if _, err := c.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(ctx, mirror.Chunk{}); mirror.KindOf(err) != mirror.Blocked || !strings.Contains(err.Error(), `ALTER RETENTION POLICY "autogen" ON "db" FUTURE LIMIT 0s PAST LIMIT 0s`) {
		t.Errorf("open: %v", err)
	}
	s.Query("", "ALTER RETENTION POLICY autogen ON db FUTURE LIMIT 0s PAST LIMIT 0s")
	c = targetOf(t, s, "db")
	if _, err := c.Probe(ctx); err != nil {
		t.Fatal(err)
	}
	w, err := c.Open(ctx, mirror.Chunk{})
	if err != nil {
		t.Fatalf("open without limits: %v", err)
	}
	w.Abort()
}

// 1.6 takes strings that newer servers refuse. They are read exactly.
func TestLongStringsReal(t *testing.T) {
	s := servers.Start(t, servers.V16)
	c := targetOf(t, s, "db")
	s.CreateBucket("db", 0, week)
	long := strings.Repeat("0123456789", 1<<20)
	s.Write("db", "m s=\"short\" 1\nm s=\""+long+"\" 2\nm s=\"after\" 3")
	if _, err := c.Probe(context.Background()); err != nil {
		t.Fatal(err)
	}
	if r, lines, err := readAll(t, c.Client, "m"); err != nil || r.Total().Count != 3 || lines != "m s=\"short\" 1\nm s=\""+long+"\" 2\nm s=\"after\" 3\n" {
		t.Errorf("%v %v, %d bytes", r.Total(), err, len(lines))
	}
}
