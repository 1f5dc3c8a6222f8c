package ledger

import (
	"os"
	"path/filepath"
	"testing"
)

// A document beside the ledger is there again, is another one's for no other name, and is none when a bit of it flipped.
func TestBeside(t *testing.T) {
	dir := t.TempDir()
	var got []int
	if found, err := Beside(dir, "a", &got); found || err != nil {
		t.Fatal(found, err)
	}
	for _, v := range [][]int{{1}, {1, 2}} {
		if err := SetBeside(dir, "a", v); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := Beside(dir, "a", &got); !found || err != nil || len(got) != 2 {
		t.Fatal(found, err, got)
	}
	if found, err := Beside(dir, "b", &got); found || err != nil {
		t.Fatal(found, err)
	}
	path := filepath.Join(besidePath(dir, "a"))
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole[:len(whole)-1] {
		bad := append([]byte{}, whole...)
		bad[i] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		var got []int
		if found, err := Beside(dir, "a", &got); err != nil || found && len(got) != 2 {
			t.Fatalf("byte %d: %v, %v, %v", i, found, err, got)
		}
	}
	if _, other := besidePath(dir, "b"); os.Symlink(path, filepath.Join(dir, other)) != nil {
		t.Fatal("no symbolic link")
	}
	if found, err := Beside(dir, "b", &got); found || err == nil {
		t.Error("a symbolic link was followed")
	}
	if err := SetBeside(dir, "c", make([]int, besideLimit)); err == nil {
		t.Error("there is no bound")
	}
}
