package oracle_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
	"influxmirror/test/servers"
)

// The lines of an archive are read as a server reads them.
func TestParse(t *testing.T) {
	t.Parallel()
	s := servers.Start(t, servers.V2)
	s.CreateBucket("b", 0, 7*24*time.Hour)
	var points []string
	seen := oracle.Contents{}
	for _, p := range append(dataset.NewTorture().Points(), dataset.Point("tags", []string{"raw", "\xff\xfe\x01"}, []string{"\x7f", "1i"}, 1)) {
		// Places come once in an archive.
		c, err := oracle.Parse([]byte(p))
		if err != nil {
			t.Fatalf("%.200q: %v", p, err)
		}
		twice := false
		for at := range c {
			_, again := seen[at]
			twice = twice || again
		}
		if !twice {
			points = append(points, p)
			for at, v := range c {
				seen[at] = v
			}
		}
	}
	if err := dataset.Load(s, "b", points); err != nil {
		t.Fatal(err)
	}
	stored, err := oracle.Read(s, "b", oracle.Always)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored) < 30_000 {
		t.Errorf("void: %d samples", len(stored))
	}
	oracle.Compare(stored, seen).Report(t, stored, seen)
}

// Everything that an archive's files hold is found, and what is wrong with them is an error.
func TestReadDir(t *testing.T) {
	t.Parallel()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	write := func(dir, name string, b []byte) {
		path := filepath.Join(dir, "data", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pack := func(lines string) []byte { return w.EncodeAll([]byte(lines), nil) }
	dir := t.TempDir()
	write(dir, "m/1.lp.zst", append(pack("m v=1i 1\n"), pack("m v=2i 2\n")...)) // frames follow each other
	write(dir, "n/1.lp.zst", pack("n,a=b s=\"x\ny\" 3\n"))
	write(dir, "n/manifest.json", []byte("not a line"))
	got, err := oracle.ReadDir(dir, oracle.Span{First: 2, Last: 3})
	want := oracle.Contents{{Measurement: "m", Field: "v", Time: 2}: "i\x00\x00\x00\x00\x00\x00\x00\x02",
		{Measurement: "n", Tags: oracle.TagsOf(map[string]string{"a": "b"}), Field: "s", Time: 3}: "sx\ny"}
	if err != nil || !oracle.Compare(want, got).None() {
		t.Errorf("%v, %v", got, err)
	}
	for what, b := range map[string][]byte{"a place twice": pack("m v=1i 1\n"), "cut": pack("m v=1i 5\n")[:10], "no line": pack("m\n"), "no time": pack("m v=1i\n")} {
		bad := t.TempDir()
		write(bad, "m/1.lp.zst", pack("m v=1i 1\n"))
		write(bad, "m/2.lp.zst", b)
		if _, err := oracle.ReadDir(bad, oracle.Always); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
