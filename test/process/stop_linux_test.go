package process

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
	"influxmirror/test/servers"
)

// moments are where the program is stopped: with a request under way, or with none.
var moments = []struct {
	spot
	n int
}{
	{spot{"target", writeReceived}, 3},
	{spot{"source", readBegun}, 4},
	{spot{"target", readAsked}, 5},
	{spot{"target", writeApplied}, 2},
	{spot{"source", surveyAsked}, 2},
	{}, // when there is nothing to do
}

// P2: stopped in the middle of its work, as a laptop that falls asleep, while both sides change and every connection is cut. It goes on by itself.
func TestAsleep(t *testing.T) {
	for i, at := range moments {
		t.Run(strings.ReplaceAll(fmt.Sprint(at.spot), ",", ""), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, 5000+uint64(i))
			var c *proc
			started, stopped := make(chan struct{}), make(chan struct{})
			awake := make(chan struct{})
			p.tell(func(s spot, n int) bool {
				if s == at.spot && n == at.n {
					<-started
					signal(c.cmd, syscall.SIGSTOP)
					close(stopped)
					<-awake // what it asked is answered when nobody waits for it any more
				}
				return false
			})
			c = p.start("run")
			close(started)
			if at.n == 0 {
				p.says(c, "in sync, lag", 1)
				signal(c.cmd, syscall.SIGSTOP)
				close(stopped)
			}
			select {
			case <-stopped:
			case <-time.After(time.Minute):
				t.Fatalf("it never came to %v:\n%s", at.spot, c.said())
			}
			until(t, "sleep", func() bool { return p.sleeps(c) })
			for _, x := range p.taps {
				x.server.CloseClientConnections()
			}
			p.change()
			time.Sleep(*asleep)
			close(awake)
			signal(c.cmd, syscall.SIGCONT)
			until(t, "equal sides", p.equal)
			p.stopped(c)
			p.quiet()
			p.settles()
		})
	}
}

// sleeps reports whether a process is stopped.
func (p *place) sleeps(c *proc) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	p.must(err)
	return bytes.Contains(b, []byte(") T "))
}

// P1: told to stop while a server keeps a request for itself. It ends within ten seconds: the service with 0, a command with 130.
func TestToldToStop(t *testing.T) {
	for i, c := range []struct {
		command string
		signal  syscall.Signal
		code    int
		at      spot
	}{
		{"run", syscall.SIGTERM, 0, spot{"target", writeReceived}},
		{"run", syscall.SIGINT, 0, spot{"target", writeApplied}},
		{"run", syscall.SIGTERM, 0, spot{"source", surveyAsked}},
		{"sync", syscall.SIGINT, 130, spot{"target", writeReceived}},
		{"sync", syscall.SIGTERM, 130, spot{"source", readBegun}},
		{"verify", syscall.SIGINT, 130, spot{"target", readAsked}},
	} {
		t.Run(fmt.Sprintf("%s %v, %v", c.command, c.signal, c.at), func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, 6000+uint64(i))
			args := []string{c.command}
			if c.command == "verify" {
				p.want(0, "sync")
				args = append(args, "--full")
			}
			reached, over := make(chan struct{}), make(chan struct{})
			p.tell(func(s spot, n int) bool {
				if s == c.at && n == 2 {
					close(reached)
					<-over
				}
				return false
			})
			x := p.start(args...)
			select {
			case <-reached:
			case <-time.After(time.Minute):
				t.Fatalf("it never came to %v:\n%s", c.at, x.said())
			}
			began := time.Now()
			signal(x.cmd, c.signal)
			code := x.code()
			if took := time.Since(began); took > 10*time.Second || code != c.code {
				t.Errorf("ended after %v with %d, want %d:\n%s", took, code, c.code, x.said())
			}
			close(over)
			p.tell(nil)
			p.quiet()
			p.untrue(p.changed, p.claims())
			p.settles()
		})
	}
}

// Real servers that sleep for a while and wake up, one after the other and both, under a service that goes on.
func TestServersAsleep(t *testing.T) {
	p := newPlace(t, 7000)
	both := [2]*servers.Server{servers.Start(t, servers.V2), servers.Start(t, servers.V2)}
	for _, s := range both {
		s.CreateBucket(bucket, 0, week)
	}
	write := func(from, n int) {
		var points []string
		for i := range n {
			points = append(points, dataset.Point("room", []string{"host", fmt.Sprint(i % 3)}, []string{"load", fmt.Sprint(p.rnd.Float64())}, p.begun.UnixNano()-int64(from+i)*int64(time.Minute)))
		}
		p.must(dataset.Load(both[0], bucket, points))
	}
	p.file("station.token", both[0].Token)
	p.file("home.token", both[1].Token)
	p.file("influxmirror.yaml", fmt.Sprintf(config, both[0].URL, both[1].URL, p.state))
	equal := func() bool {
		src, err := oracle.Read(both[0], bucket, oracle.Always)
		p.must(err)
		dst, err := oracle.Read(both[1], bucket, oracle.Always)
		p.must(err)
		return oracle.Compare(src, dst).None()
	}
	write(0, 20_000)
	c := p.start("run")
	for i, some := range [][]int{{1}, {0}, {0, 1}} {
		for _, k := range some {
			both[k].Pause()
		}
		time.Sleep(*asleep)
		for _, k := range some {
			both[k].Resume()
		}
		write(20_000*(i+1), 5000)
	}
	p.says(c, "in sync, lag", 1)
	until(t, "equal sides", equal)
	p.stopped(c)
	p.want(0, "sync")
	if !equal() {
		t.Error("the sides differ")
	}
	p.want(0, "verify", "--full")
}
