package link

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"syscall"

	"influxmirror/test/servers"
)

const (
	roleVariable = "INFLUXMIRROR_LINK_ROLE"
	dirVariable  = "INFLUXMIRROR_LINK_DIR"
)

// Main runs the tests of a package in a network namespace of their own. Where this machine does not allow that, it says so in one line and
// returns 0.
func Main(tests func() int) int {
	switch os.Getenv(roleVariable) {
	case "near":
		return tests()
	case "far":
		if err := runFar(); err != nil {
			fmt.Fprintln(os.Stderr, "far side:", err)
			return 1
		}
		return 0
	}
	cmd := again("near")
	cmd.Args = os.Args
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if why := allowed(); why != nil {
		fmt.Printf("left out: tests over a lossy link need TUN devices and network namespaces, which this machine does not allow (%v)\n", why)
		return 0
	}
	if err := cmd.Run(); err != nil {
		if code := cmd.ProcessState.ExitCode(); code > 0 {
			return code
		}
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// again is this program once more, in a namespace of its own, which ends with this process.
func again(role string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// allowed returns why there can be no link here, or nil.
func allowed() error {
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	f.Close()
	cmd := exec.Command("/bin/true")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	return cmd.Run()
}

// A Link joins this process to a server on the far side.
type Link struct {
	Server *servers.Server // InfluxDB 2.7.12 on the far side, reached across the link
	Up     Counts          // towards the server
	Down   Counts

	up, down *way
	cmd      *exec.Cmd
	tun      *os.File
	wire     net.Conn
}

// Open makes the link, without any fault, and starts the server behind it with its data in dir.
func Open(dir string) (*Link, error) {
	tun, err := openTun(near)
	if err != nil {
		return nil, err
	}
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "near"), os.NewFile(uintptr(pair[1]), "far")
	l := &Link{tun: tun, cmd: again("far")}
	l.cmd.Env = append(l.cmd.Env, dirVariable+"="+dir)
	l.cmd.ExtraFiles = []*os.File{theirs}
	l.cmd.Stderr = os.Stderr
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	theirs.Close()
	if l.wire, err = net.FileConn(ours); err != nil {
		return nil, err
	}
	ours.Close()
	l.up = &way{counts: &l.Up, rnd: rand.New(rand.NewPCG(1, 1)), send: func(b []byte) { _, _ = l.wire.Write(b) }}
	l.down = &way{counts: &l.Down, rnd: rand.New(rand.NewPCG(2, 2)), send: func(b []byte) { _, _ = l.tun.Write(b) }}
	go pump(l.tun, l.up.take) // both end with Close
	go pump(l.wire, l.down.take)
	var ready struct{ URL string }
	if err := json.NewDecoder(out).Decode(&ready); err != nil {
		l.Close()
		return nil, fmt.Errorf("the far side does not start: %w", err)
	}
	if l.Server, err = servers.Attach(servers.V2, ready.URL); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Set changes how the link treats packets from now on.
func (l *Link) Set(p Profile) {
	l.up.set(p)
	l.down.set(p)
}

// Close ends the far side with its server.
func (l *Link) Close() {
	_ = l.cmd.Process.Kill()
	_ = l.cmd.Wait()
	l.wire.Close()
	l.tun.Close()
}

// pump hands on packets until the reader is closed.
func pump(from io.Reader, take func([]byte)) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil || n == 0 {
			return
		}
		take(b[:n])
	}
}

// runFar is the far side: a TUN device joined to the wire, and a server whose port is reachable from there. It ends when the near side does.
func runFar() error {
	tun, err := openTun(far)
	if err != nil {
		return err
	}
	wire, err := net.FileConn(os.NewFile(3, "wire"))
	if err != nil {
		return err
	}
	s, err := servers.Run(context.Background(), servers.V2, os.Getenv(dirVariable))
	if err != nil {
		return err
	}
	defer s.Kill()
	ln, err := net.Listen("tcp", far.String()+":0")
	if err != nil {
		return err
	}
	go forward(ln, s.URL[len("http://"):])
	go pump(tun, func(b []byte) { _, _ = wire.Write(b) })
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"URL": "http://" + ln.Addr().String()}); err != nil {
		return err
	}
	pump(wire, func(b []byte) { _, _ = tun.Write(b) })
	return nil
}

// forward makes a port of the loopback reachable from the link.
func forward(ln net.Listener, to string) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			s, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			defer s.Close()
			go func() {
				_, _ = io.Copy(s, c)
				_ = s.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(c, s)
		}()
	}
}
