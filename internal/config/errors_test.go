package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the errors that are found into testdata/errors")

// canary is part of every secret in testdata; it must not be part of any message.
const canary = "hunter2"

// TestErrors loads the first file of each archive in testdata/errors and compares the message with the file "want".
// Lines before the files are settings: "env NAME=VALUE" and "chmod MODE FILE".
func TestErrors(t *testing.T) {
	paths, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(paths) < 10 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive := readArchive(t, path)
			got := messages(t, archive)
			if strings.Contains(got, canary) {
				t.Errorf("a secret is shown:\n%s", got)
			}
			last := &archive.Files[len(archive.Files)-1]
			if last.Name != "want" {
				t.Fatal("the last file must be want")
			}
			if *update {
				last.Data = []byte(got)
				if err := os.WriteFile(path, archive.format(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(string(last.Data), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func messages(t *testing.T, archive archive) string {
	dir := t.TempDir()
	for _, f := range archive.Files {
		if err := os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	vars := map[string]string{"HOME": "/home/u"}
	for line := range strings.Lines(string(archive.Comment)) {
		switch word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "env":
			key, value, _ := strings.Cut(rest, "=")
			vars[key] = strings.ReplaceAll(value, "DIR", dir)
		case "chmod":
			mode, file, _ := strings.Cut(rest, " ")
			m, err := strconv.ParseUint(mode, 8, 32)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(dir, file), os.FileMode(m)); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := archive.Files[0].Name
	c, err := Load(filepath.Join(dir, file), environ(vars))
	var out strings.Builder
	if c != nil {
		for _, w := range c.Warnings {
			out.WriteString("warning: " + w + "\n")
		}
	}
	if err != nil {
		if errs := (*Errors)(nil); !errors.As(err, &errs) || len(errs.Problems) == 0 {
			t.Errorf("not an *Errors: %v", err)
		}
		out.WriteString(err.Error() + "\n")
	}
	return strings.ReplaceAll(strings.ReplaceAll(out.String(), filepath.Join(dir, file), file), dir, "DIR")
}
