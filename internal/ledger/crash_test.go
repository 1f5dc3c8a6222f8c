package ledger

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"
	"time"

	"influxmirror/internal/mirror"
)

func child(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LEDGER_TEST_CHILD="+role, "LEDGER_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// start starts a child and waits for its first byte of output.
func start(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	cmd := child(t, role, dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if n, err := out.Read(make([]byte, 1)); n != 1 {
		t.Fatalf("child %s: %v", role, err)
	}
	return cmd
}

const crashGroups = 8

// recordForEver records rounds: in round n every group comes from seed n. It goes on where it was killed.
func recordForEver(dir string) {
	l, err := Open(dir)
	if err == nil && (l.Rebuilt != "" || l.Stale) {
		err = fmt.Errorf("rebuilt %q, stale %v", l.Rebuilt, l.Stale)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	p, err := l.Pair(ctx, "k")
	for round := uint64(time.Now().UnixNano()); err == nil; round++ {
		for i := range crashGroups {
			if err == nil {
				err = p.Record(ctx, oddGroup("cpu", i, round))
			}
		}
		os.Stdout.Write([]byte{'.'})
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// B1: after kill -9 every group is whole, and no later opening sees damage or an older ledger.
func TestKilledWhileRecording(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		cmd := child(t, "record", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i%3 == 0 { // killed while opening, perhaps
			time.Sleep(time.Duration(i) * 3 * time.Millisecond)
		} else if n, err := out.Read(make([]byte, 1+i)); n == 0 {
			t.Fatal(err)
		}
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()

		if r, err := OpenReader(dir); err == nil {
			checkCrashed(t, r, false)
			r.Close()
		} else if i > 0 && !errors.Is(err, ErrNoLedger) {
			t.Fatal(err)
		}
		if i%2 == 0 { // else the next child finds what this one left
			l := openTest(t, dir)
			if l.Rebuilt != "" || l.Stale {
				t.Fatalf("round %d: rebuilt %q, stale %v", i, l.Rebuilt, l.Stale)
			}
			checkCrashed(t, l, false)
			l.Close()
		}
	}
}

func checkCrashed(t *testing.T, l *Ledger, live bool) {
	t.Helper()
	p, err := l.Pair(ctx, "k")
	if errors.Is(err, ErrNotFound) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	sums, err := p.Summaries(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sums {
		g := getGroup(t, p, mirror.Group{Measurement: s.Measurement, Window: s.Window})
		if !live && g.Summary() != s || len(g.Exceptions) != 2 {
			t.Fatalf("%v is not what its summary says", s.Window)
		}
		// The second exception's example tells the seed that all of the group came from.
		var seed uint64
		fmt.Sscan(g.Exceptions[1].Example, &seed)
		if i := int((s.Window.Start - testBase) / (168 * testHour)); !reflect.DeepEqual(g, oddGroup("cpu", i, seed)) {
			t.Fatalf("group %d is mixed", i)
		}
	}
	if l.Dropped() != 0 {
		t.Fatalf("%d dropped", l.Dropped())
	}
}

func holdLock(dir string) {
	l, err := Acquire(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write([]byte{'.'})
	time.Sleep(time.Minute)
	l.Release()
}

// B8: the second is told who the first is; a killed holder leaves nothing behind that needs a hand.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	before := time.Now().Add(-2 * time.Second)
	cmd := start(t, "lock", dir)
	_, err := Acquire(dir)
	var held *HeldError
	host, _ := os.Hostname()
	if !errors.As(err, &held) || held.PID != cmd.Process.Pid || held.Host != host || held.Since.Before(before) {
		t.Fatalf("%v", err)
	}
	want := fmt.Sprintf("already running: pid %d on host %s since %s", held.PID, host, held.Since.Format(time.RFC3339))
	if err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	cmd.Process.Kill()
	cmd.Wait()
	l, err := Acquire(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(dir); !errors.As(err, &held) || held.PID != os.Getpid() {
		t.Errorf("twice in a process: %v", err)
	}
	os.WriteFile(filepath.Join(dir, holderName), []byte(`{"pid":"x`), 0o600)
	if _, err := Acquire(dir); !errors.As(err, &held) || err.Error() != "already running" {
		t.Errorf("with a broken note: %v", err)
	}
	if err := l.Check(); err != nil {
		t.Error(err)
	}
	os.Remove(filepath.Join(dir, lockName))
	if err := l.Check(); !errors.Is(err, ErrReplaced) {
		t.Errorf("lock deleted: %v", err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if l, err = Acquire(dir); err != nil {
		t.Fatal(err)
	}
	l.Release()
}

// Readers need no lock and never disturb the writer.
func TestReaderBesideWriter(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Join(dir, "nothing")} {
		if _, err := OpenReader(d); !errors.Is(err, ErrNoLedger) {
			t.Fatalf("no ledger: %v", err)
		}
	}
	cmd := start(t, "record", dir)
	for range 20 {
		r, err := OpenReader(dir)
		if err != nil {
			t.Fatal(err)
		}
		checkCrashed(t, r, true)
		p := pairOf(t, r, "k")
		for name, err := range map[string]error{
			"record": p.Record(ctx, normalGroup("x", 0, 1)), "forget": p.Forget(ctx), "name": p.SetName(ctx, "a", "b", "c"),
			"state": p.SetState(ctx, "a", 1), "pass": p.AddPass(ctx, Pass{}), "checked": p.Checked(ctx),
		} {
			if !errors.Is(err, ErrReadOnly) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := r.Pair(ctx, "unknown"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	r, err := OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	checkCrashed(t, r, false)
	r.Close()
	if l := openTest(t, dir); l.Stale || l.Rebuilt != "" {
		t.Errorf("stale %v, rebuilt %q", l.Stale, l.Rebuilt)
	}
}
