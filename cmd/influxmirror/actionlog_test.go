package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
)

func newTestLog(t *testing.T, s *influxtest.Server, token string) *actionLog {
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return newActionLog(influx.NewTarget(influx.Options{Side: mirror.TargetSide, URL: u, Org: "lab", Bucket: "Logging",
		Login: func() (influx.Login, error) { return influx.Login{Token: token}, nil }}), slog.New(slog.DiscardHandler))
}

func messages(s *influxtest.Server) (out []string) {
	seen := map[int64]bool{}
	for _, x := range s.Dump("Logging") {
		if seen[x.Time] {
			out = append(out, "two lines of one nanosecond")
		}
		seen[x.Time] = true
		out = append(out, fmt.Sprint(x.Tags, x.Value))
	}
	return out
}

// The bucket is made, lines keep their order, and whatever is in a message is stored as it is.
func TestActionLogWrites(t *testing.T) {
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	l := newTestLog(t, s, "token")
	for range 5 {
		l.add(levelInfo, "Starting mirror of bucket: %s", `a "b" \`)
	}
	if err := l.flush(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	got := messages(s)
	if len(got) != 5 || got[0] != `[{LOG_LEVEL INFO}]Starting mirror of bucket: a "b" \` {
		t.Errorf("stored %q", got)
	}
}

// A token that may only write is enough.
func TestActionLogNeedsNoRead(t *testing.T) {
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	s.CreateBucket("Logging", 0, 0)
	l := newTestLog(t, s, s.CreateToken(nil, []string{"Logging"}))
	l.add(levelDebug, "Unable to ping the remote database.")
	if err := l.flush(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if got := messages(s); len(got) != 1 {
		t.Errorf("stored %q", got)
	}
}

// While the target is away lines are kept up to a bound, the oldest are dropped, and how many is said.
func TestActionLogDropsAndCounts(t *testing.T) {
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	s.CreateBucket("Logging", 0, 0)
	away := s.Fault(influxtest.Writes, influxtest.Status(503, 0, "away"))
	l := newTestLog(t, s, "token")
	for i := range maxActions + 7 {
		l.add(levelInfo, "line %d", i)
	}
	if err := l.flush(t.Context(), time.Second); err == nil || away.Fired() == 0 {
		t.Fatalf("err %v, fired %d", err, away.Fired())
	}
	away.Remove()
	if err := l.flush(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(messages(s), "\n")
	for _, want := range []string{"line 7\n", fmt.Sprintf("line %d", maxActions+6), "7 log lines were dropped"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(all, "line 6\n") {
		t.Error("the oldest lines were kept")
	}
}

// run ends soon after its context, although the target does not answer, and writes what is left when it does.
func TestActionLogFlushesAtExit(t *testing.T) {
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	s.CreateBucket("Logging", 0, 0)
	l := newTestLog(t, s, "token")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { l.run(ctx); close(done) }()
	l.add(levelInfo, "Mirror service shutdown manually.")
	cancel()
	<-done
	if got := messages(s); len(got) != 1 {
		t.Errorf("stored %q", got)
	}
}

// What verify found is a point of its own, at the report's time, whatever the mirror is called; and nobody waits long for a server that does not answer.
func TestActionLogTakesPoints(t *testing.T) {
	s := influxtest.NewServer(influxtest.Options{})
	defer s.Close()
	v := engine.Verdict{Date: 1_700_000_000_000_000_000, Oldest: 1_600_000_000_000_000_000, Rows: map[engine.Row]engine.Tally{engine.Different: {Windows: 1, Samples: 3}}}
	l := newTestLog(t, s, "token")
	names := []string{"lab", `rest/a b,c=d"`, "two\nlines", `ends in \`}
	for _, name := range names {
		l.point(verifyPoint(name, v, verdictDoc{Exit: 4, Result: `NOT "IDENTICAL"`, Sum: 3}))
	}
	l.point(verifyPoint("", v, verdictDoc{})) // no tag can say whose it is
	if err := l.flush(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	fields := map[string]int{}
	for _, x := range s.Dump("Logging") {
		if x.Measurement != "verify" || x.Time != v.Date {
			t.Errorf("stored %v", x)
		}
		if fields[x.Field]++; x.Field == "different" && x.Value != int64(3) || x.Field == "result" && x.Value != `NOT "IDENTICAL"` {
			t.Errorf("stored %v", x)
		}
	}
	if len(fields) != 6+len(engine.Rows) {
		t.Errorf("fields %v", fields)
	}
	for name, n := range fields {
		if n != len(names) {
			t.Errorf("%d points have the field %q", n, name)
		}
	}

	stalled := s.Fault(influxtest.Writes, influxtest.Stall(0))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.point(verifyPoint("lab", v, verdictDoc{}))
	began := time.Now()
	l.run(ctx)
	if took := time.Since(began); stalled.Fired() == 0 || took > actionFlush+time.Second {
		t.Errorf("waited %v; fired %d", took, stalled.Fired())
	}
}
