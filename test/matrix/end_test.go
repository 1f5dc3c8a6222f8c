package matrix

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"influxmirror/internal/archive"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
	"influxmirror/test/proxy"
	"influxmirror/test/servers"
)

// An end is a bucket on a server or a directory, made for one cell.
type end struct {
	kind
	on     *servers.Server
	bucket string
	id     string
	path   string       // of a directory
	proxy  *proxy.Proxy // before the server, or nil
}

// made numbers buckets and directories.
var made atomic.Int64

// options of a bucket that is made.
type bucket struct {
	retention time.Duration
	group     time.Duration // 0: seven days
}

// newEnd makes a bucket on the server of this name, or a directory.
func newEnd(t *testing.T, k kind, server string, b bucket) *end {
	t.Helper()
	e := &end{kind: k}
	if b.group == 0 {
		b.group = 7 * 24 * time.Hour
	}
	if k.dir {
		e.path = filepath.Join(t.TempDir(), "archive")
		a := archive.New(archive.Options{Dir: e.path})
		if err := errors.Join(a.CreateBucket(t.Context(), 0, b.group), a.Close()); err != nil {
			t.Fatal(err)
		}
		return e
	}
	s, err := shared.server(k, server)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	e.on, e.bucket = s, fmt.Sprintf("cell %d", made.Add(1))
	e.id = s.CreateBucket(e.bucket, b.retention, b.group)
	t.Cleanup(e.drop)
	return e
}

// drop removes the bucket: what many cells leave behind slows a server down.
func (e *end) drop() {
	if e.server.Old() {
		e.on.Query("", fmt.Sprintf("DROP DATABASE %q", e.bucket))
		return
	}
	_, _ = e.on.Do("DELETE", "/api/v2/buckets/"+e.id, "")
}

func (e *end) String() string {
	if e.dir {
		return "dir"
	}
	return fmt.Sprintf("%s %q", e.name, e.bucket)
}

// load writes points into a bucket.
func (e *end) load(t testing.TB, points []string) {
	t.Helper()
	if err := dataset.Load(e.on, e.bucket, points); err != nil {
		t.Fatal(err)
	}
}

// holds reads everything, through the oracle.
func (e *end) holds(t testing.TB, within oracle.Span) oracle.Contents {
	t.Helper()
	var c oracle.Contents
	var err error
	if e.dir {
		c, err = oracle.ReadDir(e.path, within)
	} else {
		c, err = oracle.Read(e.on, e.bucket, within)
	}
	if err != nil {
		t.Fatalf("%v: %v", e, err)
	}
	return c
}

// between puts a proxy before the server.
func (e *end) between(t *testing.T) *proxy.Proxy {
	t.Helper()
	p, err := proxy.New(strings.TrimPrefix(e.on.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	e.proxy = p
	return p
}

func (e *end) options(side mirror.Side) (influx.Options, error) {
	at := e.on.URL
	if e.proxy != nil {
		at = "http://" + e.proxy.Addr()
	}
	u, err := url.Parse(at)
	token := e.on.Token
	return influx.Options{Side: side, URL: u, Org: e.on.Org, Bucket: e.bucket, Login: func() (influx.Login, error) { return influx.Login{Token: token}, nil }}, err
}

// source opens the end to be read; done closes it.
func (e *end) source() (_ engine.Source, done func() error, _ error) {
	if e.dir {
		a := archive.New(archive.Options{Side: mirror.SourceSide, Dir: e.path})
		return a, a.Close, nil
	}
	o, err := e.options(mirror.SourceSide)
	c := influx.New(o)
	return c, closing(c.Close), err
}

// target opens the end to be written; done closes it.
func (e *end) target() (_ engine.Target, done func() error, _ error) {
	if e.dir {
		a := archive.New(archive.Options{Side: mirror.TargetSide, Dir: e.path})
		return a, a.Close, nil
	}
	o, err := e.options(mirror.TargetSide)
	c := influx.NewTarget(o)
	return c, closing(c.Close), err
}

func closing(fn func()) func() error {
	return func() error {
		fn()
		return nil
	}
}
