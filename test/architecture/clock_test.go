package architecture

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wall is what reads the date off the local clock. A time that is only compared with a later one is read off a clock that never steps; certificates are
// the exception, and they are the library's to judge.
var wall = regexp.MustCompile(`time\.Now\(\)\.(UTC|Local|Unix|Format|Round|Truncate|Year|Date|String)|\.Sub\(time\.Now\(\)\)`)

// readsDate says where the rooms below cmd read the date, and why no claim depends on it (law L14, fault C1). cmd words times for people.
var readsDate = map[string]string{
	"ledger/lock.go":        "since when a lock is held: words",
	"ledger/open.go":        "the name of what was kept aside: taken only if it is free",
	"archive/create.go":     "when an archive was made: words",
	"archive/bucket.go":     "an archive has no clock but this one: where its tail ends and how old its proofs are",
	"archive/read.go":       "the same",
	"engine/run.go":         "who waits how long, so that not all wait alike; and a note that tries whether the disk has room",
	"influx/certificate.go": "why a certificate was refused: words; the library refused it",
	"influx/probe.go":       "how far the server's clock is off: words",
}

// Correctness never depends on the local clock: who reads its date has a line here.
func TestWhoReadsTheDate(t *testing.T) {
	seen := map[string]bool{}
	err := filepath.WalkDir("../../internal", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(filepath.ToSlash(path), "../../internal/")
		for line := range strings.Lines(string(b)) {
			if !wall.MatchString(line) {
				continue
			}
			if seen[name] = true; readsDate[name] == "" {
				t.Errorf("%s reads the date off the local clock: %s", name, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range readsDate {
		if !seen[name] {
			t.Errorf("%s does not read the date any more", name)
		}
	}
}
