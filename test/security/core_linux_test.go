package security

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dumped ends a process that was started by SIGABRT and reports whether the kernel wrote its memory to a core.
func dumped(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	_ = cmd.Process.Signal(syscall.SIGABRT)
	_ = cmd.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !status.Signaled() || status.Signal() != syscall.SIGABRT {
		t.Errorf("void: it ended by %v", cmd.ProcessState)
	}
	return status.CoreDump()
}

// A crash leaves no memory behind, even where the administrator wants cores, and the trace of it holds no secret: X1.
func TestNoCore(t *testing.T) {
	control := exec.Command("sh", "-c", `ulimit -c unlimited; kill -ABRT $$`)
	control.Dir = t.TempDir()
	_ = control.Run()
	if !control.ProcessState.Sys().(syscall.WaitStatus).CoreDump() {
		t.Log("this machine writes no cores at all: only the limit is looked at")
	}
	p := newPlace(t)
	p.src.Write("lab", "cpu load=1 1700000000000000000\n")
	cmd := p.command("run")
	cmd.Args[2] = "ulimit -c unlimited; " + cmd.Args[2]
	cmd.Env = append(cmd.Env, "GOTRACEBACK=crash")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); len(p.dst.Dump("lab")) == 0 && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
	}
	pid := cmd.Process.Pid
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			found = true
			if f := strings.Fields(rest); len(f) < 2 || f[0] != "0" || f[1] != "0" {
				t.Errorf("the limit of cores is %s", rest)
			}
		}
	}
	if !found {
		t.Error("void: no limit of cores")
	}
	if dumped(t, cmd) {
		t.Error("its memory is in a core")
	}
	if list, _ := filepath.Glob(filepath.Join(p.dir, "core*")); len(list) > 0 {
		t.Errorf("it left %v", list)
	}
	if !strings.Contains(said.String(), "SIGABRT") {
		t.Errorf("void: it says nothing of a signal\n%.500s", said.String())
	}
	for _, secret := range []string{p.src.Token, p.dst.Token} {
		if strings.Contains(said.String(), secret) {
			t.Error("the trace holds a token")
		}
	}
}

// ownerOfMemory is whose the memory of a process is, as the kernel tells: of root, once the process is not dumpable.
func ownerOfMemory(t *testing.T, pid int) uint32 {
	t.Helper()
	info, err := os.Stat(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

// Other processes of its user cannot read its memory, and programs that collect cores, which no limit binds, get none: X1.
func TestMemoryIsPrivate(t *testing.T) {
	user := uint32(os.Geteuid())
	start := func(name string, args ...string) int {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH"), "HOME=/"}
		if os.Geteuid() == 0 { // what belongs to root anyway shows nothing
			user = 65534
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd.Process.Pid
	}
	if err := os.Chmod(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := ownerOfMemory(t, start("sleep", "60")); got != user {
		t.Fatalf("void: without a guard it belongs to %d", got)
	}
	pid := start(program, "demo", "--for", "60s")
	for until := time.Now().Add(20 * time.Second); ownerOfMemory(t, pid) == user; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("other processes of its user may read its memory")
		}
	}
}
