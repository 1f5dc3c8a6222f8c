package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"influxmirror/influxtest"
)

const (
	bucket = "lab"
	week   = 7 * 24 * time.Hour
)

// A place is a directory with a config between two servers in memory, and the program's state.
type place struct {
	t        *testing.T
	rnd      *rand.Rand
	dir      string
	state    string
	src, dst *influxtest.Server
	taps     [2]*tap
	begun    time.Time // no sample is newer
	changed  int64     // when something was last changed: no claim of that second or later is of what was before
	argv     []string  // what the program is run under
}

const config = `endpoints:
  station: {url: %q, org: lab, token_file: station.token}
  home: {url: %q, org: lab, token_file: home.token}
mirrors:
  - {name: lab, from: "station:lab", to: "home:lab", wait: 1s}
log_bucket: none
state_dir: %q
`

// newPlace fills the source; n draws what.
func newPlace(t *testing.T, n uint64) *place {
	t.Helper()
	p := &place{t: t, rnd: rand.New(rand.NewPCG(*seed, n)), dir: t.TempDir(), begun: time.Now().Add(-5 * time.Minute),
		src: influxtest.NewServer(influxtest.Options{}), dst: influxtest.NewServer(influxtest.Options{})}
	t.Cleanup(p.src.Close)
	t.Cleanup(p.dst.Close)
	p.src.CreateBucket(bucket, 0, week)
	p.dst.CreateBucket(bucket, 0, week)
	p.taps = [2]*tap{newTap(t, "source", p.src), newTap(t, "target", p.dst)}
	p.state = filepath.Join(p.dir, "state")
	p.file("station.token", p.src.Token)
	p.file("home.token", p.dst.Token)
	p.configure()
	p.fill()
	return p
}

// configure writes the config for the state directory of now.
func (p *place) configure() {
	p.file("influxmirror.yaml", fmt.Sprintf(config, p.taps[0].server.URL, p.taps[1].server.URL, p.state))
}

func (p *place) file(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// line is a point of the n-th kind at a time.
func (p *place) line(kind int, at int64) string {
	switch kind % 4 {
	case 0:
		return fmt.Sprintf("room,host=a load=%v,up=%v %d", p.rnd.Float64(), p.rnd.IntN(2) == 0, at)
	case 1:
		return fmt.Sprintf("room,host=b load=%v,n=%di %d", p.rnd.NormFloat64(), p.rnd.Int64(), at)
	case 2:
		return fmt.Sprintf(`log\ book text="line %d" %d`, p.rnd.IntN(1e9), at)
	default:
		return fmt.Sprintf("magnet,axis=%d,loop=%d field=%v %d", p.rnd.IntN(3), p.rnd.IntN(2), p.rnd.ExpFloat64(), at)
	}
}

// fill writes four weeks, one of them densely, the last hour, and a point of next year.
func (p *place) fill() {
	var lines []string
	now := p.begun.UnixNano()
	for i := range 1200 {
		back := p.rnd.Int64N(int64(4 * week))
		if i%3 == 0 {
			back = int64(2*week) + p.rnd.Int64N(int64(24*time.Hour))
		}
		lines = append(lines, p.line(p.rnd.IntN(4), now-back))
	}
	for range 40 {
		lines = append(lines, p.line(p.rnd.IntN(4), now-p.rnd.Int64N(int64(time.Hour))))
	}
	lines = append(lines, p.line(0, now+int64(52*week)))
	p.src.Write(bucket, strings.Join(lines, "\n"))
}

// edit changes both sides, as instruments and strangers do: what change does, and a point that the target lost without a trace.
func (p *place) edit() {
	p.change()
	if held := p.dst.Dump(bucket); len(held) > 0 {
		s := held[p.rnd.IntN(len(held))]
		p.dst.Delete(bucket, s.Measurement, s.Time, s.Time)
	}
}

// change writes new, late and overwritten points to the source, and another value into the target. The servers' dates have whole seconds: it begins
// with one.
func (p *place) change() {
	next := time.Now().Truncate(time.Second).Add(time.Second)
	time.Sleep(time.Until(next))
	p.changed = next.UnixNano()
	now := p.begun.UnixNano()
	var lines []string
	for range 60 {
		lines = append(lines, p.line(p.rnd.IntN(4), now-p.rnd.Int64N(int64(5*week))))
	}
	all := p.src.Dump(bucket)
	for range 20 {
		s := all[p.rnd.IntN(len(all))]
		if s.Measurement == "room" && s.Field == "load" {
			lines = append(lines, fmt.Sprintf("room,host=%s load=%v %d", s.Tags[0].Value, p.rnd.Float64(), s.Time))
		}
	}
	p.src.Write(bucket, strings.Join(lines, "\n"))
	if held := p.dst.Dump(bucket); len(held) > 0 {
		if s := held[p.rnd.IntN(len(held))]; s.Measurement == "room" && s.Field == "load" {
			p.dst.Write(bucket, fmt.Sprintf("room,host=%s load=%v %d", s.Tags[0].Value, p.rnd.Float64(), s.Time))
		}
	}
}

// A proc is the program, running.
type proc struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it is gone

	mu  sync.Mutex // guards out
	out bytes.Buffer
}

func (c *proc) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(b)
}

// said is what it said so far, on both streams.
func (c *proc) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

// code waits for its end and returns how it ended: an exit code, -1 for a signal.
func (c *proc) code() int {
	<-c.done
	return c.cmd.ProcessState.ExitCode()
}

// kill ends it as kill -9 does and returns when it is gone.
func (c *proc) kill() {
	select {
	case <-c.done: // its number may be another's by now
	default:
		signal(c.cmd, syscall.SIGKILL)
		<-c.done
	}
}

func (p *place) command(args ...string) *exec.Cmd {
	argv := append(append([]string{}, p.argv...), program, "--config", filepath.Join(p.dir, "influxmirror.yaml"), "--log-format", "text")
	argv = append(argv, args...)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = p.dir
	cmd.Env = []string{"HOME=" + p.dir, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + p.dir}
	dieWithParent(cmd)
	return cmd
}

// start starts the program. It is killed when the test ends.
func (p *place) start(args ...string) *proc {
	p.t.Helper()
	return p.begin(p.command(args...))
}

func (p *place) begin(cmd *exec.Cmd) *proc {
	p.t.Helper()
	c := &proc{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = c, c
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() { defer close(c.done); _ = cmd.Wait() }()
	p.t.Cleanup(c.kill)
	return c
}

// run runs the program to its end and returns what it said.
func (p *place) run(args ...string) (said string, code int) {
	p.t.Helper()
	c := p.start(args...)
	code = c.code()
	return c.said(), code
}

// want runs a command that has to end so.
func (p *place) want(code int, args ...string) string {
	p.t.Helper()
	said, got := p.run(args...)
	if got != code {
		p.t.Fatalf("%v: exit %d, want %d\n%.4000s", args, got, code, said)
	}
	return said
}

// told asks for what a command says as JSON.
func (p *place) told(into any, args ...string) (code int) {
	p.t.Helper()
	cmd := p.command(append(args, "--json")...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		p.t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		p.t.Fatalf("%v: %v\n%.2000s%.2000s", args, err, out.String(), errs.String())
	}
	return cmd.ProcessState.ExitCode()
}

// tell sets who is told of what happens at the servers.
func (p *place) tell(fn func(s spot, n int) (gone bool)) {
	for _, x := range p.taps {
		x.tell(fn)
	}
}

// quiet waits until the servers have nothing to answer any more: what was asked last has its effect then.
func (p *place) quiet() {
	for _, x := range p.taps {
		until(p.t, "the last answer of the "+x.side, func() bool { return x.open.Load() == 0 })
	}
}

func (p *place) counts() map[spot]int {
	all := map[spot]int{}
	for _, x := range p.taps {
		x.counts(all)
	}
	return all
}

// until waits for what has to come; a machine may be slow.
func until(t *testing.T, what string, fn func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !fn() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: it did not come", what)
		case <-tick.C:
		}
	}
}
