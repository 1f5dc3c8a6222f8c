package servers_test

import (
	"strings"
	"testing"
	"time"

	"influxmirror/test/servers"
)

// A server keeps what it acknowledged over kill -9, at the same address.
func TestRestart(t *testing.T) {
	for _, kind := range []servers.Kind{servers.V2, servers.V1} {
		t.Run(kind.String(), func(t *testing.T) {
			s := servers.Start(t, kind)
			id := s.CreateBucket("b", 0, 24*time.Hour)
			s.Write("b", "m v=1i 1")
			s.Pause()
			s.Resume()
			if s.CPUTime() == 0 || s.PID() == 0 {
				t.Error("no process to measure")
			}
			s.Kill()
			if s.PID() != 0 {
				t.Error("still there after Kill")
			}
			s.Restart()
			if a := s.Query("b", "SELECT v FROM m"); !strings.Contains(a, "[1,1]") {
				t.Errorf("after kill -9: %s", a)
			}
			if kind == servers.V2 {
				a, err := s.Do("GET", "/api/v2/buckets?name=b", "", "Authorization", "Token "+s.CreateToken([]string{id}, nil))
				if err != nil || a.Status != 200 || !strings.Contains(string(a.Body), id) {
					t.Errorf("a read token does not see its bucket: %d %s %v", a.Status, a.Body, err)
				}
			}
		})
	}
}
