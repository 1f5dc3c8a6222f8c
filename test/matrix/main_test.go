// Package matrix mirrors between every two kinds of ends - InfluxDB 1.6.7, 1.13.2 and 2.7.12 as real servers, and a directory - through
// one list of scenarios, and has the oracle judge each: sample by sample, beside what the program says of itself.
//
// What a cell shows is printed in README.md, from here. A plain run lives through a choice of cells with one seed; with -all it is every
// scenario in every direction, with -seed N other values, names and times.
package matrix

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"influxmirror/test/servers"
)

var (
	seed   = flag.Uint64("seed", 1, "what values, names and times are drawn from")
	all    = flag.Bool("all", false, "every scenario in every direction")
	update = flag.Bool("update", false, "rewrite the table in README.md")
)

// A kind of end.
type kind struct {
	name   string
	server servers.Kind // of a server
	dir    bool
}

var (
	v16   = kind{name: "1.6.7", server: servers.V16}
	v1    = kind{name: "1.13.2", server: servers.V1}
	v2    = kind{name: "2.7.12", server: servers.V2}
	dir   = kind{name: "dir", dir: true}
	kinds = []kind{v16, v1, v2, dir}
)

// unsigned reports whether an end of this kind can hold integers without sign.
func (k kind) unsigned() bool { return k.dir || k.server == servers.V2 }

// park runs servers for as long as the tests run, each started when it is first asked for.
type park struct {
	ctx  context.Context
	root string

	mu      sync.Mutex
	running map[string]*slot
}

type slot struct {
	once   sync.Once
	server *servers.Server
	err    error
}

var shared = park{running: map[string]*slot{}}

// server is the one server of this name; the first to ask waits for it.
func (p *park) server(k kind, name string) (*servers.Server, error) {
	name = k.name + " " + name
	p.mu.Lock()
	s := p.running[name]
	if s == nil {
		s = &slot{}
		p.running[name] = s
	}
	p.mu.Unlock()
	s.once.Do(func() { s.server, s.err = servers.Run(p.ctx, k.server, fmt.Sprintf("%s/%s", p.root, name)) })
	return s.server, s.err
}

func (p *park) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.running {
		if s.server != nil {
			s.server.Kill()
		}
	}
}

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given { // the servers are what is waited for
		_ = flag.Set("test.parallel", "8")
	}
	ctx, cancel := context.WithCancel(context.Background())
	root, err := os.MkdirTemp("", "influxmirror-matrix-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shared.ctx, shared.root = ctx, root
	code := m.Run()
	cancel()
	shared.close()
	os.RemoveAll(root)
	os.Exit(code)
}
