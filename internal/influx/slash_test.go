package influx

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"influxmirror/internal/mirror"
	"influxmirror/test/servers"
)

// TestSlashReal: a bucket named "a/b", as the upgrade from 1.x makes them, is read, surveyed and written as itself, beside a bucket named "a".
func TestSlashReal(t *testing.T) {
	s := servers.Start(t, servers.V2)
	names := []string{"a", "a/b", "a/b/c, d", "telegraf/autogen"}
	for i, name := range names {
		s.CreateBucket(name, 0, week)
		s.Write(name, fmt.Sprintf("m,tag%d=x f%d=1,s=\"t\" 1600000000000000000\nonly%d v=%di 1600000000000000001\n", i, i, i, i))
	}
	for i, name := range names {
		c := targetOf(t, s, name)
		p, err := c.Probe(t.Context())
		if err != nil || p.Bucket != name {
			t.Fatalf("%q: %+v %v", name, p, err)
		}
		w := mirror.NewGrid(p.ShardGroup).Group(1600000000000000000)
		check := func(want map[string]uint64) {
			t.Helper()
			got := map[string]uint64{}
			err := c.Survey(t.Context(), mirror.SurveyRequest{Window: mirror.Axis, Width: int64(week)}, func(n mirror.Count) error { got[n.Measurement] += n.Samples; return nil })
			if err != nil || !maps.Equal(got, want) {
				t.Errorf("%q: survey %v, want %v: %v", name, got, want, err)
			}
			for m, n := range want {
				r, err := c.Read(t.Context(), mirror.Chunk{Measurement: m, Window: w, Width: int64(w.Width())}, nil)
				if err != nil || r.Total().Count != n {
					t.Errorf("%q: read of %q: %d samples, %v", name, m, r.Total().Count, err)
				}
			}
		}
		only := fmt.Sprintf("only%d", i)
		check(map[string]uint64{"m": 2, only: 1})
		tags, err := c.TagKeys(t.Context())
		if keys := slices.Collect(maps.Keys(tags)); err != nil || fmt.Sprint(keys) != fmt.Sprintf("[tag%d]", i) {
			t.Errorf("%q: tags %v, %v", name, keys, err)
		}
		out, err := c.Open(t.Context(), mirror.Chunk{Measurement: only, Window: w, Width: int64(w.Width())})
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Write([]byte(only + " v=7i 1600000000000000002\n")); err != nil {
			t.Fatal(err)
		}
		if refused, err := out.Close(); err != nil || len(refused.Lines) > 0 {
			t.Errorf("%q: %v %v", name, refused, err)
		}
		check(map[string]uint64{"m": 2, only: 2})
	}
	if a, err := s.Do("POST", "/api/v2/dbrps", fmt.Sprintf(`{"orgID":%q,"bucketID":%q,"database":"telegraf","retention_policy":"autogen","default":false}`, s.OrgID, s.BucketID), "Content-Type", "application/json"); err != nil || a.Status != 201 {
		t.Fatal(a.Status, string(a.Body), err)
	}
	if p, err := targetOf(t, s, "telegraf/autogen").Probe(t.Context()); mirror.KindOf(err) != mirror.Blocked {
		t.Errorf("a mapping to another bucket is not seen: %+v %v", p, err)
	}
}
