// Package architecture holds the house to its plan: what may import what, and that every package says what it owns.
package architecture

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

type pkg struct {
	ImportPath, Doc, Name string
	Imports               []string
}

// mayImport is the table of ARCHITECTURE.md. Packages below test/, cmd/ and tools/ may import everything.
var mayImport = map[string][]string{
	"influxmirror/internal/mirror":    {},
	"influxmirror/internal/lineproto": {"influxmirror/internal/mirror"},
	"influxmirror/internal/plan":      {"influxmirror/internal/mirror"},
	"influxmirror/internal/ledger":    {"influxmirror/internal/mirror"},
	"influxmirror/internal/config":    {"influxmirror/internal/mirror"},
	"influxmirror/internal/influx":    {"influxmirror/internal/mirror", "influxmirror/internal/lineproto"},
	"influxmirror/internal/archive":   {"influxmirror/internal/mirror", "influxmirror/internal/lineproto"},
	"influxmirror/internal/engine":    {"influxmirror/internal/mirror", "influxmirror/internal/plan", "influxmirror/internal/lineproto"},
	"influxmirror/influxtest":         {},
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Name,Imports", "influxmirror/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsGoDownOnly(t *testing.T) {
	seen := 0
	for _, p := range packages(t) {
		allowed, known := mayImport[p.ImportPath]
		if strings.HasPrefix(p.ImportPath, "influxmirror/test/") || strings.HasPrefix(p.ImportPath, "influxmirror/cmd/") || strings.HasPrefix(p.ImportPath, "influxmirror/tools/") {
			continue
		}
		if !known {
			t.Errorf("%s has no line in the table of imports", p.ImportPath)
			continue
		}
		seen++
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "influxmirror/") && !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
			if p.ImportPath == "influxmirror/internal/mirror" && strings.Contains(strings.Split(i, "/")[0], ".") {
				t.Errorf("%s imports %s: values need the standard library only", p.ImportPath, i)
			}
		}
	}
	if seen != len(mayImport) {
		t.Errorf("saw %d packages of the table's %d", seen, len(mayImport))
	}
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && !strings.HasPrefix(p.ImportPath, "influxmirror/test/") {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
		for _, bad := range []string{"util", "common", "helpers", "misc"} {
			if p.Name == bad {
				t.Errorf("%s: a room without a name", p.ImportPath)
			}
		}
	}
}
