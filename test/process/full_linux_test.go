package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inside says that the test runs in a mount namespace of its own.
const inside = "INFLUXMIRROR_PROCESS_NAMESPACE"

// A disk of 2 MiB fills up. Whoever runs the service has to do nothing but make room; whoever runs sync runs it again. TestFullDisk runs
// itself once more in a mount namespace of its own, which takes the disk along when it ends.
func TestFullDisk(t *testing.T) {
	if os.Getenv(inside) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v", fmt.Sprintf("-seed=%d", *seed))
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
		out, err := cmd.CombinedOutput()
		if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
			missing(t, "a mount namespace, for a disk that can be full: %v", err)
		}
		if t.Logf("%s", out); err != nil || !strings.Contains(string(out), "--- PASS: TestFullDisk ") {
			t.Error(err)
		}
		return
	}
	for n, c := range []struct {
		name string
		run  func(p *place, d disk)
	}{
		{"before the start of sync", fullBeforeSync},
		{"before the start of run", fullBeforeRun},
		{"during a first copy by sync", fullDuringSync},
		{"during a first copy by run", fullDuringRun},
		{"while everything is read again", fullDuringRecheck},
		{"while the service is in step", fullInStep},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, uint64(n))
			d := newDisk(p)
			c.run(p, d)
			p.settles()
		})
	}
}

// disk is a file system of 2 MiB on which the state is.
type disk struct {
	p       *place
	ballast string
}

func newDisk(p *place) disk {
	p.t.Helper()
	if err := os.Mkdir(p.state, 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := syscall.Mount("none", p.state, "tmpfs", 0, "size=2m,mode=700"); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = syscall.Unmount(p.state, syscall.MNT_DETACH) })
	return disk{p, filepath.Join(p.state, "ballast")}
}

// fill leaves no byte.
func (d disk) fill() {
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		d.p.t.Errorf("filling the disk: %v", err)
	}
}

func (d disk) makeRoom() {
	if err := os.Remove(d.ballast); err != nil {
		d.p.t.Error(err)
	}
}

// fillAt fills the disk at the nth time of a point.
func (d disk) fillAt(at spot, n int) {
	d.p.tell(func(s spot, k int) bool {
		if s == at && k == n {
			d.fill()
		}
		return false
	})
}

// says waits until a process that goes on says something for the nth time.
func (p *place) says(c *proc, text string, n int) {
	p.t.Helper()
	until(p.t, text, func() bool {
		select {
		case <-c.done:
			p.t.Fatalf("it ended with %d instead of saying %q:\n%s", c.code(), text, c.said())
		default:
		}
		return strings.Count(c.said(), text) >= n
	})
}

// stopped ends a service and returns what it said.
func (p *place) stopped(c *proc) string {
	p.t.Helper()
	signal(c.cmd, syscall.SIGTERM)
	if code := c.code(); code != 0 {
		p.t.Errorf("the service ended with %d:\n%s", code, c.said())
	}
	p.t.Log(strings.ReplaceAll(c.said(), p.dir, "…"))
	return c.said()
}

// refused is a command that finds no room: it ends with 11, says where and what to do.
func (p *place) refused(said string, code int) {
	p.t.Helper()
	p.t.Log(strings.ReplaceAll(said, p.dir, "…"))
	if code != 11 || !strings.Contains(said, "no space in "+p.state) || !strings.Contains(said, "make room") {
		p.t.Errorf("exit %d, want 11 with words:\n%s", code, said)
	}
	p.untrue(p.changed, p.claims())
}

func fullBeforeSync(p *place, d disk) {
	d.fill()
	p.refused(p.run("sync"))
	d.makeRoom()
}

func fullBeforeRun(p *place, d disk) {
	d.fill()
	c := p.start("run")
	p.says(c, "no space in "+p.state, 1)
	d.makeRoom()
	p.says(c, "in sync, lag", 1)
	p.identical()
	p.stopped(c)
}

func fullDuringSync(p *place, d disk) {
	d.fillAt(spot{"target", writeAnswered}, 8)
	p.refused(p.run("sync"))
	p.honest()
	d.makeRoom()
}

func fullDuringRun(p *place, d disk) {
	d.fillAt(spot{"target", writeAnswered}, 8)
	c := p.start("run")
	p.says(c, "no space in "+p.state, 1)
	p.untrue(p.changed, p.claims())
	d.makeRoom()
	p.says(c, "in sync, lag", 1)
	p.identical()
	if said := p.stopped(c); !strings.Contains(said, "room on the disk: back") {
		p.t.Errorf("it does not say that there is room again:\n%s", said)
	}
}

func fullDuringRecheck(p *place, d disk) {
	p.want(0, "sync")
	all, _ := filepath.Glob(filepath.Join(p.state, "*"))
	for _, name := range all {
		if err := os.Remove(name); err != nil {
			p.t.Fatal(err)
		}
	}
	p.edit()
	d.fillAt(spot{"target", readAnswered}, 5)
	c := p.start("run")
	p.says(c, "no space in "+p.state, 1)
	p.untrue(p.changed, p.claims())
	d.makeRoom()
	p.says(c, "in sync, lag", 1)
	p.identical()
	p.stopped(c)
}

func fullInStep(p *place, d disk) {
	c := p.start("run")
	p.says(c, "in sync, lag", 1)
	d.fill()
	// The log has room of its own for a while.
	until(p.t, "no space", func() bool {
		p.src.Write(bucket, p.line(p.rnd.IntN(4), p.begun.UnixNano()-p.rnd.Int64N(int64(3*week))))
		time.Sleep(20 * time.Millisecond)
		return strings.Contains(c.said(), "no space in "+p.state)
	})
	d.makeRoom()
	p.says(c, "room on the disk: back", 1)
	until(p.t, "equal sides", p.equal)
	p.stopped(c)
}
