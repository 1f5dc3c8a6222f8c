package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// What doctor says of rights on a real server, and that asking stores nothing: no counter of a shard moves, and no state is made.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := sceneOfProcess(t)
	history(s, 2)
	before := [2]int64{written(t, s.src, s.srcID), written(t, s.dst, s.dstID)}
	find := func(want int, check string) (state, found string) {
		t.Helper()
		out := s.run(want, "doctor", "--json")
		var doc struct {
			Checks []struct{ Mirror, Check, State, Found string }
		}
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, c := range doc.Checks {
			if c.Mirror == "m" && c.Check == check {
				state, found = c.State, c.Found // the last says what may be written
			}
		}
		return state, found
	}
	if state, found := find(0, "source"); state != "warn" || !strings.Contains(found, "can write to the source") {
		t.Errorf("an all-access token: %s %s", state, found)
	}
	s.srcToken = s.src.CreateToken([]string{s.srcID}, nil)
	if state, found := find(0, "source"); state != "ok" || !strings.Contains(found, "cannot write there") {
		t.Errorf("a token that reads: %s %s", state, found)
	}
	s.dstToken = s.dst.CreateToken([]string{s.dstID}, nil)
	if state, found := find(7, "target"); state != "fail" || !strings.Contains(found, "may not write it") {
		t.Errorf("a target's token that reads: %s %s", state, found)
	}
	s.dstToken = s.dst.CreateToken(nil, []string{s.dstID})
	if state, found := find(7, "target"); state != "fail" || !strings.Contains(found, "exists, and the token may not read it") {
		t.Errorf("a target's token that writes: %s %s", state, found)
	}
	s.dstToken = s.dst.CreateToken([]string{s.dstID}, []string{s.dstID})
	if state, found := find(0, "target"); state != "ok" {
		t.Errorf("a target's token that may both: %s %s", state, found)
	}
	t.Log(s.run(0, "doctor"))
	if after := [2]int64{written(t, s.src, s.srcID), written(t, s.dst, s.dstID)}; after != before {
		t.Errorf("points asked to be written: %v before, %v after", before, after)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("doctor made the state directory: %v", err)
	}
}
