package oracle_test

import (
	"fmt"
	"testing"
	"time"

	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
	"influxmirror/test/servers"
)

// What was written is read, on every kind of server, also after a restart, and nothing else.
func TestRead(t *testing.T) {
	t.Parallel()
	for _, kind := range []servers.Kind{servers.V2, servers.V1, servers.V16} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			s := servers.Start(t, kind)
			bucket := "b"
			if kind.Old() {
				s.CreateBucket("b", 0, 7*24*time.Hour)
				bucket = "b/second"
				if a := s.Query("b", `CREATE RETENTION POLICY second ON b DURATION INF REPLICATION 1 SHARD DURATION 1d`); len(a) > 60 {
					t.Fatal(a)
				}
				s.Write("b/autogen", "m v=1 1")
			} else {
				s.CreateBucket("b", 0, 24*time.Hour)
				s.Write(servers.Bucket, "m v=1 1")
			}
			base := dataset.Monday(time.Now().UnixNano()) - 3*dataset.Week
			want := oracle.Contents{}
			var points []string
			add := func(m string, tags map[string]string, field, line string, v any, unsigned bool, at int64) {
				t.Helper()
				value, err := oracle.Value(v, unsigned)
				if err != nil {
					t.Fatal(err)
				}
				want[oracle.Place{Measurement: m, Tags: oracle.TagsOf(tags), Field: field, Time: at}] = value
				var flat []string
				for k, v := range tags {
					flat = append(flat, k, v)
				}
				points = append(points, dataset.Point(m, flat, []string{field, line}, at))
			}
			for i, at := range []int64{oracle.AxisStart, oracle.AxisStart + 1, -1, 0, base, oracle.AxisStop} {
				add("axis", map[string]string{"k": "v"}, "v", fmt.Sprintf("%di", i), int64(i), false, at)
			}
			// One field, another type each day.
			add("types", nil, "v", "7i", int64(7), false, base)
			add("types", nil, "v", "-0", float64(1)/negativeInfinity, false, base+dataset.Day)
			add("types", nil, "v", `"seven"`, "seven", false, base+2*dataset.Day)
			add("types", nil, "v", "true", true, false, base+3*dataset.Day)
			if !kind.Old() {
				add("types", nil, "v", "7u", int64(7), true, base+4*dataset.Day)
				add("types", nil, "v", "18446744073709551615u", uint64(18446744073709551615), true, base+4*dataset.Day+1)
			}
			for i, n := range dataset.Names {
				add(n, map[string]string{n: "x" + n}, n, dataset.Text(n+"\n"), n+"\n", false, base+int64(i))
			}
			for i, s := range dataset.Texts {
				add("texts", nil, "v", dataset.Text(s), s, false, base+int64(i))
			}
			if err := dataset.Load(s, bucket, points); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				got, err := oracle.Read(s, bucket, oracle.Always)
				if err != nil {
					t.Fatal(err)
				}
				oracle.Compare(want, got).Report(t, want, got)
				s.Restart()
			}
			some, err := oracle.Read(s, bucket, oracle.Span{First: base + dataset.Day, Last: base + 2*dataset.Day})
			if err != nil || len(some) != 2 {
				t.Errorf("%d samples within a day and its last instant, %v", len(some), err)
			}
		})
	}
}

var negativeInfinity = -1 / zero

var zero float64

// Nothing that differs is overlooked.
func TestCompare(t *testing.T) {
	t.Parallel()
	base := oracle.Contents{}
	put := func(c oracle.Contents, tags, field string, at int64, v any) {
		value, err := oracle.Value(v, false)
		if err != nil {
			t.Fatal(err)
		}
		c[oracle.Place{Measurement: "m", Tags: tags, Field: field, Time: at}] = value
	}
	put(base, "", "v", 1, 1.0)
	put(base, "", "v", 2, 0.0)
	if d := oracle.Compare(base, base.Clone()); !d.None() {
		t.Errorf("a copy differs: %v", d)
	}
	for name, edit := range map[string]func(oracle.Contents){
		"missing":       func(c oracle.Contents) { delete(c, oracle.Place{Measurement: "m", Field: "v", Time: 1}) },
		"extra":         func(c oracle.Contents) { put(c, "", "w", 1, 1.0) },
		"type":          func(c oracle.Contents) { put(c, "", "v", 1, int64(1)) },
		"negative zero": func(c oracle.Contents) { put(c, "", "v", 2, 1/negativeInfinity) },
		"tag":           func(c oracle.Contents) { put(c, oracle.TagsOf(map[string]string{"a": "b"}), "v", 1, 1.0) },
		"text":          func(c oracle.Contents) { put(c, "", "v", 1, "1") },
	} {
		c := base.Clone()
		edit(c)
		if d := oracle.Compare(base, c); d.None() {
			t.Errorf("%s: not noticed", name)
		}
		if d := oracle.Compare(c, base); d.None() {
			t.Errorf("%s: not noticed the other way round", name)
		}
	}
}
