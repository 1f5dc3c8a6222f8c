package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// showing runs a demo as Main does, with a temporary directory of its own.
func showing(t *testing.T, ctx context.Context, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out, err bytes.Buffer
	env := map[string]string{"INFLUXMIRROR_STATE_DIR": filepath.Join(dir, "not-ours")}
	a := newApp(strings.NewReader(""), &out, &err, func(k string) (string, bool) { v, ok := env[k]; return v, ok })
	code = a.execute(ctx, append([]string{"demo"}, args...))
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	return code, out.String(), err.String()
}

func TestDemo(t *testing.T) {
	code, out, stderr := showing(t, t.Context(), "--for", "5s")
	if code != 0 || stderr != "" {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
	for _, want := range []string{
		"  instrument  overwrites a number of ", "  instrument  3 late points of ", "  instrument  a point of ", " ahead: a clock is wrong",
		"  instrument  overwrites a string of ", "  instrument  20 late points of ",
		"  link        broke in the middle of an answer", "  link        back after ",
		"  mirror      future   ", "  mirror      changed  ", "  mirror      would be lost now: ",
		"\n  DIFFERENT  ", "   adds up\nRESULT  IDENTICAL.   exit 0\n\nThe link failed ", "influxmirror run does it.\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q", want)
		}
	}
	if t.Failed() || strings.Contains(out, "\x1b") {
		t.Errorf("output:\n%s", out)
	}
}

// An interrupt ends the writing and not the proof.
func TestDemoEndsEarly(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	code, out, stderr := showing(t, ctx, "--for", "30s", "--json")
	var d verdictDoc
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != 0 || d.Result != "IDENTICAL" || !d.AddsUp {
		t.Errorf("exit %d, %v, %s\n%s", code, err, out, stderr)
	}
}

// A demo in which nothing happened does not end well.
func TestDemoShowsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, out, stderr := showing(t, ctx)
	if code != exitError || !strings.Contains(stderr, "influxmirror: the link never failed") || !strings.Contains(out, "exit 1") {
		t.Errorf("exit %d, stderr %q\n%s", code, stderr, out)
	}
	if code, _, stderr := showing(t, t.Context(), "--for", "1ms"); code != exitUsage || !strings.Contains(stderr, "between 1 s and 1 h") {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
}
