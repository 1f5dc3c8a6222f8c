package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// access is what a command needs of the ledger.
type access int

const (
	reads  access = iota // beside a process that writes, and without leaving a trace
	writes               // alone
	either               // writes, or only reads where another process writes
)

// site is a config with its state.
type site struct {
	*app
	cfg     *config.Config
	dir     string
	lock    *ledger.Lock   // nil: only reading
	ledger  *ledger.Ledger // nil where nothing is remembered yet and this command only reads
	gate    *engine.Gate
	binding *sync.Mutex                           // taken while a mirror is bound to its proofs
	adhoc   bool                                  // between two addresses, not of a config
	until   int64                                 // nothing at or after it is asked for; 0: everything
	part    bool                                  // not everything is asked for, in this call
	begin   int                                   // exit code of what went wrong before the first mirror
	listed  map[*config.Endpoint][]config.Listing // what sources were asked for; one goroutine uses it
}

// lanes is how many Chunks of history are under way at once in all mirrors.
const lanes = 2

// load reads the config and says what it warns about.
func (a *app) load() (*config.Config, error) {
	path, err := config.Find(a.flags.config)
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	cfg, err := config.Load(path, a.env)
	if err != nil {
		return nil, withCode(exitUsage, err)
	}
	a.warnings(cfg)
	return cfg, nil
}

func (a *app) warnings(cfg *config.Config) {
	for _, w := range cfg.Warnings {
		a.warn("%s", w)
	}
}

func (a *app) stateDir(cfg *config.Config) string {
	if a.flags.stateDir != "" {
		return a.flags.stateDir
	}
	return cfg.StateDir
}

// open opens the state of a config. The caller closes the site.
func (a *app) open(cfg *config.Config, want access) (*site, error) {
	if err := cfg.CheckState(a.stateDir(cfg)); err != nil {
		return nil, withCode(exitUsage, err)
	}
	s := &site{app: a, cfg: cfg, dir: a.stateDir(cfg), gate: engine.NewGate(lanes), binding: &sync.Mutex{}, listed: map[*config.Endpoint][]config.Listing{}}
	if want != reads {
		err := s.acquire()
		held := (*ledger.HeldError)(nil)
		switch {
		case errors.As(err, &held) && want == either:
			a.note("another influxmirror is running (%s): it is not told what is found here", heldBy(held))
		case errors.As(err, &held):
			return nil, withCode(exitHeld, fmt.Errorf("another influxmirror is running with the state directory %s (%s); "+
				"it does this work; plan, verify and status work beside it", s.dir, heldBy(held)))
		case err != nil:
			return nil, withCode(exitState, err)
		}
	}
	var err error
	if s.lock == nil {
		s.ledger, err = ledger.OpenReader(s.dir)
		if errors.Is(err, ledger.ErrNoLedger) {
			s.ledger, err = nil, nil
		}
	} else {
		s.ledger, err = ledger.Open(s.dir)
	}
	if err != nil {
		s.close()
		return nil, withCode(exitState, err)
	}
	if s.ledger != nil && s.ledger.Rebuilt != "" {
		a.warn("the ledger was damaged and is kept as %s; everything is proven again, nothing is lost", s.ledger.Rebuilt)
	}
	return s, nil
}

// acquire takes the lock. A command that only asks who holds it can have it for a moment.
func (s *site) acquire() (err error) {
	held := (*ledger.HeldError)(nil)
	for range 4 {
		if s.lock, err = ledger.Acquire(s.dir); !errors.As(err, &held) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}

func heldBy(h *ledger.HeldError) string {
	if h.PID == 0 {
		return "its pid is not known"
	}
	return fmt.Sprintf("pid %d on %s since %s", h.PID, h.Host, h.Since.UTC().Format(time.RFC3339))
}

func (s *site) close() {
	if s.ledger != nil {
		s.ledger.Close()
	}
	if s.lock != nil {
		s.lock.Release()
	}
}

// check returns an error when the ledger or the lock on disk are no longer the ones in use.
func (s *site) check() error {
	if s.ledger == nil || s.lock == nil {
		return nil
	}
	return errors.Join(s.ledger.Check(), s.lock.Check())
}

// choose returns the mirrors of the config that are named, all if none is. PATTERN/BUCKET names one bucket of a pattern, and PATTERN
// alone all of them: it is returned as it is, for expand.
func (a *app) choose(cfg *config.Config, names []string) ([]*config.Mirror, error) {
	if len(names) == 0 {
		return cfg.Mirrors, nil
	}
	var out []*config.Mirror
	for _, name := range names {
		m, err := find(cfg, name)
		if err != nil {
			return nil, withCode(exitUsage, err)
		}
		if !slices.ContainsFunc(out, func(o *config.Mirror) bool { return o.Name == m.Name }) {
			out = append(out, m)
		}
	}
	return out, nil
}

func find(cfg *config.Config, name string) (*config.Mirror, error) {
	if m := cfg.Mirror(name); m != nil {
		return m, nil
	}
	pattern, bucket, _ := strings.Cut(name, "/")
	of := cfg.Mirror(pattern)
	if bucket == "" || of == nil || !of.IsPattern() {
		var known []string
		for _, m := range cfg.Mirrors {
			known = append(known, m.Name)
		}
		return nil, fmt.Errorf("no mirror %q in %s; it has: %s", name, cfg.Path, strings.Join(known, ", "))
	}
	listed := map[*config.Mirror][]config.Listing{}
	for _, m := range cfg.Mirrors {
		if m.IsPattern() && m.From.Endpoint.Same(of.From.Endpoint) {
			listed[m] = []config.Listing{{Bucket: bucket}}
		}
	}
	all, left := cfg.Expand(listed)
	for _, m := range all {
		if m.Name == name {
			return m, nil
		}
	}
	for _, l := range left {
		if l.Pattern == of {
			return nil, errors.New(leftOut(l))
		}
	}
	return nil, fmt.Errorf("mirror %s does not take bucket %q: see its buckets and exclude_buckets in %s", pattern, bucket, cfg.Path)
}

// wired is a mirror of the config with its ends.
type wired struct {
	*engine.Mirror
	site   *site
	cfg    *config.Mirror
	source *sourceEnd
	target *targetEnd
	memory memory
	back   bool // recover: what the config calls the target is the source
	onto   bool // recover: another server receives than the one the config names
}

// mode changes how a mirror is wired.
type mode struct {
	create bool // make the target bucket where it is missing
	force  bool // take the identities as they are: accept
	plan   bool // show a target bucket that does not exist as an empty one
}

// openFor loads the config, finds the mirrors named, and opens their site.
func (a *app) openFor(ctx context.Context, names []string, want access) (*site, []*config.Mirror, error) {
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	chosen, err := a.choose(cfg, names)
	if err != nil {
		return nil, nil, err
	}
	if err := a.swapped(cfg); err != nil {
		return nil, nil, err
	}
	s, err := a.open(cfg, want)
	if err != nil {
		return nil, nil, err
	}
	if chosen, err = s.expand(ctx, chosen); err != nil {
		s.close()
		return nil, nil, err
	}
	return s, chosen, nil
}

// wire connects a mirror's ends. Nothing is sent yet.
func (s *site) wire(m *config.Mirror, how mode) *wired {
	log := s.log.With("mirror", m.Name)
	w := &wired{site: s, cfg: m}
	w.source = &sourceEnd{reader: openSource(m.From, m, false), wired: w}
	w.target = &targetEnd{writer: openTarget(m.To, m, false), wired: w, how: how, said: map[string]bool{}, log: log}
	set := s.settings(m)
	open := func(ctx context.Context, key, source, target string) (engine.Ledger, error) {
		if len(m.AddTags) > 0 && (m.From.Endpoint.Dir != "" || m.To.Endpoint.Dir != "") {
			return nil, &engine.Blocked{Reason: "tags are added between servers only, not to or from a directory; nothing is written; leave add_tags out of mirror " + m.Name}
		}
		l, err := w.bind(ctx, key, source, target, how)
		if err == nil && s.part {
			l = partial{l}
		}
		return l, err
	}
	w.Mirror = engine.New(set, w.source, w.target, open, s.log)
	return w
}

// settings are those of a mirror in its own direction.
func (s *site) settings(m *config.Mirror) engine.Settings {
	set := engine.Settings{Name: m.Name, Word: pasted(m), Wait: m.Wait, Wants: m.Includes, Scrub: engine.Scrub(m.Scrub), Gate: s.gate, Rank: s.cfg.Rank(m), Until: s.until,
		Digest: fmt.Sprint(m.Include, m.Exclude, m.AddTags)}
	if m.Since != nil {
		set.Since = m.Since.UnixNano()
	}
	return set
}

func (w *wired) close() {
	w.source.Close()
	w.target.Close()
}

func options(side mirror.Side, r config.Ref) influx.Options {
	proxy := r.Endpoint.Proxy()
	return influx.Options{
		Side: side, URL: r.Endpoint.URL, Org: r.Endpoint.Org, Bucket: r.Bucket, Compress: proxy != nil || !loopback(r.Endpoint.URL.Hostname()),
		TLS: r.Endpoint.TLS, Headers: r.Endpoint.Headers, Proxy: proxy,
		Login: func() (influx.Login, error) {
			user, secret := r.Endpoint.Login()
			if user != "" {
				return influx.Login{User: user, Password: secret.Reveal()}, nil
			}
			return influx.Login{Token: secret.Reveal()}, nil
		},
	}
}

// loopback reports whether a host is this machine: compressing would cost more than it saves.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
