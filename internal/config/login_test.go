package config

import (
	"os"
	"path/filepath"
	"testing"
)

const old = `
endpoints:
  named: {url: http://10.8.0.9:8086, username: "${WHO:-ro}", password_file: old.pw}
  given: {url: http://10.8.0.9:8087, username: rw, password: "${OLD_PASSWORD:-pä ss}"}
  open: {url: http://10.8.0.9:8088}
mirrors:
  - {name: a, from: "named:db/rp", to: given:db}
  - {name: b, from: named:db2, to: "open:d b"}
`

// TestLogin: a user's name with a password that is read again when its file changes, and a server that asks for nothing.
func TestLogin(t *testing.T) {
	dir := write(t, "influxmirror.yaml", old, "old.pw", " p w\r\n")
	c, err := Load(filepath.Join(dir, "influxmirror.yaml"), home)
	if err != nil {
		t.Fatal(err)
	}
	login := func(name string) string {
		user, secret := c.Endpoint(name).Login()
		return user + "|" + secret.Reveal()
	}
	for name, want := range map[string]string{"named": "ro| p w", "given": "rw|pä ss", "open": "|"} {
		if got := login(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if m := c.Mirror("a"); m.From.Bucket != "db/rp" || c.Endpoint("named").Org != "" {
		t.Errorf("%+v", m)
	}
	pw := filepath.Join(dir, "old.pw")
	for _, step := range []struct {
		text string
		mode os.FileMode
		want string
	}{{"new", 0o600, "ro|new"}, {"two\nlines", 0o600, "ro|new"}, {"public", 0o604, "ro|new"}, {"newer\n", 0o600, "ro|newer"}} {
		if err := os.WriteFile(pw, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(pw, step.mode); err != nil {
			t.Fatal(err)
		}
		if got := login("named"); got != step.want {
			t.Errorf("%q: %q", step.text, got)
		}
	}
}
