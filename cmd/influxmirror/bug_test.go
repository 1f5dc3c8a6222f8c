package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/config"
	"influxmirror/internal/mirror"
)

// buggy is a log handler with a bug: it panics at what is told of one mirror.
type buggy struct {
	of     string
	mirror string
	said   *told
}

type told struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (t *told) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func (buggy) Enabled(context.Context, slog.Level) bool { return true }
func (h buggy) WithGroup(string) slog.Handler          { return h }

func (h buggy) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Key == "mirror" {
			h.mirror = a.Value.String()
		}
	}
	return h
}

func (h buggy) Handle(_ context.Context, r slog.Record) error {
	if h.mirror == h.of && strings.HasPrefix(r.Message, "in sync") {
		panic("the token is hidden")
	}
	h.said.mu.Lock()
	defer h.said.mu.Unlock()
	fmt.Fprintf(&h.said.b, "%s: %s\n", h.mirror, r.Message)
	return nil
}

// A bug stops its mirror. The others of a service go on; a service of that mirror alone ends, so that its manager starts it again.
func TestBugOfOneMirror(t *testing.T) {
	src, dst := influxtest.NewServer(influxtest.Options{}), influxtest.NewServer(influxtest.Options{})
	defer src.Close()
	defer dst.Close()
	for _, name := range []string{"a", "b"} {
		src.CreateBucket(name, 0, 0)
		dst.CreateBucket(name, 0, 0)
		src.Write(name, "m v=1 1700000000000000000")
	}
	for _, mirrors := range []string{"ab", "a"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "influxmirror.yaml")
		text := fmt.Sprintf("endpoints:\n  station: {url: %s, org: lab, token: token}\n  home: {url: %s, org: lab, token: token}\nlog_bucket: none\nstate_dir: %s\nmirrors:\n", src.URL, dst.URL, dir)
		for _, m := range mirrors {
			text += fmt.Sprintf("  - {name: %c, from: \"station:%c\", to: \"home:%c\", wait: 1s}\n", m, m, m)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a := newApp(strings.NewReader(""), io.Discard, io.Discard, os.LookupEnv)
		said := &told{}
		a.log = slog.New(buggy{of: "a", said: said})
		a.flags.config, a.flags.stateDir = path, filepath.Join(dir, "state")
		watcher := config.NewWatcher(path, a.env)
		cfg, _, err := watcher.Poll()
		if err != nil {
			t.Fatal(err)
		}
		s, err := a.open(cfg, writes)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		ended := make(chan error, 1)
		go func() { ended <- (&service{site: s, watcher: watcher}).serve(ctx) }()
		if mirrors == "a" {
			err := <-ended
			if code := codeOf(err); code != exitBlocked || !errors.As(err, new(*mirror.Panic)) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("the service ended with %d: %v", code, err)
			}
		} else {
			for ; !strings.Contains(said.String(), "b: in sync") || !strings.Contains(said.String(), "mirror a was stopped by a bug"); time.Sleep(10 * time.Millisecond) {
				if len(ended) > 0 || ctx.Err() != nil {
					t.Fatalf("it ended, or hangs:\n%s", said)
				}
			}
			before := len(src.Requests())
			src.Write("b", "m v=2 1700000000000000001")
			for ; len(dst.Dump("b")) < 2; time.Sleep(10 * time.Millisecond) {
				if len(ended) > 0 || ctx.Err() != nil {
					t.Fatalf("the other mirror does not go on: %d requests\n%s", len(src.Requests())-before, said)
				}
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		cancel()
		s.close()
		if strings.Contains(said.String(), "hidden") {
			t.Errorf("it tells a value:\n%s", said)
		}
	}
}
