package ledger

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"influxmirror/internal/mirror"
)

func init() {
	children["full"] = fillDisk
	children["limit"] = limitFiles
}

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

// B4, K2: after an I/O error nothing is written any more, and what was recorded before is there.
func TestBrokenDisk(t *testing.T) {
	out, err := child(t, "limit", t.TempDir()).Output()
	if err != nil || string(out) != "ok\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

// limitFiles makes writes fail beyond a length, which SQLite takes for an I/O error.
func limitFiles(dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	l, err := Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := l.Pair(ctx, "k")
	var was syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was)
	syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 200_000, Max: was.Max})
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = p.Record(ctx, normalGroup("cpu", n, 1))
	}
	n--
	if !errors.Is(err, ErrDisk) || errors.Is(err, ErrFull) {
		fmt.Println("broken:", n, err)
		return
	}
	syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was)
	if err := p.Record(ctx, normalGroup("cpu", n, 1)); !errors.Is(err, ErrDisk) {
		fmt.Println("written after an I/O error:", err)
		return
	}
	l.Close()
	if l, err = Open(dir); err != nil || l.Rebuilt != "" || l.Stale {
		fmt.Println("open again:", err, l)
		return
	}
	if p, err = l.Pair(ctx, "k"); err == nil {
		var all []mirror.Summary
		if all, err = p.Summaries(ctx); err == nil && len(all) == n && n > 10 {
			fmt.Println("ok")
			return
		}
	}
	fmt.Println("groups:", n, err)
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
