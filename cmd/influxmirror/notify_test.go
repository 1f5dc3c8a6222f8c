package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"influxmirror/influxtest"
)

// ear hears what a service manager is told, line by line.
func ear(t *testing.T, socket string) <-chan string {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	heard := make(chan string, 10_000)
	go func() { // ends with the socket
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			if err != nil {
				close(heard)
				return
			}
			for line := range strings.SplitSeq(string(b[:n]), "\n") {
				heard <- line
			}
		}
	}()
	return heard
}

// hears waits for a line and returns those before it.
func hears(t *testing.T, heard <-chan string, line string) (before []string) {
	t.Helper()
	for limit := time.After(30 * time.Second); ; {
		select {
		case got := <-heard:
			if got == line {
				return before
			}
			before = append(before, got)
		case <-limit:
			t.Fatalf("the manager does not hear %q, but %.500q", line, before)
		}
	}
}

// managed is a directory with a config between two servers.
func managed(t *testing.T) (dir string) {
	t.Helper()
	src, dst := influxtest.NewServer(influxtest.Options{Token: "secret"}), influxtest.NewServer(influxtest.Options{Token: "secret"})
	t.Cleanup(src.Close)
	t.Cleanup(dst.Close)
	src.CreateBucket("lab", 0, 7*24*time.Hour)
	dst.CreateBucket("lab", 0, 7*24*time.Hour)
	src.Write("lab", "cpu load=1 1700000000000000000\n")
	dir, err := os.MkdirTemp("", "managed") // the name of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text := fmt.Sprintf("endpoints:\n  a: {url: %q, org: lab, token: \"${T}\"}\n  b: {url: %q, org: lab, token: \"${T}\"}\nmirrors:\n  - {name: one, from: a:lab, to: b:lab, wait: 1s}\nstate_dir: state\n", src.URL, dst.URL)
	if err := os.WriteFile(filepath.Join(dir, "influxmirror.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A service manager hears when the service is ready, how its mirrors stand, that it goes on, and that it stops: from the real process.
func TestNotify(t *testing.T) {
	for _, name := range []string{"a path", "an abstract name"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := managed(t)
			socket := filepath.Join(dir, "notify")
			if name != "a path" {
				socket = "@influxmirror/" + filepath.Base(dir)
			}
			heard := ear(t, socket)
			cmd := exec.Command("influxmirror", "run")
			cmd.Dir = dir
			cmd.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "T=secret", "NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=400000"}
			var said bytes.Buffer
			cmd.Stderr = &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
			if before := hears(t, heard, "READY=1"); len(before) > 0 {
				t.Errorf("before it is ready: %q", before)
			}
			hears(t, heard, "STATUS=started with 1 mirror")
			hears(t, heard, "WATCHDOG=1")
			before := hears(t, heard, "STATUS=1 mirror in sync")
			if n := strings.Count(strings.Join(before, "\n"), "WATCHDOG=1"); n < 5 {
				t.Errorf("in five seconds it said only %d times that it goes on", n)
			}
			_ = cmd.Process.Signal(syscall.SIGTERM)
			hears(t, heard, "STOPPING=1")
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, said.String())
			}
		})
	}
}

// When the service hangs, the manager hears nothing of it, so that it is started again.
func TestNotifyOfAHang(t *testing.T) {
	t.Parallel()
	dir := managed(t)
	heard := ear(t, filepath.Join(dir, "notify"))
	var hang atomic.Bool
	hung, release := make(chan struct{}, 1), make(chan struct{})
	env := func(name string) (string, bool) {
		if name == "T" && hang.Load() {
			select {
			case hung <- struct{}{}:
			default:
			}
			<-release
		}
		v, ok := map[string]string{"T": "secret", "HOME": dir, "NOTIFY_SOCKET": filepath.Join(dir, "notify"), "WATCHDOG_USEC": "100000"}[name]
		return v, ok
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	config := filepath.Join(dir, "influxmirror.yaml")
	go func() {
		ended <- newApp(strings.NewReader(""), io.Discard, io.Discard, env).execute(ctx, []string{"run", "--config", config, "--state-dir", filepath.Join(dir, "state")})
	}()
	hears(t, heard, "WATCHDOG=1")
	hang.Store(true)
	text, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, append(text, "# changed\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	<-hung
	for len(heard) > 0 {
		<-heard
	}
	time.Sleep(500 * time.Millisecond) // ten times the beat
	if n := len(heard); n > 0 {
		t.Errorf("it says that it goes on while it hangs: %d lines, first %q", n, <-heard)
	}
	hang.Store(false)
	close(release)
	hears(t, heard, "WATCHDOG=1")
	cancel()
	hears(t, heard, "STOPPING=1")
	if code := <-ended; code != 0 {
		t.Errorf("exit %d", code)
	}
}

// What is no socket is not written to, and the watchdog of another process is not ours.
func TestManagerOf(t *testing.T) {
	for _, c := range []struct {
		socket, usec, pid string
		want              manager
	}{
		{"", "1000000", "", manager{}},
		{"relative", "1000000", "", manager{}},
		{"/run/x", "", "", manager{"/run/x", 0}},
		{"@x", "1000000", strconv.Itoa(os.Getpid()), manager{"@x", 500 * time.Millisecond}},
		{"/run/x", "1000000", "1", manager{"/run/x", 0}},
		{"/run/x", "-1", "", manager{"/run/x", 0}},
		{"/run/x", "99999999999999999999", "", manager{"/run/x", 0}},
	} {
		env := map[string]string{"NOTIFY_SOCKET": c.socket, "WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		if got := managerOf(func(k string) (string, bool) { v, ok := env[k]; return v, ok }); got != c.want {
			t.Errorf("%v: %+v", c, got)
		}
	}
}

// The line that systemctl status shows says first what needs a hand.
func TestStands(t *testing.T) {
	got := stands(map[string][]string{"in sync": {"a", "b"}, "waiting for the link": {"c"}, "needs you": {"d\nREADY=1", "e", "f"}})
	if want := `"d\nREADY=1" and 2 more: needs you; c: waiting for the link; 2 mirrors in sync`; got != want {
		t.Errorf("%s", got)
	}
}
