package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"influxmirror/influxtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"influxmirror": func() { os.Exit(Main(os.Args[1:])) }})
}

// TestScripts runs the command lines of testdata against servers in memory, three of InfluxDB 2 and one of 1.x, each with a bucket named lab.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			for _, side := range []string{"src", "dst", "third", "old"} {
				version := influxtest.V2
				if side == "old" {
					version = influxtest.V1
				}
				s := influxtest.NewServer(influxtest.Options{Version: version})
				e.Defer(s.Close)
				e.Values[side] = s
				e.Setenv(strings.ToUpper(side), s.URL)
				e.Setenv(strings.ToUpper(side)+"ALIAS", strings.Replace(s.URL, "127.0.0.1", "localhost", 1))
				e.Setenv(strings.ToUpper(side)+"_PORT", s.URL[strings.LastIndexByte(s.URL, ':')+1:])
				s.CreateBucket("lab", 0, 7*24*time.Hour)
			}
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("XDG_STATE_HOME", e.WorkDir+"/xdg")
			e.Setenv("D", "$") // for a literal one in files that are expanded
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":    exits,
			"write":    write,
			"bucket":   bucket,
			"retain":   retain,
			"drop":     drop,
			"rename":   rename,
			"token":    token,
			"dbrp":     dbrp,
			"same":     same,
			"wrote":    wrote,
			"restrict": restrict,
			"mode":     hasMode,
			"expand":   expand,
			"stopped":  stopped,
			"restart":  restart,
			"until":    until,
			"holds":    holds,
		},
	})
}

func server(ts *testscript.TestScript, side string) *influxtest.Server {
	s, ok := ts.Value(side).(*influxtest.Server)
	if !ok {
		ts.Fatalf("no server %q", side)
	}
	return s
}

// exits CODE influxmirror ARGS… checks the exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		e := (*exec.ExitError)(nil)
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		got = e.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit %d, want %d", got, want)
	}
	for _, stream := range []string{"stdout", "stderr"} {
		if strings.Contains(ts.ReadFile(stream), "Token ") {
			ts.Fatalf("%s holds a token", stream)
		}
	}
}

// write SIDE BUCKET FILE stores lines past HTTP.
func write(ts *testscript.TestScript, _ bool, args []string) {
	server(ts, args[0]).Write(args[1], ts.ReadFile(args[2]))
}

// bucket SIDE NAME [RETENTION] makes a bucket.
func bucket(ts *testscript.TestScript, _ bool, args []string) {
	retention := time.Duration(0)
	if len(args) > 2 {
		var err error
		retention, err = time.ParseDuration(args[2])
		ts.Check(err)
	}
	server(ts, args[0]).CreateBucket(args[1], retention, 7*24*time.Hour)
}

// retain SIDE BUCKET RETENTION SHARDGROUP changes a bucket.
func retain(ts *testscript.TestScript, _ bool, args []string) {
	retention, err := time.ParseDuration(args[2])
	ts.Check(err)
	group, err := time.ParseDuration(args[3])
	ts.Check(err)
	server(ts, args[0]).UpdateBucket(args[1], retention, group)
}

// drop SIDE BUCKET [samples] removes a bucket, or all that it holds.
func drop(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) > 2 {
		server(ts, args[0]).Delete(args[1], "", -1<<62, 1<<62)
		return
	}
	server(ts, args[0]).DeleteBucket(args[1])
}

// rename SIDE BUCKET NAME
func rename(ts *testscript.TestScript, _ bool, args []string) {
	server(ts, args[0]).RenameBucket(args[1], args[2])
}

// token SIDE VARIABLE READ,… WRITE,… makes a token for buckets; "-" is none.
func token(ts *testscript.TestScript, _ bool, args []string) {
	list := func(s string) []string {
		if s == "-" {
			return nil
		}
		return strings.Split(s, ",")
	}
	ts.Setenv(args[1], server(ts, args[0]).CreateToken(list(args[2]), list(args[3])))
}

// dbrp SIDE DB BUCKET maps the name DB of /query to a bucket, as its default.
func dbrp(ts *testscript.TestScript, _ bool, args []string) {
	server(ts, args[0]).CreateDBRP(args[1], "autogen", args[2], true)
}

// same BUCKET BUCKET [SIDE SIDE] compares what the source's and the target's bucket hold.
func same(ts *testscript.TestScript, neg bool, args []string) {
	sides := append(args[2:], "src", "dst")
	a, b := server(ts, sides[0]).Dump(args[0]), server(ts, sides[1]).Dump(args[1])
	if reflect.DeepEqual(a, b) == neg {
		ts.Fatalf("source %d samples, target %d samples\n%v\n%v", len(a), len(b), a, b)
	}
}

// wrote SIDE checks that a server was asked to store points since the last time; ! wrote, that it was not.
func wrote(ts *testscript.TestScript, neg bool, args []string) {
	n := 0
	for _, r := range server(ts, args[0]).Requests() {
		if r.Wrote && r.Query.Get("bucket") != "Logging" {
			n++
		}
	}
	server(ts, args[0]).ForgetRequests()
	if (n == 0) != neg {
		ts.Fatalf("%d writes", n)
	}
}

// restrict FILE MODE
func restrict(ts *testscript.TestScript, _ bool, args []string) {
	mode, err := strconv.ParseUint(args[1], 8, 32)
	ts.Check(err)
	ts.Check(os.Chmod(ts.MkAbs(args[0]), os.FileMode(mode)))
}

// mode FILE MODE checks a file's mode.
func hasMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[1] {
		ts.Fatalf("%s has mode %s, want %s", args[0], got, args[1])
	}
}

// expand FILE… replaces $VARIABLES in files and makes them private.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
		ts.Check(os.Chmod(ts.MkAbs(name), 0o600))
	}
}

// stopped SIDE ends a server.
func stopped(ts *testscript.TestScript, _ bool, args []string) { server(ts, args[0]).Close() }

// restart SIDE restarts a server.
func restart(ts *testscript.TestScript, _ bool, args []string) { server(ts, args[0]).Restart() }

// until SIDE BUCKET TEXT waits until a bucket holds a sample whose print holds TEXT.
func until(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		var all []influxtest.Sample
		if _, err := findBucket(server(ts, args[0]), args[1]); err == nil {
			all = server(ts, args[0]).Dump(args[1])
		}
		if strings.Contains(fmt.Sprint(all), args[2]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no %q in %v", args[2], all)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// holds SIDE BUCKET TEXT… checks that the print of a bucket's samples holds every text; ! holds, that it holds none.
func holds(ts *testscript.TestScript, neg bool, args []string) {
	all := fmt.Sprint(server(ts, args[0]).Dump(args[1]))
	for _, text := range args[2:] {
		if strings.Contains(all, text) == neg {
			ts.Fatalf("%q in %s", text, all)
		}
	}
}

// findBucket reports whether a bucket exists; Dump panics for one that does not.
func findBucket(s *influxtest.Server, name string) (found bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	s.Dump(name)
	return true, nil
}
