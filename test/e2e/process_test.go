package e2e

import (
	"bytes"
	"context"
	"errors"
	"flag"
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

	"influxmirror/test/proxy"
)

var program struct {
	once sync.Once
	path string
	err  error
}

// built builds influxmirror once for all tests.
func built(t *testing.T) string {
	t.Helper()
	sharedServers(t) // makes the directory
	program.once.Do(func() {
		program.path = filepath.Join(shared.dir, "influxmirror")
		cmd := exec.Command("go", "build", "-o", program.path, "influxmirror/cmd/influxmirror")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if program.err != nil {
		t.Fatal(program.err)
	}
	return program.path
}

// command returns the program with a config for the scene's mirror; its state is the scene's ledger.
func (s *scene) command(args ...string) *exec.Cmd {
	s.t.Helper()
	dir := filepath.Dir(s.dir)
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
		return path
	}
	write("source.token", s.srcToken+"\n")
	write("target.token", s.dstToken+"\n")
	config := write("influxmirror.yaml", fmt.Sprintf(`endpoints:
  station: {url: %q, org: %q, token_file: source.token}
  home: {url: %q, org: %q, token_file: target.token}
mirrors:
  - {name: m, from: "station:%s", to: "home:%s", wait: 1s}
log_bucket: none
state_dir: %q
`, s.srcURL, s.src.Org, s.dstURL, s.dst.Org, s.bucket, s.bucket, s.dir))
	cmd := exec.Command(built(s.t), append([]string{"--config", config, "--log-format", "text"}, args...)...)
	cmd.Dir = dir
	return cmd
}

// run runs the program to its end and returns what it said; any other exit code than want fails the test.
func (s *scene) run(want int, args ...string) (stdout string) {
	s.t.Helper()
	cmd := s.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != want {
		s.t.Errorf("%s: exit %d, want %d: %v\n%s%s", strings.Join(args, " "), code, want, err, out.String(), errs.String())
	}
	return out.String()
}

// sceneOfProcess is a scene whose state directory is free for a process.
func sceneOfProcess(t *testing.T) *scene {
	s := newScene(t, buckets{})
	s.dir = filepath.Join(s.dir, "state")
	return s
}

// The program by itself, with a config file: copy, prove, verify, and leave alone.
func TestProcess(t *testing.T) {
	t.Parallel()
	s := sceneOfProcess(t)
	s.srcToken = s.src.CreateToken([]string{s.srcID}, nil)
	s.dstToken = s.dst.CreateToken([]string{s.dstID}, []string{s.dstID})
	history(s, 14)
	t.Log(s.run(0, "plan"))
	if _, target := s.contents(always); len(target) > 0 {
		t.Fatal("plan wrote to the target")
	}
	t.Log(s.run(0, "sync"))
	s.identical(always)
	s.proofs(100)
	before := written(t, s.dst, s.dstID)
	t.Log(s.run(0, "sync"))
	if n := written(t, s.dst, s.dstID) - before; n != 0 {
		t.Errorf("the second sync wrote %d points", n)
	}
	t.Log(s.run(0, "verify", "--full"))
	t.Log(s.run(0, "status"))
	// A foreign value at the target.
	now := time.Now().UnixNano()
	at := monday(now) - 5*week
	load(s.dst, s.bucket, []string{point("old", []string{"h", "1"}, []string{"v", "777"}, at+90*minute)})
	if out := s.run(4, "verify", "--full", "--explain"); !strings.Contains(out, "777") {
		t.Errorf("verify does not show the value: %s", out)
	}
	s.run(0, "sync")
	s.identical(always)
}

var howManyKills = flag.Int("kills", 6, "how often a process is killed in the middle of its work")

// kill -9 at any moment loses nothing and leaves nothing untrue behind.
func TestProcessKilled(t *testing.T) {
	t.Parallel()
	s := sceneOfProcess(t)
	deep(s, 20_000)
	_, link := s.between()
	dst := counted{link}
	dst.SetLink(proxy.Link{Latency: 5 * time.Millisecond, Rate: 800_000}) // so that there is something to interrupt
	rnd := rand.New(rand.NewPCG(5, 6))
	kills := *howManyKills
	killed, mid, proven := 0, 0, 0
	for try := 0; killed < kills; try++ {
		if try == 2*kills {
			t.Fatalf("only %d kills in %d runs", killed, try)
		}
		cmd := s.command("sync")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		// Half of the kills come at a time, the others when so many bytes went to the target: on a busy machine as well.
		moment := time.After(time.Duration(50+rnd.IntN(1000)) * time.Millisecond)
		if try%2 == 1 {
			moment = dst.passes(t, 50_000+rnd.Int64N(200_000))
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("run %d: %v\n%s", try, err, out.String())
			}
			deeper(s, 4000, fmt.Sprint("deep ", try), fmt.Sprint("broad ", try)) // it never runs out of work
		case <-moment:
			if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				killed++
			}
		}
		if !hasLedger(s) {
			continue // killed before it began one
		}
		n := s.proofs(proofsMayBeMissing)
		if n > proven {
			mid++
		}
		proven = n
	}
	t.Logf("killed %d times; %d times with more proofs than before; %d proofs", killed, mid, proven)
	if mid < max(1, kills/7) {
		t.Errorf("only %d of the kills fell into the copy", mid)
	}
	began := time.Now()
	t.Log(s.run(0, "sync"))
	t.Logf("finished in %v", time.Since(began).Round(time.Millisecond))
	s.identical(always)
	s.proofs(100)
	t.Log(s.run(0, "verify", "--full"))
}

type counted struct{ *proxy.Proxy }

// passes closes the channel once n more bytes went up, or after half a minute.
func (c counted) passes(t *testing.T, n int64) <-chan time.Time {
	out := make(chan time.Time)
	n += c.Bytes(proxy.Up)
	end := time.Now().Add(30 * time.Second)
	go func() {
		defer close(out)
		for c.Bytes(proxy.Up) < n && time.Now().Before(end) && t.Context().Err() == nil {
			pause(5 * time.Millisecond)
		}
	}()
	return out
}

func hasLedger(s *scene) bool {
	names, _ := filepath.Glob(filepath.Join(s.dir, "ledger*"))
	return len(names) > 0
}

// The service stops within seconds when it is told to, with nothing untrue left behind, and carries on.
func TestProcessStopped(t *testing.T) {
	t.Parallel()
	s := sceneOfProcess(t)
	_, dst := s.between()
	dst.SetLink(proxy.Link{Latency: 5 * time.Millisecond, Rate: 800_000})
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		deeper(s, 15_000, "deep "+sig.String(), "broad "+sig.String())
		cmd := s.command("run")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Stopped when it has just begun to write.
		before := dst.Bytes(proxy.Up)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		for dst.Bytes(proxy.Up) < before+50_000 && ctx.Err() == nil {
			pause(10 * time.Millisecond)
		}
		if ctx.Err() != nil {
			t.Errorf("%v: the service wrote nothing that could be interrupted (%d bytes):\n%s", sig, dst.Bytes(proxy.Up)-before, out.String())
		}
		cancel()
		began := time.Now()
		_ = cmd.Process.Signal(sig)
		err := cmd.Wait()
		if took := time.Since(began); took > 10*time.Second || err != nil {
			t.Errorf("%v: ended after %v with %v\n%s", sig, took, err, out.String())
		}
		s.proofs(proofsMayBeMissing)
	}
	dst.SetLink(proxy.Link{})
	s.run(0, "sync")
	s.identical(always)
	s.proofs(100)
}

// A second instance on the same state is turned away.
func TestProcessTwice(t *testing.T) {
	t.Parallel()
	s := sceneOfProcess(t)
	load(s.src, s.bucket, []string{point("m", nil, []string{"v", "7i"}, 1)})
	first := s.command("run")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = first.Process.Kill()
		_ = first.Wait()
	}()
	for end := time.Now().Add(20 * time.Second); !hasLedger(s); pause(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the service began no ledger")
		}
	}
	s.run(10, "run")
}
