package e2e

import (
	"testing"
	"time"

	"influxmirror/test/oracle/dataset"
	"influxmirror/test/servers"
)

const (
	minute = dataset.Minute
	hour   = dataset.Hour
	day    = dataset.Day
	week   = dataset.Week
)

type torture = dataset.Torture

var (
	point      = dataset.Point
	text       = dataset.Text
	monday     = dataset.Monday
	newTorture = dataset.NewTorture
)

// load writes points, all of them.
func load(s *servers.Server, bucket string, points []string) {
	if err := dataset.Load(s, bucket, points); err != nil {
		panic(err)
	}
}

// groupDuration changes how a bucket cuts new shard groups.
func groupDuration(t testing.TB, s *servers.Server, id string, d time.Duration) {
	t.Helper()
	if err := dataset.GroupDuration(s, id, d); err != nil {
		t.Fatal(err)
	}
}

// fill writes the torture bucket, and cuts the target's groups in the mixed week like the source's.
func fill(s *scene, w torture) {
	for _, e := range []struct {
		server *servers.Server
		id     string
		seeds  bool
	}{{s.src, s.srcID, false}, {s.dst, s.dstID, true}} {
		groupDuration(s.t, e.server, e.id, 24*time.Hour)
		load(e.server, s.bucket, w.ByDay(e.seeds))
		groupDuration(s.t, e.server, e.id, 7*24*time.Hour)
	}
	load(s.src, s.bucket, w.Points())
	load(s.src, s.bucket, w.Late())
}
