package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// calls are the system calls that the state directory sees.
var calls = []string{"pwrite64", "write", "fsync", "fdatasync", "ftruncate", "renameat", "unlinkat", "unlink", "openat", "mkdirat", "flock", "fcntl"}

// tracer ends a test where strace is missing or may not trace.
func tracer(t *testing.T) {
	t.Helper()
	if out, err := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		missing(t, "strace, which makes system calls fail: %v %s", err, out)
	}
}

// traced makes the program run under strace, which watches some calls on the files of the state and does to them what injected says, such as
// "fsync:error=EIO:when=3"; "" for nothing. strace counts the calls of each thread for itself.
func (p *place) traced(calls []string, injected string) {
	p.t.Helper()
	argv := []string{"strace", "-f", "-qq", "--seccomp-bpf", "-s", "0", "-o", filepath.Join(p.dir, "trace"), "-e", "trace=" + strings.Join(calls, ",")}
	if injected != "" {
		argv = append(argv, "-e", "inject="+injected)
	}
	for _, name := range []string{"", "ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal", "generation", "generation.new", "lock", "lock.json", "lock.json.new"} {
		argv = append(argv, "-P", filepath.Join(p.state, name))
	}
	p.argv = argv
}

// untraced ends that.
func (p *place) untraced() { p.argv = nil }

// trace returns what strace saw, a call a line, without what was resumed.
func (p *place) trace() (lines []string) {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "trace"))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if !strings.Contains(line, " resumed>") && !strings.Contains(line, " --- ") && !strings.Contains(line, " +++ ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// injected is how many calls failed as they were made to.
func (p *place) injected() (n int) {
	p.t.Helper()
	b, err := os.ReadFile(filepath.Join(p.dir, "trace"))
	if err != nil {
		p.t.Fatal(err)
	}
	return strings.Count(string(b), "(INJECTED)")
}

// most counts each call of the thread that made most of them: the nth call up to that is one that some thread comes to.
func most(trace []string) map[string]int {
	out, of := map[string]int{}, map[string]int{}
	for _, line := range trace {
		pid, rest, _ := strings.Cut(line, " ")
		name, _, ok := strings.Cut(strings.TrimSpace(rest), "(")
		if !ok {
			continue
		}
		k := pid + " " + name
		of[k]++
		out[name] = max(out[name], of[k])
	}
	return out
}

// nth is a drawn call.
type nth struct {
	name string
	n    int
}

func (c nth) String() string { return fmt.Sprintf("%s %d", c.name, c.n) }
