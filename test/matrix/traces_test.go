package matrix

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"influxmirror/test/servers"
)

// traces is what writing to an end changes, apart from its contents: a server's own count of points written to the bucket, or the bytes
// of every file of a directory.
func (e *end) traces(t testing.TB) string {
	t.Helper()
	switch {
	case e.dir:
		h := sha256.New()
		err := filepath.WalkDir(e.path, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			fmt.Fprintf(h, "%s %d %x\n", path, len(b), sha256.Sum256(b))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(h.Sum(nil)[:8])
	case e.server == servers.V2:
		n, err := e.on.Written(e.id)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(n)
	}
	return fmt.Sprint(e.written1(t))
}

func (e *end) written1(t testing.TB) (n int64) {
	t.Helper()
	a, err := e.on.Do("GET", "/debug/vars", "")
	if err != nil || a.Status != 200 {
		t.Fatalf("vars: %d %v", a.Status, err)
	}
	var vars map[string]json.RawMessage
	if err := json.Unmarshal(a.Body, &vars); err != nil {
		t.Fatal(err)
	}
	for name, raw := range vars {
		var shard struct {
			Name   string
			Tags   map[string]string
			Values map[string]float64
		}
		if !strings.HasPrefix(name, "shard:") || json.Unmarshal(raw, &shard) != nil || shard.Tags["database"] != e.bucket {
			continue
		}
		n += int64(shard.Values["writePointsOk"])
	}
	return n
}
