package process

import (
	"cmp"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// failures are what a call on the state can fail with.
var failures = map[string][]string{
	"pwrite64":  {"error=ENOSPC", "error=EDQUOT", "error=EIO", "error=EROFS", "retval=0"},
	"write":     {"error=ENOSPC", "error=EDQUOT", "error=EIO", "error=EROFS"},
	"fsync":     {"error=EIO", "error=ENOSPC", "error=EDQUOT"},
	"ftruncate": {"error=EIO", "error=EROFS"},
	"renameat":  {"error=ENOSPC", "error=EIO", "error=EROFS"},
	"unlinkat":  {"error=EIO", "error=EROFS"},
	"unlink":    {"error=EIO", "error=EROFS"},
	"openat":    {"error=EMFILE", "error=ENOSPC", "error=EIO", "error=EROFS"},
	"mkdirat":   {"error=ENOSPC", "error=EROFS"},
	"flock":     {"error=ENOLCK", "error=EIO"},
}

// A system call on the ledger fails, once or from then on. The command says so and ends with 11, or goes on where that is no harm; nothing untrue is
// claimed, and the next start is a normal one.
func TestCallsFail(t *testing.T) {
	tracer(t)
	as := cleanRuns(t)
	done, ended, void, again := 0, map[string]int{}, 0, 0
	for n := uint64(1000); done < *faults && !t.Failed(); n++ {
		p := newPlace(t, n)
		for life := 0; life < lives && done < *faults && !t.Failed(); {
			how, said, code, fired := p.failOnce(as[min(life, 1)].calls, again)
			p.untraced()
			p.quiet()
			if fired == 0 {
				again++
				if void++; void > 10+*faults {
					t.Fatalf("%d runs ended before a call failed", void)
				}
				p.settles()
				p.edit()
				continue
			}
			life, again = life+1, 0
			done++
			ended[fmt.Sprint(code)]++
			t.Logf("%s: %d times, exit %d\n%s", how, fired, code, strings.ReplaceAll(said, p.dir, "…"))
			switch {
			case strings.Contains(said, "goroutine "):
				t.Error("it panics")
			case code == 0 && (strings.Contains(said, "in sync") || !strings.Contains(said, "no space in")):
				p.identical()
			case code == 0: // a service that waits for room was told to stop
			case code != 11:
				t.Errorf("exit %d, want 0 or 11", code)
			case !strings.Contains(said, p.state):
				t.Error("it does not say where")
			case !strings.Contains(said, "nothing is lost"):
				t.Error("it does not say what to do")
			}
			p.untrue(p.changed, p.claims())
			if !t.Failed() {
				p.settles()
			}
			p.edit()
		}
	}
	t.Logf("%d runs with failing calls ended with %v; in %d more none failed", done, ended, void)
}

// failOnce runs sync or the service with a call that fails.
func (p *place) failOnce(calls map[string]int, void int) (how, said string, code, fired int) {
	p.t.Helper()
	for name := range calls {
		if failures[name] == nil {
			delete(calls, name)
		}
	}
	name, n := drawn(p.rnd, calls, void, cmp.Compare)
	with := failures[name][p.rnd.IntN(len(failures[name]))]
	plus := []string{"", "+"}[p.rnd.IntN(2)]
	command := []string{"sync", "run"}[p.rnd.IntN(2)]
	how = fmt.Sprintf("%s, %s:%s:when=%d%s", command, name, with, n, plus)
	p.traced([]string{name}, fmt.Sprintf("%s:%s:when=%d%s", name, with, n, plus))
	c := p.start(command)
	if command == "run" {
		until(p.t, "the end of "+how, func() bool {
			select {
			case <-c.done:
				return true
			default:
				return strings.Contains(c.said(), "in sync, lag") || plus != "" && strings.Contains(c.said(), "no space in")
			}
		})
		select {
		case <-c.done:
		default:
			signal(c.cmd, syscall.SIGTERM)
		}
	}
	code = c.code()
	return how, c.said(), code, p.injected()
}
