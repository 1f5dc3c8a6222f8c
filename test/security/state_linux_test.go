package security

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// open lists what below a directory others than its owner may look at or change.
func open(t *testing.T, dir string) (out []string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		n++
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			out = append(out, path+" "+info.Mode().String())
		}
		return nil
	})
	if err != nil || n < 4 {
		t.Fatalf("void: %d files, %v", n, err)
	}
	return out
}

// What is below the state directory belongs to its owner alone, whatever the umask and however it was left: X2, L15. Nothing is made in a directory that others share: X7.
func TestStateIsPrivate(t *testing.T) {
	p := newPlace(t)
	p.src.Write("lab", "cpu load=1 1700000000000000000\n")
	p.want(0, "sync")
	state := filepath.Join(p.dir, "state")
	if list := open(t, state); len(list) > 0 {
		t.Errorf("open to others: %v", list)
	}
	for _, name := range []string{".", "ledger.db", "generation", "lock"} {
		if err := os.Chmod(filepath.Join(state, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	p.want(0, "sync")
	if list := open(t, state); len(list) > 0 {
		t.Errorf("left open to others: %v", list)
	}
	// While it runs.
	cmd := p.command("run")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(state, "lock.json")); err == nil {
			break
		}
	}
	if list := open(t, state); len(list) > 0 {
		t.Errorf("open to others while it runs: %v", list)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
	if left, _ := os.ReadDir(filepath.Join(p.dir, "tmp")); len(left) > 0 {
		t.Errorf("left in the shared directory for temporary files: %v", left)
	}
}

// A directory of another user is refused before anything is asked or written: K3.
func TestStateOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("without root no file can be given away: the test of the ledger covers what can be")
		return
	}
	p := newPlace(t)
	state := filepath.Join(p.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(state, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	if said := p.want(11, "sync"); !strings.Contains(said, "belongs to user 12345") {
		t.Error(said)
	}
	if list, _ := os.ReadDir(state); len(list) > 0 || len(p.src.Requests())+len(p.dst.Requests()) > 0 {
		t.Errorf("it began: %v", list)
	}
}

// Links that somebody put where the program reads and writes are not followed, and what they lead to stays as it is: X7.
func TestStateLinksAreNotFollowed(t *testing.T) {
	for _, kind := range []string{"symbolic", "hard"} {
		for _, name := range []string{"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal", "generation", "generation.new", "lock", "lock.json", "lock.json.new"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				p := newPlace(t)
				p.src.Write("lab", "cpu load=1 1700000000000000000\n")
				state := filepath.Join(p.dir, "state")
				if err := os.Mkdir(state, 0o700); err != nil {
					t.Fatal(err)
				}
				const precious = "this belongs to somebody else\n"
				victim := p.file("victim", precious)
				if err := os.Chmod(victim, 0o644); err != nil {
					t.Fatal(err)
				}
				link := os.Symlink
				if kind == "hard" {
					link = os.Link
				}
				if err := link(victim, filepath.Join(state, name)); err != nil {
					t.Fatal(err)
				}
				_, said, _ := p.run("sync")
				text, err := os.ReadFile(victim)
				if err != nil || string(text) != precious {
					t.Errorf("it was changed to %q (%v)\n%s", text, err, said)
				}
				if info, err := os.Stat(victim); err != nil || info.Mode().Perm() != 0o644 {
					t.Errorf("its mode was changed: %v %v", info.Mode(), err)
				}
			})
		}
	}
}

// The same in a directory that is an archive: it may come from another machine.
func TestArchiveLinksAreNotFollowed(t *testing.T) {
	for _, name := range []string{"archive.json", "README.txt", ".lock", "data", "tmp", "data/cpu", "data/cpu/manifest.json"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.src.Write("lab", "cpu load=1 1700000000000000000\n")
			archive := filepath.Join(p.dir, "archive")
			p.file("influxmirror.yaml", strings.NewReplacer("URL", p.url, "ARCHIVE", archive).Replace(
				"endpoints:\n  station: {url: URL, org: lab, token_file: station.token}\nmirrors:\n  - {name: lab, from: \"station:lab\", to: \"dir:ARCHIVE\", wait: 1s}\nlog_bucket: none\nstate_dir: state\n"))
			p.want(0, "sync")
			outside := filepath.Join(p.dir, "outside")
			if err := os.Rename(filepath.Join(archive, name), outside); err != nil {
				t.Fatal(err)
			}
			before := tree(t, outside)
			if err := os.Symlink(outside, filepath.Join(archive, name)); err != nil {
				t.Fatal(err)
			}
			p.src.Write("lab", "cpu load=2 1700000001000000000\n")
			_, said, code := p.run("sync")
			if after := tree(t, outside); after != before {
				t.Errorf("what the link leads to was changed (exit %d)\n%s\n%s\n%s", code, before, after, said)
			}
		})
	}
}

// tree is all that is below a path.
func tree(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		b.WriteString(p + " " + info.Mode().String() + "\n")
		if e.Type().IsRegular() {
			text, err := os.ReadFile(p)
			b.Write(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
