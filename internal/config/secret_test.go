package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestSecretsAreNotShown prints and encodes a Config with inline, variable and file tokens in every way there is.
func TestSecretsAreNotShown(t *testing.T) {
	dir := write(t, "influxmirror.yaml", `
endpoints:
  a: {url: http://a, org: o, token: hunter2-inline}
  b: {url: http://b, org: o, token: "${TOKEN}"}
  c: {url: http://c, org: o, token_file: c.token}
mirrors:
  - {name: m, from: a:x, to: b:x}
  - {name: n, from: c:x, to: b:y}
`, "c.token", "hunter2-file\n")
	c, err := Load(filepath.Join(dir, "influxmirror.yaml"), environ(map[string]string{"TOKEN": "hunter2-variable", "HOME": "/h"}))
	if err != nil {
		t.Fatal(err)
	}
	var secrets []Secret
	for i, want := range []string{"hunter2-inline", "hunter2-variable", "hunter2-file"} {
		s := c.Endpoints[i].Token()
		if s.Reveal() != want {
			t.Errorf("%d: the token is lost", i)
		}
		secrets = append(secrets, s)
	}
	type holder struct {
		hidden Secret
		Public Secret
	}
	things := []any{c, *c, c.Endpoints, c.Endpoints[0], c.Endpoints[2], c.Mirrors, *c.Mirrors[0], secrets, secrets[0],
		&secrets[0], holder{secrets[0], secrets[1]}, map[string]Secret{"k": secrets[0]}, map[Secret]int{secrets[0]: 1}}
	var out bytes.Buffer
	text, logged := slog.New(slog.NewTextHandler(&out, nil)), slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10.3s", "% x"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text.Info("text", "value", v)
		logged.Info("json", "value", v)
		if data, err := json.Marshal(v); err == nil {
			out.Write(data)
		}
		if data, err := yaml.Marshal(v); err == nil {
			out.Write(data)
		}
	}
	fmt.Fprintln(&out, fmt.Errorf("a wrapped %v, %w", secrets[0], fmt.Errorf("%s", secrets[1])))
	for _, encoded := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), fmt.Sprintf("%X", "hunter2"), "[104 117 110"} {
		if strings.Contains(out.String(), encoded) {
			t.Errorf("a secret is shown as %s", encoded)
		}
	}
	if n := strings.Count(out.String(), redacted); n < 50 {
		t.Errorf("REDACTED only %d times", n)
	}
}

func TestSecret(t *testing.T) {
	var zero Secret
	if !zero.IsZero() || zero.Reveal() != "" || NewSecret("x").IsZero() {
		t.Error("zero")
	}
	if !NewSecret("a").Equal(NewSecret("a")) || NewSecret("a").Equal(NewSecret("b")) || !zero.Equal(NewSecret("")) {
		t.Error("equal")
	}
}
