package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// adhoc are the flags of commands that take two addresses instead of mirrors: how to log in at each, and what of the source is asked for.
type adhoc struct {
	source, target       login
	since, until         string
	measurement, exclude []string

	end int64 // until; 0: everything
}

// login are the flags of one side; tokens and passwords themselves come from the environment or from files only.
type login struct{ org, tokenFile, username, passwordFile string }

// only are the flags that make no sense without addresses.
var only = []string{"since", "until", "measurement", "exclude"}

// addressFlags gives a command the flags for two addresses; filters: those too that ask for a part only.
func (a *app) addressFlags(cmd *cobra.Command, filters bool) *adhoc {
	var h adhoc
	cmd.ValidArgsFunction = a.completeMirrors
	f := cmd.Flags()
	for side, l := range map[string]*login{"source": &h.source, "target": &h.target} {
		f.StringVar(&l.org, side+"-org", "", "with addresses: the "+side+"'s organisation")
		f.StringVar(&l.tokenFile, side+"-token-file", "", "with addresses: `file` with the "+side+"'s token (or INFLUXMIRROR_"+strings.ToUpper(side)+"_TOKEN)")
		f.StringVar(&l.username, side+"-username", "", "with addresses: user at a "+side+" of InfluxDB 1.x")
		f.StringVar(&l.passwordFile, side+"-password-file", "", "with addresses: `file` with the password (or INFLUXMIRROR_"+strings.ToUpper(side)+"_PASSWORD)")
	}
	if filters {
		h.filterFlags(f)
	}
	return &h
}

func (h *adhoc) filterFlags(f *pflag.FlagSet) {
	f.StringVar(&h.since, "since", "", "with addresses: nothing before this `time` (RFC 3339, or a date)")
	f.StringVar(&h.until, "until", "", "with addresses: nothing at or after this `time`")
	f.StringArrayVar(&h.measurement, "measurement", nil, "with addresses: only measurements like this `pattern` (repeatable)")
	f.StringArrayVar(&h.exclude, "exclude", nil, "with addresses: no measurements like this `pattern` (repeatable)")
}

// completeMirrors offers the mirrors of the config to a shell.
func (a *app) completeMirrors(_ *cobra.Command, _ []string, start string) (names []string, _ cobra.ShellCompDirective) {
	if path, err := config.Find(a.flags.config); err == nil {
		if cfg, err := config.Load(path, a.env); err == nil {
			for _, m := range cfg.Mirrors {
				if strings.HasPrefix(m.Name, start) {
					names = append(names, m.Name)
				}
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// finder opens the site of a command and returns what it is about.
type finder func(ctx context.Context, want access) (*site, []*config.Mirror, error)

// finder finds what the arguments of a command stand for.
func (h *adhoc) finder(a *app, cmd *cobra.Command, args []string) finder {
	return func(ctx context.Context, want access) (*site, []*config.Mirror, error) {
		return h.find(ctx, a, cmd, args, want)
	}
}

// find opens the site for mirrors of the config, or for two addresses.
func (h *adhoc) find(ctx context.Context, a *app, cmd *cobra.Command, args []string, want access) (*site, []*config.Mirror, error) {
	if !slices.ContainsFunc(args, config.IsAddress) {
		for _, name := range only {
			if cmd.Flags().Changed(name) {
				return nil, nil, withCode(exitUsage, fmt.Errorf("--%s goes with two addresses; a mirror has since, include and exclude in the config", name))
			}
		}
		return a.openFor(ctx, args, want)
	}
	cfg, err := h.resolve(a, args)
	if err != nil {
		return nil, nil, withCode(exitUsage, err)
	}
	s, err := a.open(cfg, want)
	if err != nil {
		return nil, nil, err
	}
	s.adhoc, s.until, s.part = true, h.end, h.since+h.until != "" || len(h.measurement)+len(h.exclude) > 0
	if s.flags.verbose {
		s.note("what is proven is remembered in %s", s.dir)
	}
	return s, cfg.Mirrors, nil
}

// choose returns the config and its mirrors that arguments name, for a command that opens the site itself.
func (h *adhoc) choose(a *app, args []string) (*config.Config, []*config.Mirror, error) {
	if slices.ContainsFunc(args, config.IsAddress) {
		cfg, err := h.resolve(a, args)
		if err != nil {
			return nil, nil, withCode(exitUsage, err)
		}
		return cfg, cfg.Mirrors, nil
	}
	cfg, err := a.load()
	if err != nil {
		return nil, nil, err
	}
	chosen, err := a.choose(cfg, args)
	return cfg, chosen, err
}

// resolve makes the config of one mirror from two addresses.
func (h *adhoc) resolve(a *app, args []string) (*config.Config, error) {
	if len(args) != 2 || !config.IsAddress(args[0]) || !config.IsAddress(args[1]) {
		return nil, errors.New("give two addresses, source and target, or names of mirrors: an address has a colon, as in http://host:8086::BUCKET, ENDPOINT:BUCKET, " +
			"profile:NAME:BUCKET or dir:/path")
	}
	r := config.Resolver{Env: a.env}
	if slices.ContainsFunc(args, config.NeedsConfig) {
		if path, err := config.Find(a.flags.config); err == nil {
			if r.Config, err = config.Load(path, a.env); err != nil {
				return nil, err
			}
		} else if a.flags.config != "" {
			return nil, err
		}
	}
	m := &config.Mirror{Name: shellWord(args[0]) + " " + shellWord(args[1]), Wait: time.Second}
	for _, end := range []struct {
		side  string
		arg   string
		login login
		ref   *config.Ref
	}{{"source", args[0], h.source, &m.From}, {"target", args[1], h.target, &m.To}} {
		ref, err := r.Resolve(end.arg, end.login.credentials(a, end.side))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", end.side, err)
		}
		*end.ref = ref
	}
	if h.since != "" {
		ns, err := moment("--since", h.since)
		if err != nil {
			return nil, err
		}
		t := time.Unix(0, ns).UTC()
		m.Since = &t
	}
	if h.until != "" {
		var err error
		if h.end, err = moment("--until", h.until); err != nil {
			return nil, err
		}
		if m.Since != nil && m.Since.UnixNano() >= h.end {
			return nil, errors.New("--until must be after --since")
		}
	}
	for _, g := range h.measurement {
		m.Include = append(m.Include, config.Glob(g))
	}
	for _, g := range h.exclude {
		m.Exclude = append(m.Exclude, config.Glob(g))
	}
	return config.AdHoc(m, a.env)
}

// credentials adds what only the environment may hold.
func (l login) credentials(a *app, side string) config.Credentials {
	secret := func(name string) config.Secret {
		v, _ := a.env("INFLUXMIRROR_" + strings.ToUpper(side) + "_" + name)
		if v == "" {
			return config.Secret{}
		}
		return config.NewSecret(v)
	}
	c := config.Credentials{Org: l.org, TokenFile: l.tokenFile, Username: l.username, PassFile: l.passwordFile}
	if c.TokenFile == "" {
		c.Token = secret("TOKEN")
	}
	if c.PassFile == "" {
		c.Password = secret("PASSWORD")
	}
	return c
}

// moment reads a time of the command line.
func moment(flag, s string) (int64, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		s = t.Format(time.RFC3339)
	}
	if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
		return 0, fmt.Errorf("%s: not a time in RFC 3339, such as 2021-06-01T00:00:00Z or 2021-06-01", flag)
	}
	ns, err := mirror.ParseTime(s)
	if err != nil {
		return 0, fmt.Errorf("%s: InfluxDB holds 1677-09-21 to 2262-04-11 only", flag)
	}
	return ns, nil
}

// shellWord writes an argument so that it can be pasted into a shell.
func shellWord(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:@%+=,[]", r))
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// pasted is a mirror's name in a command that people are told: the bucket of a pattern has the name that somebody gave it at the source.
func pasted(m *config.Mirror) string {
	if m.Pattern != "" {
		return shellWord(m.Name)
	}
	return m.Name // of a config, where names are words, or of two addresses, which are written so already
}

// partial is a Ledger for a Pass that looks at part of the source only: which shards moved stays noted for the Pass that looks at all.
type partial struct{ engine.Ledger }

func (p partial) SetState(ctx context.Context, name string, v any) error {
	if name == engine.SeenNote {
		var is any
		if found, err := p.State(ctx, name, &is); found || err != nil {
			return err
		}
	}
	return p.Ledger.SetState(ctx, name, v)
}

// unproven reports whether nothing is remembered of a mirror.
func (s *site) unproven(ctx context.Context, m *config.Mirror) bool {
	if s.ledger == nil {
		return true
	}
	_, _, err := s.ledger.Mirror(ctx, m.Name)
	return errors.Is(err, ledger.ErrNotFound)
}

// examples are shown by --help of a command that takes mirrors or addresses.
func examples(verb, more string) string {
	return "  influxmirror " + verb + more + "\n" +
		"  influxmirror " + verb + " cryostat\n" +
		"  INFLUXMIRROR_SOURCE_ORG=cryo INFLUXMIRROR_TARGET_ORG=caltech influxmirror " + verb + " \\\n" +
		"    --source-token-file station.token --target-token-file home.token http://10.8.0.2:8086::lab http://localhost:8086::lab"
}
