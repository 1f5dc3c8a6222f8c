package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type poll struct {
	t   *testing.T
	w   *Watcher
	dir string
}

func (p poll) put(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// expect polls twice: the second time there is never anything new.
func (p poll) expect(changed bool, problem string) *Config {
	p.t.Helper()
	c, got, err := p.w.Poll()
	switch {
	case got != changed:
		p.t.Fatalf("changed %t: %v", got, err)
	case problem == "" && err != nil, problem != "" && (err == nil || !strings.Contains(err.Error(), problem)):
		p.t.Fatalf("want %q, got %v", problem, err)
	}
	if again, changed, err := p.w.Poll(); again != c || changed || err != nil {
		p.t.Fatalf("said twice: %t %v", changed, err)
	}
	return c
}

func TestWatcher(t *testing.T) {
	dir := write(t, "influxmirror.yaml", small, "station.token", "s1", "home.token", "h1")
	path := filepath.Join(dir, "influxmirror.yaml")
	p := poll{t, NewWatcher(path, home), dir}
	first := p.expect(true, "")

	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	p.expect(false, "")

	p.put("home.token", "h2")
	second := p.expect(true, "")
	if second == first || second.Endpoint("home").Token().Reveal() != "h2" {
		t.Error("a new token is not seen")
	}

	p.put("influxmirror.yaml", small+"typo: 1\n")
	if p.expect(false, "typo: unknown key") != second {
		t.Error("the old config is not in force")
	}
	p.put("influxmirror.yaml", small+"typo: 2\nagain: 1\n")
	p.expect(false, "again: unknown key")
	p.put("influxmirror.yaml", small)
	if p.expect(false, "") != second {
		t.Error("the change was taken back")
	}

	if err := os.Remove(filepath.Join(dir, "home.token")); err != nil {
		t.Fatal(err)
	}
	p.expect(false, "home.token: no such file")
	p.put("home.token", "h3")
	if c := p.expect(true, ""); c.Endpoint("home").Token().Reveal() != "h3" {
		t.Error("a token that came back is not seen")
	}

	if err := os.Chmod(filepath.Join(dir, "home.token"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.expect(false, "readable by everyone")
	if err := os.Chmod(filepath.Join(dir, "home.token"), 0o640); err != nil {
		t.Fatal(err)
	}
	p.expect(false, "")

	p.put("influxmirror.yaml", strings.Replace(small, "home:cryostat", "home:other", 1))
	if c := p.expect(true, ""); c.Mirrors[0].To.Bucket != "other" {
		t.Error("the new config is not in force")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	p.expect(false, "no such file")
}

func TestWatcherStartsBroken(t *testing.T) {
	dir := write(t, "influxmirror.yaml", "typo: 1\n", "station.token", "s1", "home.token", "h1")
	p := poll{t, NewWatcher(filepath.Join(dir, "influxmirror.yaml"), home), dir}
	if p.expect(false, "unknown key") != nil {
		t.Error("a config from nothing")
	}
	p.put("influxmirror.yaml", small)
	p.expect(true, "")
}

// TestToken: a token file is read at each call, and a broken one does not take the token away.
func TestToken(t *testing.T) {
	dir := write(t, "influxmirror.yaml", small, "station.token", "s1", "home.token", "h1")
	c, err := Load(filepath.Join(dir, "influxmirror.yaml"), home)
	if err != nil {
		t.Fatal(err)
	}
	e, file := c.Endpoint("home"), filepath.Join(dir, "home.token")
	for _, step := range []struct {
		text string
		mode os.FileMode
		want string
	}{{"h2\n", 0o600, "h2"}, {"", 0o600, "h2"}, {"h 3", 0o600, "h2"}, {"h4", 0o644, "h2"}, {"h4", 0o600, "h4"}} {
		if err := os.WriteFile(file, []byte(step.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, step.mode); err != nil {
			t.Fatal(err)
		}
		if got := e.Token().Reveal(); got != step.want {
			t.Errorf("%q %o: %s", step.text, step.mode, got)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := e.Token().Reveal(); got != "h4" {
		t.Error(got)
	}
}

// TestCredentials: $CREDENTIALS_DIRECTORY comes first, may be readable by everyone, and may appear later.
func TestCredentials(t *testing.T) {
	dir := write(t, "influxmirror.yaml", small, "station.token", "s1", "home.token", "h1")
	creds := write(t, "home.token", "c1")
	if err := os.Chmod(filepath.Join(creds, "home.token"), 0o444); err != nil {
		t.Fatal(err)
	}
	env := environ(map[string]string{"CREDENTIALS_DIRECTORY": creds, "HOME": "/h"})
	p := poll{t, NewWatcher(filepath.Join(dir, "influxmirror.yaml"), env), creds}
	c := p.expect(true, "")
	if c.Endpoint("home").Token().Reveal() != "c1" || c.Endpoint("station").Token().Reveal() != "s1" {
		t.Error("the credentials directory is not first")
	}
	p.put("station.token", "c2")
	if c := p.expect(true, ""); c.Endpoint("station").Token().Reveal() != "c2" {
		t.Error("a new credential is not seen")
	}
}

func TestLinkToCredentials(t *testing.T) {
	creds := write(t, "t", "c1")
	if err := os.Chmod(filepath.Join(creds, "t"), 0o444); err != nil {
		t.Fatal(err)
	}
	dir := write(t, "influxmirror.yaml", small, "station.token", "s1")
	if err := os.Symlink(filepath.Join(creds, "t"), filepath.Join(dir, "home.token")); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "influxmirror.yaml"), environ(map[string]string{"CREDENTIALS_DIRECTORY": creds, "HOME": "/h"})); err != nil {
		t.Error(err)
	}
	if _, err := Load(filepath.Join(dir, "influxmirror.yaml"), home); err == nil {
		t.Error("a link to a file that everyone reads is accepted")
	}
}
