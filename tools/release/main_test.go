package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A release is described from its binaries: every module with version and hash, its licence, and the checksum of every file; twice the same.
func TestDescribe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "influxmirror")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "influxmirror/cmd/influxmirror")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var seen []map[string]string
	for range 2 {
		dir := t.TempDir()
		for name, text := range map[string][]byte{"influxmirror-v1-linux-amd64": program, "influxmirror-v1-linux-arm": program, "LICENSE": []byte("x"), "SHA256SUMS.sig": []byte("old")} {
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := describe("v1", dir); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		for _, name := range []string{"influxmirror-v1.cdx.json", "THIRD_PARTY.txt", "SHA256SUMS"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(text, []byte(dir)) {
				t.Errorf("%s holds a path", name)
			}
			files[name] = string(text)
		}
		seen = append(seen, files)
	}
	if d := cmp.Diff(seen[0], seen[1]); d != "" {
		t.Error(d)
	}
	var b bill
	if err := json.Unmarshal([]byte(seen[0]["influxmirror-v1.cdx.json"]), &b); err != nil {
		t.Fatal(err)
	}
	if b.Format != "CycloneDX" || len(b.Metadata.Component.Components) != 2 || len(b.Metadata.Component.Components[0].Hashes[0].Content) != 64 {
		t.Errorf("%+v", b.Metadata)
	}
	found := ""
	for _, c := range b.Components {
		if strings.HasPrefix(c.Purl, "pkg:golang/github.com/zeebo/xxh3@v") && c.Properties[0].Name == "go.sum:h1" {
			found = c.Version
		}
	}
	if found == "" || b.Components[0].Name != "std" || b.Components[0].Version == "" {
		t.Errorf("%+v", b.Components)
	}
	if text := seen[0]["THIRD_PARTY.txt"]; !strings.Contains(text, "Go: LICENSE") || !strings.Contains(text, "github.com/zeebo/xxh3 "+found+": LICENSE") {
		t.Errorf("%.500s", text)
	}
	if lines := strings.Split(strings.TrimSpace(seen[0]["SHA256SUMS"]), "\n"); len(lines) != 5 || strings.Contains(seen[0]["SHA256SUMS"], ".sig") {
		t.Errorf("%q", lines)
	}
	if err := describe("v2", t.TempDir()); err == nil {
		t.Error("a release of nothing is described")
	}
}
