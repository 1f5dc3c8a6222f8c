package influxtest

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/influxdata/influxql"
)

// debugVars prints the statistics of 1.x, as it does for everyone who asks.
func (s *Server) debugVars(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	vars := map[string]any{"system": map[string]any{"currentTime": s.now().UTC().Format(time.RFC3339Nano), "started": s.started.UTC().Format(time.RFC3339Nano), "uptime": int(s.now().Sub(s.started).Seconds())}}
	for _, b := range s.buckets {
		for _, g := range b.groups {
			tags, values := map[string]string{}, map[string]any{}
			for _, t := range g.tags(b) {
				tags[t.Key] = t.Value
			}
			for i, name := range statNames {
				values[name] = g.stats()[i]
			}
			vars[fmt.Sprintf("shard:%s:%d", tags["path"], g.id)] = map[string]any{"name": "shard", "tags": tags, "values": values}
		}
	}
	reply(w, http.StatusOK, vars)
}

// The counters of a shard that are kept here.
var statNames = []string{"writePointsErr", "writePointsOk", "writeReq"}

func (g *group) stats() []any { return []any{int64(0), int64(g.points), int64(g.requests)} }

func (g *group) tags(b *bucket) []Tag {
	return []Tag{{"database", b.db}, {"engine", "tsm1"}, {"id", fmt.Sprint(g.id)}, {"indexType", "inmem"}, {"path", fmt.Sprintf("/data/%s/%d", b.id, g.id)}, {"retentionPolicy", b.rp}}
}

func (ses *session) showStats(st *influxql.ShowStatsStatement) ([]rows, error) {
	if st.Module != "shard" {
		return nil, fmt.Errorf("influxtest: no %s here", st)
	}
	var out []rows
	for _, b := range ses.s.buckets {
		for _, g := range b.groups {
			out = append(out, rows{name: "shard", tags: g.tags(b), columns: slices.Clone(statNames), values: [][]any{g.stats()}})
		}
	}
	return out, nil
}

func (ses *session) showDiagnostics(st *influxql.ShowDiagnosticsStatement) ([]rows, error) {
	if st.Module != "system" {
		return nil, fmt.Errorf("influxtest: no %s here", st)
	}
	s := ses.s
	return []rows{{name: "system", columns: []string{"PID", "currentTime", "started", "uptime"},
		values: [][]any{{int64(1), s.now().UTC(), s.started.UTC(), s.now().Sub(s.started).String()}}}}, nil
}
