package security

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A service goes on where nobody reads what it says, or where there is no room for it, and still ends with 0: P7, L17.
func TestNobodyReads(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, c := range []struct {
		name string
		set  func(cmd *exec.Cmd) (after func())
	}{
		{"pipes that are closed", func(cmd *exec.Cmd) func() {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout, cmd.Stderr = w, w
			return func() { r.Close(); w.Close() }
		}},
		{"a full disk", func(cmd *exec.Cmd) func() { cmd.Stdout, cmd.Stderr = full, full; return func() {} }},
		{"no streams at all", func(cmd *exec.Cmd) func() {
			cmd.Args[2] = `umask 0; exec "$0" "$@" <&- >&- 2>&-`
			return func() {}
		}},
	} {
		for _, format := range []string{"text", "json"} {
			t.Run(c.name+", "+format, func(t *testing.T) {
				p := newPlace(t)
				p.src.Write("lab", "cpu load=1 1700000000000000000\n")
				cmd := p.command("run", "-v", "--log-format", format)
				after := c.set(cmd)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				after()
				has := func(n int) {
					t.Helper()
					for until := time.Now().Add(20 * time.Second); len(p.dst.Dump("lab")) < n; time.Sleep(10 * time.Millisecond) {
						if time.Now().After(until) {
							t.Fatalf("%d samples arrived, want %d", len(p.dst.Dump("lab")), n)
						}
					}
				}
				has(1)
				p.src.Write("lab", "cpu load=2 1700000001000000000\n")
				has(2)
				_ = cmd.Process.Signal(syscall.SIGTERM)
				if err := cmd.Wait(); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// A command whose result nobody takes says so by its exit, and breaks nothing.
func TestNobodyTakesTheResult(t *testing.T) {
	p := newPlace(t)
	p.src.Write("lab", "cpu load=1 1700000000000000000\n")
	for _, args := range [][]string{{"sync"}, {"status", "--json"}, {"verify"}, {"plan"}} {
		cmd := p.command(args...)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var errs strings.Builder
		cmd.Stdout, cmd.Stderr = w, &errs
		r.Close()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		_ = cmd.Wait()
		if strings.Contains(errs.String(), "panic") {
			t.Errorf("%v: %s", args, &errs)
		}
	}
	if said := p.want(0, "verify"); !strings.Contains(said, "IDENTICAL") {
		t.Error(said)
	}
}
