package matrix

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
)

// cutLike makes a 2.7.12 bucket cut the shard groups of the torture set's mixed week like its source did. seedsOnly leaves out all points
// but one a day.
func (e *end) cutLike(t *testing.T, w dataset.Torture, seedsOnly bool) {
	t.Helper()
	for _, step := range []func() error{
		func() error { return dataset.GroupDuration(e.on, e.id, 24*time.Hour) },
		func() error { return dataset.Load(e.on, e.bucket, w.ByDay(seedsOnly)) },
		func() error { return dataset.GroupDuration(e.on, e.id, 7*24*time.Hour) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}

// restore posts what zstdcat prints of an archive, as it is.
func (e *end) restore(t *testing.T, lines []byte) {
	t.Helper()
	path := "/api/v2/write?" + url.Values{"org": {e.on.Org}, "bucket": {e.bucket}}.Encode()
	if e.server.Old() {
		path = "/write?" + url.Values{"db": {e.bucket}}.Encode()
	}
	for try := 0; ; try++ {
		a, err := e.on.Do("POST", path, string(lines))
		if err == nil && a.Status == 204 {
			return
		}
		// A server takes more than its own ten seconds to make many shard groups.
		if try == 5 || err != nil || a.Status != 500 || !strings.Contains(string(a.Body), "timeout") {
			t.Fatalf("%v: %d %.300s %v", e, a.Status, a.Body, err)
		}
	}
}

func (e *end) equals(t *testing.T, truth oracle.Contents) {
	t.Helper()
	got := e.holds(t, oracle.Always)
	if d := oracle.Compare(truth, got); !d.None() {
		t.Errorf("%v:", e)
		d.Report(t, truth, got)
	}
}

// Everything that a server lets one write goes through a directory as if it had gone straight, and comes out of it without us.
func TestArchiveOfEverything(t *testing.T) {
	t.Parallel()
	w := dataset.NewTorture().Light()
	origin, straight, through, restored := newEnd(t, v2, "source", bucket{}), newEnd(t, v2, "target", bucket{}), newEnd(t, v2, "target", bucket{}), newEnd(t, v2, "target", bucket{})
	middle := newEnd(t, dir, "", bucket{})
	origin.cutLike(t, w, false)
	for _, e := range []*end{straight, through, restored} {
		e.cutLike(t, w, true)
	}
	origin.load(t, w.Points())
	origin.load(t, w.Late())
	truth := origin.holds(t, oracle.Always)
	if len(truth) < 10_000 {
		t.Fatalf("void: %d samples", len(truth))
	}
	for _, h := range []*hop{newHop(t, origin, middle), newHop(t, origin, straight), newHop(t, middle, through)} {
		h.settle()
		h.verify(0, 0)
		h.quiet()
		h.target.equals(t, truth)
	}
	lines, err := oracle.Unpacked(middle.path)
	if err != nil {
		t.Fatal(err)
	}
	restored.restore(t, lines)
	restored.equals(t, truth)
}

// The archive of a 1.x server, which has no integers without sign, is restored into either line of servers without us.
func TestArchiveOfOldServer(t *testing.T) {
	t.Parallel()
	c := newCell(t, v1, dir, sides{})
	c.begin()
	c.settle()
	c.check()
	truth := c.origin.holds(t, oracle.Always)
	lines, err := oracle.Unpacked(c.target.path)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []kind{v16, v1, v2} {
		e := newEnd(t, k, "target", bucket{})
		e.restore(t, lines)
		e.equals(t, truth)
	}
}
