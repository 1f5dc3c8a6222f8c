package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"influxmirror/internal/config"
)

// A secret that goes to a public address as it is is warned of, by status and in its JSON; one that is encrypted, or stays among private addresses, is not.
func TestExposed(t *testing.T) {
	for _, c := range []struct {
		url, login string
		want       string // what is exposed
	}{
		{"http://203.0.113.5:8086", "org: o, token: hush", "token"},
		{"http://[2001:db8::2]:8086", "org: o, token: hush", "token"},
		{"http://203.0.113.5:8086", "username: u, password: hush", "password"},
		{"http://203.0.113.5:8086", "", ""},
		{"https://203.0.113.5:8086", "org: o, token: hush", ""},
		{"http://203.0.113.5:8086", "org: o, token: hush, proxy: \"socks5h://127.0.0.1:1080\"", ""},
		{"http://127.0.0.1:8086", "org: o, token: hush", ""},
		{"http://localhost:8086", "org: o, token: hush", ""},
		{"http://[::1]:8086", "org: o, token: hush", ""},
		{"http://10.8.0.2:8086", "org: o, token: hush", ""},
		{"http://172.16.0.2:8086", "org: o, token: hush", ""},
		{"http://100.64.1.2:8086", "org: o, token: hush", ""},
		{"http://[fd00::1]:8086", "org: o, token: hush", ""},
		{"http://[fe80::1%25eth0]:8086", "org: o, token: hush", ""},
		{"http://nowhere.invalid:8086", "org: o, token: hush", ""},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "influxmirror.yaml")
		login := c.login
		if login != "" {
			login = ", " + login
		}
		text := fmt.Sprintf("endpoints:\n  far: {url: %q%s}\n  near: {url: \"http://127.0.0.1:1\", org: o, token: hush}\nmirrors:\n  - {name: m, from: far:x, to: near:x}\nstate_dir: state\n", c.url, login)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(path, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Fatalf("%s: %v", c.url, err)
		}
		got := strings.Join(exposed(context.Background(), cfg), "\n")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, "hush") {
			t.Errorf("%s %s: want %q, got %q", c.url, c.login, c.want, got)
		}
		var out, errs strings.Builder
		a := newApp(strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
		if code := a.execute(t.Context(), []string{"status", "--json", "--config", path}); code != 0 {
			t.Errorf("exit %d: %s", code, errs.String())
		}
		for where, said := range map[string]string{"JSON": out.String(), "stderr": errs.String()} {
			if strings.Contains(said, "can be read by everyone on the way") != (c.want != "") {
				t.Errorf("%s %s: %s says %s", c.url, c.login, where, said)
			}
		}
	}
}

// That a server is not verified is said by every status, on the terminal and in its JSON.
func TestStatusShowsUnverified(t *testing.T) {
	path := filepath.Join(t.TempDir(), "influxmirror.yaml")
	text := "endpoints:\n  far: {url: \"https://203.0.113.5\", org: o, token: hush, insecure_skip_verify: true}\n  near: {url: \"http://127.0.0.1:1\", org: o, token: hush}\nmirrors:\n  - {name: m, from: far:x, to: near:x}\nstate_dir: state\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"status", "--json"}, {"status", "-q"}, {"status", "--max-lag", "1h"}} {
		var out, errs strings.Builder
		newApp(strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false }).execute(t.Context(), append(args, "--config", path))
		const said = "insecure_skip_verify is true: its certificate is not verified"
		if !strings.Contains(errs.String(), said) {
			t.Errorf("%v: stderr says %s", args, errs.String())
		}
		if args[len(args)-1] == "--json" && !strings.Contains(out.String(), said) {
			t.Errorf("%v: %s", args, out.String())
		}
	}
}
