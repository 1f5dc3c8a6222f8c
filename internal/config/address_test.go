package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestIsAddress(t *testing.T) {
	for s, want := range map[string]bool{
		"lab": false, "rest/AC_1": false, "rest/a:b": false, "station:lab": true, "station:a/b": true, "http://h::b": true,
		"dir:/x": true, "dir:x": true, "profile:a:b": true, "": false, "/a:b": false,
	} {
		if IsAddress(s) != want {
			t.Errorf("%q: %t", s, !want)
		}
	}
}

func TestResolve(t *testing.T) {
	c, err := loadText(t, small, home)
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, "configs", "[a]\n url = \"https://a:8086/p/\"\n token = \"tok\"\n org = \"o\"\n[\"two words\"]\n url = \"http://b\"\n[bad]\n url = \"ftp://x\"\n",
		"broken", "[a]\ntoken = hunter2\n", "s.token", "st-1\n", "pw", "p w\n")
	env := environ(map[string]string{"HOME": "/home/u", "INFLUX_CONFIGS_PATH": filepath.Join(dir, "configs")})
	r := Resolver{Config: c, Env: env}
	for _, x := range []struct {
		address string
		c       Credentials
		want    string // Ref, address of the endpoint, user, secret, organisation
	}{
		{"station:lab", Credentials{Org: "ignored"}, "station:lab http://10.8.0.2:8086  st-4711 cryo"},
		{"station:a:b", Credentials{}, "station:a:b http://10.8.0.2:8086  st-4711 cryo"},
		{"http://h:8086::lab", Credentials{}, "http://h:8086::lab http://h:8086   "},
		{"https://h/p/q/::a::b@c", Credentials{Org: "o", Token: NewSecret("t")}, "https://h/p/q::a::b@c https://h/p/q  t o"},
		{"http://[2001:db8::2]:8086::db/rp", Credentials{Username: "u", PassFile: filepath.Join(dir, "pw")}, "http://[2001:db8::2]:8086::db/rp http://[2001:db8::2]:8086 u p w "},
		{"http://[::1]::b", Credentials{Org: "o", TokenFile: filepath.Join(dir, "s.token")}, "http://[::1]::b http://[::1]  st-1 o"},
		{"dir:/a//b/", Credentials{}, "dir:/a/b dir:/a/b   "},
		{"profile:a:lab", Credentials{Token: NewSecret("other")}, "profile:a:lab https://a:8086/p  tok o"},
		{"profile:two words:a:b", Credentials{}, "profile:two words:a:b http://b   "},
	} {
		got, err := r.Resolve(x.address, x.c)
		if err != nil {
			t.Errorf("%s: %v", x.address, err)
			continue
		}
		user, secret := got.Endpoint.Login()
		if s := strings.Join([]string{got.String(), got.Endpoint.Address(), user, secret.Reveal(), got.Endpoint.Org}, " "); s != x.want {
			t.Errorf("%s: %q, want %q", x.address, s, x.want)
		}
	}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Resolve("dir:a/b", Credentials{}); err != nil || got.Endpoint.Dir != filepath.Join(wd, "a/b") {
		t.Errorf("%v %v", got, err)
	}
	long := strings.Repeat("Qq7", 28) + "=="
	for _, x := range []struct {
		address string
		c       Credentials
		want    string
	}{
		{"sation:lab", Credentials{}, "no endpoint is called sation"},
		{"station:", Credentials{}, "write station:BUCKET"},
		{"dir:", Credentials{}, "names no directory"},
		{"profile:lab", Credentials{}, "profile:NAME:BUCKET"},
		{"profile:b:lab", Credentials{}, "no profile b at"},
		{"profile:bad:lab", Credentials{}, "must begin with http"},
		{"http://h", Credentials{}, "behind two colons"},
		{"http://h::", Credentials{}, "behind two colons"},
		{"http://::b", Credentials{}, "must name a host"},
		{"http://h?x::b", Credentials{}, "must hold no ?"},
		{"http://2001:db8::2::b", Credentials{}, "in brackets"},
		{"http://hunter2@h::b", Credentials{}, "must hold no user"},
		{"http://u:hunter2::x@h::b", Credentials{}, "must hold no user"},
		{"http://u:hunter2@h", Credentials{}, "must hold no user"},
		{"http://h::a\x1bb", Credentials{}, "control character"},
		{"http://h::b", Credentials{Username: "u"}, "no password"},
		{"http://h::b", Credentials{PassFile: "x"}, "no username"},
		{"http://h::b", Credentials{Username: "u:v", Password: NewSecret("x")}, "colon"},
		{"http://h::b", Credentials{Token: NewSecret("a b")}, "the token: it holds a space"},
		{"http://h::b", Credentials{Token: NewSecret("t"), Username: "u", Password: NewSecret("p")}, "both"},
		{"http://h::b", Credentials{TokenFile: long}, "looks like a token"},
	} {
		_, err := r.Resolve(x.address, x.c)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%q: %v", x.address, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), long)) {
			t.Errorf("a secret is shown: %v", err)
		}
	}
	r.Env = environ(map[string]string{"INFLUX_CONFIGS_PATH": filepath.Join(dir, "broken")})
	if _, err := r.Resolve("profile:a:lab", Credentials{}); err == nil || !strings.Contains(err.Error(), "not TOML as influx writes it (line 2)") || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	r.Env = environ(map[string]string{"HOME": dir})
	if _, err := r.Resolve("profile:a:lab", Credentials{}); err == nil || !strings.Contains(err.Error(), ".influxdbv2/configs; INFLUX_CONFIGS_PATH says where else") {
		t.Error(err)
	}
}

// TestAdHoc: the same two buckets have the same state, whatever they are called; each other pair and direction has its own.
func TestAdHoc(t *testing.T) {
	c, err := loadText(t, small, home)
	if err != nil {
		t.Fatal(err)
	}
	r := Resolver{Config: c, Env: home}
	state := func(from, to string) string {
		t.Helper()
		cryo := Credentials{Org: "cryo", Token: NewSecret("t")}
		a, err := r.Resolve(from, cryo)
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.Resolve(to, cryo)
		if err != nil {
			t.Fatal(err)
		}
		c, err := AdHoc(&Mirror{Name: "m", From: a, To: b}, home)
		if err != nil {
			return err.Error()
		}
		if err := c.CheckState(c.StateDir); err != nil {
			return err.Error()
		}
		if c.Mirror("m") != c.Mirrors[0] || c.Rank(c.Mirrors[0]) != 0 {
			t.Errorf("%+v", c)
		}
		return c.StateDir
	}
	one := state("station:lab", "home:lab")
	if filepath.Dir(one) != "/home/u/.local/state/influxmirror/adhoc" || one != state("http://10.8.0.2:8086/::lab", "home:lab") {
		t.Error(one)
	}
	for _, x := range [][2]string{{"home:lab", "station:lab"}, {"station:lab2", "home:lab"}, {"station:lab", "dir:/srv/lab"}, {"http://10.8.0.2:8087::lab", "home:lab"}} {
		if state(x[0], x[1]) == one {
			t.Error(x)
		}
	}
	for _, x := range [][3]string{
		{"station:lab", "http://10.8.0.2:8086::lab", "the same bucket"},
		{"dir:/srv/a", "dir:/srv/a", "the same bucket"},
		{"dir:/srv/a", "dir:/srv/a/b", "lies in the other"},
		{"station:lab", "dir:/home/u/.local/state/influxmirror", "keep archives and the state apart"},
	} {
		if got := state(x[0], x[1]); !strings.Contains(got, x[2]) {
			t.Errorf("%v: %s", x, got)
		}
	}
}
