package servers

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is one run of influxd.
type process struct {
	pid  int
	done chan struct{} // closed when it has ended
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// start runs influxd on s.addr and waits until it answers.
func (s *Server) start() error {
	cmd := exec.Command(s.binary)
	cmd.Dir = s.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir, "TZ=UTC"}
	if s.Kind.Old() {
		conf := filepath.Join(s.Dir, "influxdb.conf")
		if err := os.WriteFile(conf, []byte(s.configV1()), 0o600); err != nil {
			return err
		}
		cmd.Args = append(cmd.Args, "run", "-config", conf)
	} else {
		cmd.Args = append(cmd.Args, "--http-bind-address", s.addr, "--reporting-disabled",
			"--bolt-path", filepath.Join(s.Dir, "bolt"), "--sqlite-path", filepath.Join(s.Dir, "sqlite"), "--engine-path", filepath.Join(s.Dir, "engine"))
	}
	cmd.Env = append(cmd.Env, s.env...)
	log, err := os.OpenFile(filepath.Join(s.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	dieWithParent(cmd)

	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the death signal when the thread that started the child ends, so this thread stays as long as the child.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	p.pid = cmd.Process.Pid
	s.mu.Lock()
	s.proc = p
	s.mu.Unlock()
	if err := s.awaitReady(p); err != nil {
		s.Kill()
		return err
	}
	return nil
}

func (s *Server) configV1() string {
	return fmt.Sprintf(`reporting-disabled = true
bind-address = "127.0.0.1:0"
[meta]
  dir = %[1]q
[data]
  dir = %[2]q
  wal-dir = %[3]q
[http]
  bind-address = %[4]q
`, filepath.Join(s.Dir, "meta"), filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "wal"), s.addr)
}

func (s *Server) awaitReady(p *process) error {
	path := "/health"
	if s.Kind.Old() {
		path = "/ping"
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		resp, err := s.client.Get(s.URL + path)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusNoContent {
				return nil
			}
		}
		select {
		case <-p.done:
			return errors.New("influxd ended at its start")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("influxd does not answer after a minute")
}

// signal sends sig to the running process; without one it does nothing and returns nil.
func (s *Server) signal(sig syscall.Signal) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return nil
	}
	_ = syscall.Kill(s.proc.pid, sig) // an ended process is not an error: it is waited for below
	return s.proc
}

func (s *Server) ended() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc = nil
}

// Kill ends the server as kill -9 does, and returns when it is gone. It may be called at any time.
func (s *Server) Kill() {
	if p := s.signal(syscall.SIGKILL); p != nil {
		<-p.done
		s.ended()
	}
}

// Stop ends the server in good order.
func (s *Server) Stop() {
	s.Resume()
	p := s.signal(syscall.SIGTERM)
	if p == nil {
		return
	}
	select {
	case <-p.done:
		s.ended()
	case <-time.After(30 * time.Second):
		s.Kill()
		s.fail("%v did not stop within 30 s", s.Kind)
	}
}

// Restart starts the server again on the same data and port, stopping it first if it runs.
func (s *Server) Restart() {
	s.Stop()
	s.client.CloseIdleConnections()
	if err := s.start(); err != nil {
		s.fail("restart %v: %v", s.Kind, err)
	}
}

// Pause freezes the server (SIGSTOP): connections stay open, nothing answers.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// PID is the process id, 0 while stopped.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil {
		return 0
	}
	return s.proc.pid
}

// CPUTime is the user and system time the running process has used, in steps of 10 ms.
func (s *Server) CPUTime() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	if err != nil {
		s.fail("cpu time: %v", err)
		return 0
	}
	// proc(5): the fields after the command in parentheses; utime and stime are the 14th and 15th of the line.
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var ticks int64
	for _, v := range f[11:13] {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			s.fail("cpu time: %v", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
