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

// TestMembers: every bucket is taken once, in the order of the file, and never a log bucket.
func TestMembers(t *testing.T) {
	c, err := loadText(t, `
endpoints:
  station: {url: http://10.8.0.2:8086, org: cryo, token_file: station.token}
  same: {url: http://10.8.0.2:8086/, org: cryo, token_file: station.token}
  third: {url: http://c, org: c, token_file: station.token}
  home: {url: https://localhost, org: caltech, token_file: home.token}
mirrors:
  - {name: all, from: station, to: home, buckets: ["*"], exclude_buckets: ["*_old"]}
  - {name: named, from: same:cryostat, to: home:cryo}
  - {name: policy, from: same:db/autogen, to: home:db}
  - {name: more, from: same, to: home, buckets: ["A*", _tasks]}
  - {name: dirs, from: third, to: dir:/srv, buckets: ["*"]}
ignore_buckets: [scratch]
`, home)
	if err != nil {
		t.Fatal(err)
	}
	list := func(names ...string) (out []Listing) {
		for _, n := range names {
			name, also, _ := strings.Cut(n, "=")
			out = append(out, Listing{name, also})
		}
		return out
	}
	station := list("lab", "AC_2", "AC_1", "AC_1", "x_old", "cryostat", "cryo", "db=db/autogen", "Logging", "_tasks", "bad\x1b[2J")
	all, left := c.Expand(map[*Mirror][]Listing{c.Mirror("all"): station, c.Mirror("more"): station, c.Mirror("dirs"): list("a", "b/c")})
	var got []string
	for _, m := range all {
		got = append(got, m.Name+" "+m.From.String()+" "+m.To.String())
	}
	want := []string{
		"all/AC_1 station:AC_1 home:AC_1", "all/AC_2 station:AC_2 home:AC_2", "all/lab station:lab home:lab",
		"named same:cryostat home:cryo", "policy same:db/autogen home:db", "more/_tasks same:_tasks home:_tasks",
		"dirs/a third:a dir:/srv/a", "dirs/b/c third:b/c dir:/srv/b%2Fc",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	got = nil
	for _, l := range left {
		got = append(got, l.Pattern.Name+" "+l.Bucket+" "+strings.SplitN(l.Why, ";", 2)[0])
	}
	want = []string{
		"all Logging it is a log bucket", "all bad\x1b[2J its name holds a control character", "all cryo mirror named writes into home:cryo already",
		"all cryostat mirror named has it", "all db mirror policy has it", "more AC_1 mirror all/AC_1 has it", "more AC_2 mirror all/AC_2 has it",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for i, want := range []int{0, 0, 0, 1, 2, 3, 4, 4} {
		if got := c.Rank(all[i]); got != want {
			t.Errorf("%s: %d", all[i].Name, got)
		}
	}
}

func TestUnmirrored(t *testing.T) {
	c, err := loadText(t, many+"ignore_buckets: [scratch]\n", home)
	if err != nil {
		t.Fatal(err)
	}
	var list []Listing
	for _, n := range []string{"x", "cryostat", "AC_1", "b_old", "files", "scratch", "Lab", "_monitoring", "a"} {
		list = append(list, Listing{Bucket: n})
	}
	if d := cmp.Diff([]string{"a", "x"}, c.Unmirrored(c.Endpoint("station"), list)); d != "" {
		t.Error(d)
	}
}
