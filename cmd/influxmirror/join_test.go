package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/config"
)

// TestJoin: a service asks its sources again, takes what is new, and says each thing once.
func TestJoin(t *testing.T) {
	src := influxtest.NewServer(influxtest.Options{})
	defer src.Close()
	src.CreateBucket("AC_1", 0, 0)
	src.CreateBucket("Logging", 0, 0)
	dir := t.TempDir()
	path := filepath.Join(dir, "influxmirror.yaml")
	text := fmt.Sprintf(`
endpoints:
  station: {url: %s, org: lab, token: token}
  home: {url: http://127.0.0.1:1, org: lab, token: token}
mirrors:
  - {name: rest, from: station, to: home, buckets: ["AC_*", "L*"]}
  - {name: none, from: station, to: home, buckets: ["X*"]}
state_dir: %s
`, src.URL, dir)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	a := newApp(strings.NewReader(""), io.Discard, io.Discard, os.LookupEnv)
	var said bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a.flags.config, a.flags.stateDir = path, filepath.Join(dir, "state")
	cfg, err := a.load()
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.open(cfg, writes)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var started []string
	j := &joiner{site: s, outages: &outages{log: a.log, now: time.Now, all: map[string]*outage{}}, running: map[string]bool{}, said: map[string]bool{},
		due: map[*config.Endpoint]time.Time{}, start: func(m *config.Mirror) error { started = append(started, m.Name); return nil }}
	e := cfg.Endpoint("station")
	for _, step := range []struct {
		before  func()
		started string
		pause   time.Duration
		says    []string
	}{
		{nil, "rest/AC_1", listEvery, []string{"bucket AC_1 of station joins", "rest: bucket Logging is left out: it is a log bucket", "level=WARN msg=\"none: no bucket fits its buckets"}},
		{nil, "rest/AC_1", listEvery, nil},
		{func() { src.CreateBucket("AC_2", 0, 0); src.DeleteBucket("AC_1") }, "rest/AC_1 rest/AC_2", listEvery, []string{"bucket AC_2 of station joins"}},
		{func() { src.Close() }, "rest/AC_1 rest/AC_2", 30 * time.Second, []string{"refused; retry in 30 s; nothing lost"}},
		{nil, "rest/AC_1 rest/AC_2", 30 * time.Second, nil},
	} {
		if step.before != nil {
			step.before()
		}
		said.Reset()
		if err := j.ask(context.Background(), e); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(started, " "); got != step.started {
			t.Errorf("started %s, want %s", got, step.started)
		}
		if d := time.Until(j.due[e]); d > step.pause || d < step.pause-10*time.Second {
			t.Errorf("asks again in %s", d)
		}
		for _, want := range step.says {
			if !strings.Contains(said.String(), want) {
				t.Errorf("%q is missing in\n%s", want, said.String())
			}
		}
		if step.says == nil && said.Len() > 0 {
			t.Errorf("said again:\n%s", said.String())
		}
	}
}
