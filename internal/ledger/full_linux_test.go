package ledger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// K1: a real file system of 8 MiB, in a mount namespace of the child's own.
func TestDiskFull(t *testing.T) {
	cmd := child(t, "full", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out := &strings.Builder{}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Skipf("no mount namespace: %v", err)
	}
	if err := cmd.Wait(); err != nil || out.String() != "ok\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

func fillDisk(dir string) {
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=8m,mode=700"); err != nil {
		fmt.Println("mount:", err)
		return
	}
	ballast := filepath.Join(dir, "ballast")
	fill := func() {
		b := make([]byte, 4096)
		f, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		for err == nil {
			_, err = f.Write(b)
		}
		f.Close()
	}
	fill()
	if _, err := Open(filepath.Join(dir, "s")); !errors.Is(err, ErrFull) {
		fmt.Println("open on a full disk:", err)
		return
	}
	os.Remove(ballast)
	l, err := Open(filepath.Join(dir, "s"))
	if err != nil || l.Rebuilt != "" {
		fmt.Println("open with room again:", err, l)
		return
	}
	p, err := l.Pair(ctx, "k")
	n := 0
	for range 3 {
		for i := 0; err == nil && i < 100_000; i++ {
			if err = p.Record(ctx, normalGroup("cpu", n, 1)); err == nil {
				n++
			}
			if i == 20 {
				fill()
			}
		}
		if !errors.Is(err, ErrFull) {
			fmt.Println("full:", n, err)
			return
		}
		if got, err := p.Summaries(ctx); err != nil || len(got) != n {
			fmt.Println("reading on a full disk:", len(got), n, err)
			return
		}
		os.Remove(ballast)
		if err = p.Record(ctx, normalGroup("cpu", n, 1)); err != nil {
			fmt.Println("recovering:", n, err)
			return
		}
		n++
	}
	if err := l.Close(); err != nil {
		fmt.Println("close:", err)
		return
	}
	l, err = Open(filepath.Join(dir, "s"))
	if err != nil || l.Rebuilt != "" || l.Stale {
		fmt.Println("open again:", err, l)
		return
	}
	fmt.Println("ok")
}
