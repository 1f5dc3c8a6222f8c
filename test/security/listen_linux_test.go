package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listening returns the sockets on which a process waits for others, of /proc/net.
func listening(t *testing.T, pid int) (out []string) {
	t.Helper()
	own := map[string]bool{} // inodes of its sockets
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if os.IsPermission(err) && os.Getenv("CI") != "true" {
		t.Skip("only who has CAP_SYS_PTRACE may look into the process: it is not dumpable")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		to, _ := os.Readlink(filepath.Join(fmt.Sprintf("/proc/%d/fd", pid), e.Name()))
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6", "udp", "udp6", "unix"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			switch {
			case table == "unix":
				const accepts = 0x10000 // __SO_ACCEPTCON
				var flags uint64
				if len(f) > 6 {
					_, _ = fmt.Sscanf(f[3], "%x", &flags)
				}
				if flags&accepts != 0 && own[f[6]] {
					out = append(out, line)
				}
			case len(f) > 9 && own[f[9]] && (strings.HasPrefix(table, "udp") || f[3] == "0A"): // TCP_LISTEN
				out = append(out, table+" "+f[1])
			}
		}
	}
	return out
}

// A service opens no door: there is no page, no profiling, nothing that another could ask: X4, X5, X8.
func TestNothingListens(t *testing.T) {
	if own := listening(t, os.Getpid()); len(own) != 0 {
		t.Fatalf("void: the test itself listens already: %v", own)
	}
	p := newPlace(t)
	if own := listening(t, os.Getpid()); len(own) < 2 {
		t.Fatalf("void: the servers of the test are not seen: %v", own)
	}
	p.src.Write("lab", "cpu load=1 1700000000000000000\n")
	cmd := p.command("run")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(20 * time.Second); len(p.dst.Dump("lab")) == 0 && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
	}
	if len(p.dst.Dump("lab")) == 0 {
		t.Error("void: it does not run")
	}
	if doors := listening(t, cmd.Process.Pid); len(doors) > 0 {
		t.Errorf("it listens: %v", doors)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
}
