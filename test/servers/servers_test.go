package servers_test

import (
	"strings"
	"testing"
	"time"

	"influxmirror/test/servers"
)

// A server keeps what it acknowledged over kill -9, at the same address.
func TestRestart(t *testing.T) {
	for _, kind := range []servers.Kind{servers.V2, servers.V1, servers.V16} {
		t.Run(kind.String(), func(t *testing.T) {
			s := servers.Start(t, kind)
			id := s.CreateBucket("b", 0, 24*time.Hour)
			s.Write("b", "m v=1i 1")
			s.Pause()
			s.Resume()
			if s.CPUTime() == 0 && kind != servers.V16 || s.PID() == 0 { // the old server needs less than one step of the clock
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

// With Auth a 1.x server knows its first user, and others only as far as they were granted.
func TestUsers(t *testing.T) {
	for _, kind := range []servers.Kind{servers.V1, servers.V16} {
		t.Run(kind.String(), func(t *testing.T) {
			s := servers.Start(t, kind, servers.Auth)
			s.CreateBucket("b", 0, 24*time.Hour)
			s.CreateBucket("b/other", 0, 48*time.Hour)
			s.Write("b", "m v=1i 1")
			s.Write("b/other", "m v=2i 1")
			s.CreateUser("reader", "it's", "READ b")
			s.Restart()
			for db, want := range map[string]string{"SELECT v FROM m": "[1,1]", "SELECT v FROM other.m": "[1,2]"} {
				if a := s.Query("b", db); !strings.Contains(a, want) {
					t.Errorf("%s: %s", db, a)
				}
			}
			s.User, s.Password = "reader", "it's"
			if a := s.Query("b", "SELECT v FROM m"); !strings.Contains(a, "[1,1]") {
				t.Errorf("the reader reads %s", a)
			}
			if a, err := s.Do("POST", "/write?db=b", "m v=1i 2"); err != nil || a.Status != 403 {
				t.Errorf("the reader writes: %d %s %v", a.Status, a.Body, err)
			}
		})
	}
}
