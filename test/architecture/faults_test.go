package architecture

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	rowPattern  = regexp.MustCompile(`(?m)^\| ([A-Z][0-9]+) \|(.*)\|$`)
	namePattern = regexp.MustCompile("`([^`]+)`")
	testPattern = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
)

// Every law and every fault has a row in docs/reliability.md, and every test that a row names is there.
func TestFaultsHaveTests(t *testing.T) {
	root := "../.."
	text, err := os.ReadFile(filepath.Join(root, "docs/reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch {
		case strings.HasSuffix(path, "_test.go"):
			b, err := os.ReadFile(path)
			for _, m := range testPattern.FindAllSubmatch(b, -1) {
				there[string(m[1])] = true
			}
			return err
		case strings.HasSuffix(path, ".txtar"), strings.HasSuffix(path, ".patch"):
			there[filepath.Base(path)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range rowPattern.FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("%s has two rows", m[1])
		}
		cells := strings.Split(strings.TrimSuffix(m[2], " "), " | ")
		rows[m[1]] = cells[len(cells)-1]
	}
	open := 0
	for kind, n := range map[string]int{"L": 17, "N": 23, "S": 17, "D": 22, "T": 16, "B": 10, "K": 3, "P": 7, "C": 3, "G": 4, "X": 10} {
		for i := 1; i <= n; i++ {
			id := fmt.Sprint(kind, i)
			tests, ok := rows[id]
			names := namePattern.FindAllStringSubmatch(tests, -1)
			switch {
			case !ok:
				t.Errorf("%s has no row", id)
			case strings.TrimSpace(tests) == "*open*":
				open++
			case len(names) == 0:
				t.Errorf("%s names no test", id)
			}
			for _, m := range names {
				if !there[m[1]] {
					t.Errorf("%s names %s, which is not there", id, m[1])
				}
			}
		}
	}
	t.Logf("%d rows are open", open)
}
