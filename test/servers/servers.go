// Package servers runs real InfluxDB servers for tests and benchmarks: one process each, on a free loopback port, in a directory of its own.
//
// It owns the processes and the few administrative calls that set a scene (buckets, tokens, raw HTTP). It knows nothing of influxmirror.
// The binaries come from build.sh, which builds them on first use, and from debian.sh; where there are none, tests are skipped, and in CI they fail.
package servers

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// A Kind says which server to run.
type Kind int

const (
	V2  Kind = iota // InfluxDB 2.7.12
	V1              // InfluxDB 1.13.2
	V16             // InfluxDB 1.6.7, as Debian has it
)

func (k Kind) String() string {
	return [...]string{"influxdb 2.7.12", "influxdb 1.13.2", "influxdb 1.6.7"}[k]
}

// Old reports whether it is a server of the 1.x line: databases and users, no buckets and tokens.
func (k Kind) Old() bool { return k != V2 }

// Auth is an entry of env that makes a 1.x server ask for users. It is set up with the one in Server.User, who may do everything.
const Auth = "INFLUXDB_HTTP_AUTH_ENABLED=true"

// What every server is set up with. On 1.x the bucket is a database of that name with the retention policy "autogen".
const (
	Org    = "lab"
	Bucket = "first"
	token  = "all-access-token-of-the-test-servers"
)

// A Server is one running influxd. Its methods are for one goroutine at a time, except HTTP calls. A method that cannot do what it says
// ends the test that started the server; a server from Run panics instead.
type Server struct {
	Kind     Kind
	URL      string // http://127.0.0.1:PORT, the same after Restart
	Dir      string // data and log
	Token    string // may do everything; empty on 1.x
	User     string // may do everything; empty except on 1.x with Auth, as is Password
	Password string
	Org      string // empty on 1.x, like OrgID
	OrgID    string
	Bucket   string
	BucketID string

	binary string
	addr   string
	env    []string
	client *http.Client
	fail   func(format string, args ...any)

	mu   sync.Mutex
	proc *process // nil while stopped
}

// Start runs a server for one test and ends it with the test. It skips the test when there is no server to run, except with CI=true.
// Entries of env (NAME=value) reach the server: INFLUXD_… on 2.x and INFLUXDB_… on 1.x change its configuration.
func Start(tb testing.TB, kind Kind, env ...string) *Server {
	tb.Helper()
	if _, err := binary(kind); err != nil {
		if os.Getenv("CI") == "true" {
			tb.Fatalf("servers: %v", err)
		}
		tb.Skipf("servers: %v", err)
	}
	s, err := Run(context.Background(), kind, tb.TempDir(), env...)
	if err != nil {
		tb.Fatalf("servers: start %v: %v", kind, err)
	}
	s.fail = func(format string, args ...any) {
		tb.Helper()
		tb.Fatalf(format, args...)
	}
	tb.Cleanup(func() {
		s.Kill()
		s.client.CloseIdleConnections()
		if tb.Failed() {
			tb.Logf("end of the log of %v at %s:\n%s", kind, s.URL, s.LogTail(4096))
		}
	})
	return s
}

// Run starts a server without a test. dir is created when missing and may hold the data of an earlier run; the server is killed when ctx ends.
func Run(ctx context.Context, kind Kind, dir string, env ...string) (*Server, error) {
	bin, err := binary(kind)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &Server{
		Kind: kind, Dir: dir, binary: bin, env: env, Bucket: Bucket,
		client: &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 5 * time.Minute},
		fail:   func(format string, args ...any) { panic("servers: " + fmt.Sprintf(format, args...)) },
	}
	// Between choosing a free port and the server's bind another process may take it.
	for try := 0; ; try++ {
		s.addr, err = freeAddr()
		if err != nil {
			return nil, err
		}
		s.URL = "http://" + s.addr
		err = s.start()
		if err == nil {
			break
		}
		if try == 2 {
			return nil, fmt.Errorf("%w\n%s", err, s.LogTail(2048))
		}
	}
	if err := s.setup(); err != nil {
		s.Kill()
		return nil, err
	}
	context.AfterFunc(ctx, s.Kill)
	return s, nil
}

// LogTail returns the last n bytes of the server's log.
func (s *Server) LogTail(n int64) string {
	b, err := os.ReadFile(filepath.Join(s.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, int64(len(b))-n):])
}
