package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestManyMirrors: a thousand mirrors are checked in a moment.
func TestManyMirrors(t *testing.T) {
	var b strings.Builder
	b.WriteString(small[:strings.Index(small, "mirrors:")] + "mirrors:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "  - {name: m%d, from: station:b%d, to: home:b%d}\n", i, i, i)
	}
	for i := range 20 {
		fmt.Fprintf(&b, "  - {name: p%d, from: station, to: home, buckets: [\"x%d*\", \"*y%d\"]}\n", i, i, i)
	}
	began := time.Now()
	if _, err := loadText(t, b.String(), home); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("took %s", took)
	} else {
		t.Log(took)
	}
}
