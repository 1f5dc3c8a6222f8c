package config

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"influxmirror/internal/mirror"
)

const many = `
endpoints:
  station: {url: http://10.8.0.2:8086, org: cryo, token_file: station.token}
  home: {url: https://localhost, org: caltech, token_file: home.token}
mirrors:
  - {name: cryostat, from: station:cryostat, to: home:cryo, add_tags: {site: mcmurdo, deck: 2}}
  - {name: rest, from: station, to: home, buckets: ["AC_*", Lab, _tasks], exclude_buckets: ["*_old"], wait: 5s, include: [cpu]}
  - {name: files, from: station:files, to: dir:archive/files}
  - {name: tree, from: home, to: "dir:/srv/${TREE:-tree}", buckets: "*"}
log_bucket: home:Logging
`

// TestPattern: a mirror of one bucket of a pattern has all that the pattern has, a name, and ends of its own.
func TestPattern(t *testing.T) {
	c, err := loadText(t, many, home)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]mirror.Tag{{Key: "deck", Value: "2"}, {Key: "site", Value: "mcmurdo"}}, c.Mirror("cryostat").AddTags); d != "" {
		t.Error(d)
	}
	rest := c.Mirror("rest")
	for bucket, want := range map[string]bool{"AC_1": true, "AC_1_old": false, "Lab": true, "lab": false, "_tasks": true, "_monitoring": false} {
		if rest.Takes(bucket) != want {
			t.Errorf("takes %s: %t", bucket, !want)
		}
	}
	if tree := c.Mirror("tree"); tree.Takes("_tasks") || tree.Takes("_monitoring") || tree.Takes("_internal/monitor") || !tree.Takes("_x") || !tree.Takes("db/rp") {
		t.Error("system buckets")
	}
	m := rest.Of("AC_1")
	if m.Name != "rest/AC_1" || m.Pattern != "rest" || m.IsPattern() || m.From.String() != "station:AC_1" || m.To.String() != "home:AC_1" ||
		m.Log.String() != "home:Logging" || m.Wait != rest.Wait || !m.Includes("cpu") || m.Includes("disk") {
		t.Errorf("%+v", m)
	}
	if !rest.IsPattern() || rest.From.Bucket != "" {
		t.Errorf("%+v", rest)
	}
	files := c.Mirror("files")
	dir := filepath.Join(filepath.Dir(c.Path), "archive", "files")
	if files.To.Endpoint.Dir != dir || files.To.Bucket != "files" || files.To.String() != "dir:"+dir || files.To.Endpoint.Address() != "dir:"+dir {
		t.Errorf("%+v", files.To)
	}
	for bucket, want := range map[string]string{"a": "a", "db/rp": "db%2Frp", "..": "%2E.", "ä b": "%C3%A4%20b", "%2E": "%252E"} {
		if got := c.Mirror("tree").Of(bucket).To; got.Endpoint.Dir != "/srv/tree/"+want || got.Bucket != bucket {
			t.Errorf("%s: %+v", bucket, got)
		}
	}
	if long := subdirectory(strings.Repeat("ä", 300)); len(long) > 255 || long == subdirectory(strings.Repeat("ä", 301)) {
		t.Error(long)
	}
}

// TestDisjoint: what is called apart has no name in common, for any names and patterns.
func TestDisjoint(t *testing.T) {
	word := rapid.StringMatching(`[ab*?]{0,4}`)
	list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Glob { return Glob(word.Draw(t, "glob")) }), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := selection{list.Draw(t, "in"), list.Draw(t, "out")}, selection{list.Draw(t, "in"), list.Draw(t, "out")}
		name := rapid.StringMatching(`[abc]{0,5}`).Draw(t, "name")
		if a.has(name) && b.has(name) && !a.meets(b) {
			t.Fatalf("%v %v both have %q", a, b, name)
		}
		if a.meets(b) != b.meets(a) {
			t.Fatalf("%v %v", a, b)
		}
	})
	for _, c := range []struct {
		g, h Glob
		want bool
	}{{"a*", "*b", true}, {"a*", "b*", false}, {"a?", "a", false}, {"a?", "ab", true}, {"*a*", "*b*", true}, {"", "*", true}, {"x*y", "xy", true}, {"AC_*", "DC_*", false}, {"?", "??", false}} {
		if c.g.meets(c.h) != c.want {
			t.Errorf("%s %s: %t", c.g, c.h, !c.want)
		}
	}
}
