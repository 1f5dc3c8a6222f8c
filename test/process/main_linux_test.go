package process

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var (
	kills  = flag.Int("kills", 10, "how often the program is killed")
	faults = flag.Int("faults", 8, "how many runs in which a system call fails")
	asleep = flag.Duration("asleep", 2*time.Second, "how long the program, or a server, is stopped before it goes on; a minute and more is longer than every time-out")
	seed   = flag.Uint64("seed", 1, "of everything that is drawn")
)

// program is the built influxmirror.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given { // those that are parallel wait most of the time
		_ = flag.Set("test.parallel", "8")
	}
	dir, err := os.MkdirTemp("", "influxmirror-process-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "influxmirror")
	build := exec.Command("go", "build", "-o", program, "influxmirror/cmd/influxmirror")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("%s%v\n", out, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// missing ends a test that needs what this machine does not have; in CI that is a failure.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}
