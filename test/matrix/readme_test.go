package matrix

import (
	"os"
	"strings"
	"testing"
)

const (
	readme = "../../README.md"
	begin  = "<!-- matrix -->\n"
	last   = "<!-- /matrix -->"
)

// inReadme requires that README.md shows this table between its marks, or puts it there.
func inReadme(t *testing.T, markdown string) {
	t.Helper()
	b, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	shown, after, closed := strings.Cut(rest, last)
	if !ok || !closed {
		t.Fatalf("README.md has no marks %q and %q", begin, last)
	}
	if shown == markdown {
		return
	}
	if !*update {
		t.Errorf("README.md shows another table than this run has; if this one is right: go test ./test/matrix -update\n%s", markdown)
		return
	}
	if err := os.WriteFile(readme, []byte(before+begin+markdown+last+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
