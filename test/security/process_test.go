package security

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
)

var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "influxmirror-security-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "influxmirror")
	build := exec.Command("go", "build", "-o", program, "influxmirror/cmd/influxmirror")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("%s%v\n", out, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// place is a directory with a config between two servers in memory.
type place struct {
	t        *testing.T
	dir      string
	src, dst *influxtest.Server
	url      string // of the source, or of what stands before it
}

const config = `endpoints:
  station: {url: %q, org: lab, token_file: station.token}
  home: {url: %q, org: lab, token_file: home.token}
mirrors:
  - {name: lab, from: "station:lab", to: "home:lab", wait: 1s}
state_dir: state
`

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, dir: t.TempDir(), src: influxtest.NewServer(influxtest.Options{}), dst: influxtest.NewServer(influxtest.Options{})}
	for _, s := range []*influxtest.Server{p.src, p.dst} {
		t.Cleanup(s.Close)
		s.CreateBucket("lab", 0, 7*24*time.Hour)
	}
	p.url = p.src.URL
	p.file("station.token", p.src.Token)
	p.file("home.token", p.dst.Token)
	return p
}

// behind puts fn before the source; what it does not answer goes to the source.
func (p *place) behind(fn func(w http.ResponseWriter, r *http.Request) bool) {
	inner := p.src.Handler()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fn(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	p.t.Cleanup(s.Close)
	p.url = s.URL
}

func (p *place) file(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// command is the program with the config, under a umask that hides nothing.
func (p *place) command(args ...string) *exec.Cmd {
	p.t.Helper()
	if _, err := os.Lstat(filepath.Join(p.dir, "influxmirror.yaml")); err != nil {
		p.file("influxmirror.yaml", fmt.Sprintf(config, p.url, p.dst.URL))
	}
	cmd := exec.Command("sh", append([]string{"-c", `umask 0; exec "$0" "$@"`, program}, args...)...)
	cmd.Dir = p.dir
	tmp := filepath.Join(p.dir, "tmp")
	if err := os.MkdirAll(tmp, 0o777); err != nil {
		p.t.Fatal(err)
	}
	cmd.Env = []string{"HOME=" + p.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + tmp}
	return cmd
}

// run returns what a command says and how it ends.
func (p *place) run(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	var out, errs bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// want runs a command that has to end so.
func (p *place) want(code int, args ...string) string {
	p.t.Helper()
	out, errs, got := p.run(args...)
	if got != code {
		p.t.Fatalf("%v: exit %d, want %d\n%.3000s%.3000s", args, got, code, out, errs)
	}
	return out + errs
}

// peak runs a command for at most a time and returns the most memory it had, in bytes, as the kernel saw it.
func (p *place) peak(limit time.Duration, args ...string) (most int64, said string) {
	p.t.Helper()
	var out bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	end := time.After(limit)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-done:
			return most, out.String()
		case <-end:
			_ = cmd.Process.Kill()
			<-done
			return most, out.String()
		case <-look.C:
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
			_, text, ok := strings.Cut(string(status), "VmHWM:")
			if fields := strings.Fields(text); ok && len(fields) > 0 {
				kib, _ := strconv.ParseInt(fields[0], 10, 64)
				most = max(most, kib<<10)
			}
		}
	}
}
