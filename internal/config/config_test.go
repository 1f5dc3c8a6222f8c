package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// environ looks up variables in a map.
func environ(vars map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) {
		v, ok := vars[key]
		return v, ok
	}
}

// write makes files of mode 0600 in a new directory and returns it. Names and texts alternate.
func write(t testing.TB, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var home = environ(map[string]string{"HOME": "/home/u"})

// load reads text as influxmirror.yaml, beside the files station.token and home.token.
func loadText(t testing.TB, text string, env func(string) (string, bool)) (*Config, error) {
	t.Helper()
	dir := write(t, "influxmirror.yaml", text, "station.token", "st-4711\n", "home.token", "ho-4711\n")
	return Load(filepath.Join(dir, "influxmirror.yaml"), env)
}

const full = `
endpoints:
  station: {url: "http://10.8.0.2:8086/influx/", org: cryo, token_file: station.token, proxy: none}
  home:
    url: http://[2001:db8::2]:8086
    org: "${ORG:-caltech}"
    token: ${HOME_TOKEN:?set it}
mirrors:
  - name: cryostat
    from: station:cryostat
    to: home:cryo$stat
    since: 2021-06-01T00:00:00+02:00
    wait: 1m30s
    include: ["temp*", cryo]
    exclude: temp_raw
    create_bucket: {retention: 30d}
    scrub: {target: 2w, source: never}
  - {name: lab, from: station:Lab, to: home:Lab, create_bucket: {retention: source}, scrub: {source: 90d, target: never}}
log_bucket: home:log
state_dir: state
ignore_buckets: ["_*", "station:scratch"]
`

func TestLoad(t *testing.T) {
	c, err := loadText(t, full, environ(map[string]string{"HOME_TOKEN": "tok"}))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 0 || c.Legacy || len(c.Endpoints) != 2 || len(c.Mirrors) != 2 {
		t.Fatalf("%+v", c)
	}
	if c.StateDir != filepath.Join(filepath.Dir(c.Path), "state") {
		t.Errorf("state %s", c.StateDir)
	}
	station, home := c.Endpoint("station"), c.Endpoint("home")
	for _, d := range []string{
		cmp.Diff("http://10.8.0.2:8086/influx", station.URL.String()),
		cmp.Diff("http://[2001:db8::2]:8086", home.URL.String()),
		cmp.Diff("cryo caltech", station.Org+" "+home.Org),
		cmp.Diff("st-4711 tok", station.Token().Reveal()+" "+home.Token().Reveal()),
	} {
		if d != "" {
			t.Error(d)
		}
	}
	m := c.Mirror("cryostat")
	if m.From.String() != "station:cryostat" || m.To.String() != "home:cryo$stat" || m.Log.String() != "home:log" {
		t.Errorf("%s %s %s", m.From, m.To, m.Log)
	}
	if got := m.Since.Format(time.RFC3339); got != "2021-05-31T22:00:00Z" || m.Wait != 90*time.Second {
		t.Errorf("since %s wait %s", got, m.Wait)
	}
	if m.Create != (Create{Retention: 720 * time.Hour}) || m.Scrub != (Scrub{Target: 336 * time.Hour}) {
		t.Errorf("%+v %+v", m.Create, m.Scrub)
	}
	for name, want := range map[string]bool{"temp1": true, "temp_raw": false, "cryo": true, "cryo2": false} {
		if m.Includes(name) != want {
			t.Errorf("includes %s: %t", name, !want)
		}
	}
	m = c.Mirror("lab")
	if m.Create != (Create{AsSource: true}) || m.Scrub != (Scrub{Source: 90 * 24 * time.Hour}) || m.Wait != defaultWait || m.Since != nil {
		t.Errorf("%+v", m)
	}
	if !c.Ignored("home", "_tasks") || !c.Ignored("station", "scratch") || c.Ignored("home", "scratch") {
		t.Error("ignore_buckets")
	}
	if c.Endpoint("nowhere") != nil || c.Mirror("nothing") != nil {
		t.Error("an unknown name is found")
	}
}

const small = `
endpoints:
  station: {url: http://10.8.0.2:8086, org: cryo, token_file: station.token}
  home: {url: https://localhost, org: caltech, token_file: home.token}
mirrors: [{name: cryostat, from: station:cryostat, to: home:cryostat}]
`

func TestDefaults(t *testing.T) {
	c, err := loadText(t, small, home)
	if err != nil {
		t.Fatal(err)
	}
	m := c.Mirrors[0]
	if m.Log.String() != "home:Logging" || m.Create != (Create{}) || m.Scrub != (Scrub{Target: 720 * time.Hour}) || m.Wait != 30*time.Second {
		t.Errorf("%+v", m)
	}
	if c.StateDir != "/home/u/.local/state/influxmirror" {
		t.Errorf("state %s", c.StateDir)
	}
	c, err = loadText(t, small+"log_bucket: none\n", home)
	if err != nil || !c.Mirrors[0].Log.IsZero() || c.Mirrors[0].Log.String() != "none" {
		t.Errorf("%v %v", c, err)
	}
}

func TestStateDir(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"STATE_DIRECTORY": "/var/lib/influxmirror:/var/lib/b", "HOME": "/root"}, "/var/lib/influxmirror"},
		{map[string]string{"XDG_STATE_HOME": "/s", "HOME": "/root"}, "/s/influxmirror"},
		{map[string]string{"XDG_STATE_HOME": "relative", "HOME": "/root"}, "/root/.local/state/influxmirror"},
	} {
		got, err := loadText(t, small, environ(c.env))
		if err != nil || got.StateDir != c.want {
			t.Errorf("%v: %v %v", c.env, got, err)
		}
	}
	if _, err := loadText(t, small, environ(nil)); err == nil || !strings.Contains(err.Error(), "no place for the state") {
		t.Error(err)
	}
}

func TestUnusedEndpoint(t *testing.T) {
	c, err := loadText(t, strings.Replace(small, "mirrors:", "  spare: {url: http://c, org: o, token_file: home.token}\nmirrors:", 1), home)
	if err != nil || len(c.Warnings) != 1 || c.Warnings[0] != "endpoint spare is in no mirror; leave it out or add a mirror" {
		t.Errorf("%v %v", c, err)
	}
}

func TestParseDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "1.5h": 90 * time.Minute, "30d": 720 * time.Hour, "1d12h": 36 * time.Hour,
		"2w": 336 * time.Hour, "0.5d": 12 * time.Hour, "250ms": 250 * time.Millisecond, "106751d": 106751 * 24 * time.Hour,
	} {
		if got, err := ParseDuration(s); got != want || err != nil {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"": "no duration", "30": "needs a unit", "0": "needs a unit", "-5m": "negative", "0s": "more than nothing",
		"2Mbit/s": "rate", "200MB": "rate", "8bps": "rate", "5 m": "not a duration", "never": "not a duration",
		"1d-2h": "not a duration", "300000w": "at most 292 years", "1e9h": "not a duration", "m": "not a duration",
	} {
		if got, err := ParseDuration(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		glob Glob
		s    string
		want bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a/b", true}, {"a*c", "abbc", true}, {"a*c", "abcd", false},
		{"?", "é", true}, {"?", "", false}, {"a?c*", "abcdef", true}, {"*a*b", "xaxxbxb", true}, {"a.c", "abc", false},
		{"[a]", "a", false}, {"[a]", "[a]", true}, {"**", "x", true},
	} {
		if c.glob.Match(c.s) != c.want {
			t.Errorf("%q %q: %t", c.glob, c.s, !c.want)
		}
	}
}

func TestExpand(t *testing.T) {
	env := environ(map[string]string{"A": "a", "EMPTY": "", "NESTED": "${A}$"})
	for s, want := range map[string]string{
		"": "", "$": "$", "$$": "$$", "$A": "$A", "pa$$w0rd": "pa$$w0rd", "${A}": "a", "x${A}y${A}": "xaya", "${EMPTY}": "",
		"${NONE:-d}": "d", "${EMPTY:-d}": "d", "${A:-d}": "a", "${NONE:-}": "", "${A:?m}": "a", "$${A}": "${A}", "${NESTED}": "${A}$",
		"${NONE:-a:b}": "a:b",
	} {
		if got, err := expand(s, env); got != want || err != nil {
			t.Errorf("%s: %q %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"${NONE}": "the variable NONE is not set", "${NONE:?set it}": "NONE: set it", "${EMPTY:?set it}": "EMPTY: set it",
		"${NONE:?}": "the variable NONE is not set", "${A": "${ without }", "${}": "want ${NAME}", "${a b}": "want ${NAME}", "${A:+x}": "want ${NAME}",
		"${A:}": "want ${NAME}",
	} {
		if got, err := expand(s, env); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %q %v", s, got, err)
		}
	}
}

func TestFind(t *testing.T) {
	env := environ(map[string]string{"HOME": "/h"})
	places := []string{"influxmirror.yaml", "settings.yaml", "/h/.config/influxmirror/influxmirror.yaml", "/etc/influxmirror/influxmirror.yaml"}
	for i, want := range places {
		there := places[i:]
		got, err := find("", env, func(p string) bool { return contains(there, p) })
		if got != want || err != nil {
			t.Errorf("%s: %s %v", want, got, err)
		}
	}
	none := func(string) bool { return false }
	for _, c := range []struct {
		explicit string
		env      map[string]string
		want     string
	}{
		{"", map[string]string{"HOME": "/h"}, "no config found; looked for ./influxmirror.yaml, ./settings.yaml, /h/.config/influxmirror/influxmirror.yaml, /etc/influxmirror/influxmirror.yaml\n      hint: write one of these, or name it with --config FILE"},
		{"", map[string]string{"XDG_CONFIG_HOME": "/x"}, "no config found; looked for ./influxmirror.yaml, ./settings.yaml, /x/influxmirror/influxmirror.yaml, /etc/influxmirror/influxmirror.yaml\n      hint: write one of these, or name it with --config FILE"},
		{"a.yaml", map[string]string{"INFLUXMIRROR_CONFIG": "b.yaml"}, "no config at a.yaml (--config)\n      hint: correct the path, or leave --config out to look in the usual places"},
		{"", map[string]string{"INFLUXMIRROR_CONFIG": "b.yaml"}, "no config at b.yaml (INFLUXMIRROR_CONFIG)\n      hint: correct or unset the variable"},
	} {
		if _, err := find(c.explicit, environ(c.env), none); err == nil || err.Error() != c.want {
			t.Errorf("%v", err)
		}
	}
	all := func(string) bool { return true }
	if got, _ := find("a.yaml", environ(map[string]string{"INFLUXMIRROR_CONFIG": "b.yaml"}), all); got != "a.yaml" {
		t.Error(got)
	}
	if got, _ := find("", environ(map[string]string{"INFLUXMIRROR_CONFIG": "b.yaml"}), all); got != "b.yaml" {
		t.Error(got)
	}
	if _, err := Find(filepath.Join(t.TempDir(), "none.yaml")); err == nil {
		t.Error("a config that is not there is found")
	}
}
