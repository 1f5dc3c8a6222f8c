package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/BurntSushi/toml"
)

// IsAddress tells an address from the name of a mirror: DIR:PATH, PROFILE:…, ENDPOINT:BUCKET and http://…::BUCKET have a colon before any slash.
func IsAddress(s string) bool {
	i := strings.IndexAny(s, ":/")
	return i >= 0 && s[i] == ':'
}

// NeedsConfig reports whether an address names an endpoint of a config.
func NeedsConfig(address string) bool {
	kind, _, _ := strings.Cut(address, ":")
	return !contains(reservedNames, kind)
}

// Credentials are how to log in to an address that is no endpoint of a config. Files are read again when they change.
type Credentials struct {
	Org       string
	TokenFile string
	Token     Secret
	Username  string
	PassFile  string
	Password  Secret
}

// Resolver finds what addresses of the command line stand for.
type Resolver struct {
	Config *Config // for ENDPOINT:BUCKET; nil: there is none
	Env    func(string) (string, bool)
}

// Resolve returns the bucket at an address. Its errors hold no part of an address in which a password may stand.
func (r Resolver) Resolve(address string, c Credentials) (Ref, error) {
	kind, rest, _ := strings.Cut(address, ":")
	switch kind {
	case "dir":
		base, err := os.Getwd()
		if err != nil {
			return Ref{}, fmt.Errorf("find the working directory: %w", err)
		}
		ref, err := Directory(address, base)
		if err != nil {
			return Ref{}, fmt.Errorf("dir: %w", err)
		}
		return ref, nil
	case "profile":
		return r.profile(rest)
	case "http", "https":
		return r.server(address, c)
	}
	if r.Config == nil {
		return Ref{}, fmt.Errorf("%s is an endpoint of a config, and there is none; without one an address is http://host:8086::BUCKET, profile:NAME:BUCKET or dir:/path", name(kind))
	}
	e := r.Config.Endpoint(kind)
	switch {
	case e == nil:
		var known []string
		for _, e := range r.Config.Endpoints {
			known = append(known, e.Name)
		}
		return Ref{}, fmt.Errorf("no endpoint is called %s in %s; %s", name(kind), r.Config.Path, didYouMean(kind, known, known))
	case rest == "":
		return Ref{}, fmt.Errorf("%s: names no bucket; write %s:BUCKET", kind, kind)
	}
	return Ref{e, rest}, checkName(rest)
}

func checkName(bucket string) error {
	if printable(bucket) != bucket {
		return errors.New("the bucket's name holds a control character")
	}
	return nil
}

// server reads http://host:8086::BUCKET, with a path before the :: where there is one.
func (r Resolver) server(address string, c Credentials) (Ref, error) {
	scheme, rest, _ := strings.Cut(address, "://")
	from := 0
	if strings.HasPrefix(rest, "[") { // an IPv6 address has :: of its own
		from = max(0, strings.Index(rest, "]"))
	}
	at := strings.Index(rest[from:], "::")
	if i := strings.LastIndex(rest, "::"); i >= 0 && strings.Contains(rest[:i], "@") || at < 0 && strings.Contains(rest, "@") {
		return Ref{}, errors.New("an address must hold no user and no password: others can read the command line; give INFLUXMIRROR_SOURCE_TOKEN or --source-token-file, " +
			"for InfluxDB 1.x --source-username and --source-password-file (TARGET likewise)")
	}
	if at < 0 || rest[from+at+2:] == "" {
		return Ref{}, errors.New("an address names a bucket behind two colons: http://host:8086::BUCKET")
	}
	u, err := parseURL(scheme + "://" + rest[:from+at])
	if err != nil && from == 0 && strings.Count(rest, "::") > 1 {
		err = errors.New("an IPv6 address must stand in brackets")
	}
	if err != nil {
		return Ref{}, fmt.Errorf("address: %w; such as http://10.8.0.2:8086::lab or https://[2001:db8::2]/influx::lab", err)
	}
	e := &Endpoint{Name: u.String(), URL: u, env: r.Env}
	if e.dir, err = os.Getwd(); err != nil {
		return Ref{}, fmt.Errorf("find the working directory: %w", err)
	}
	ref := Ref{e, rest[from+at+2:]}
	if err := checkName(ref.Bucket); err != nil {
		return Ref{}, err
	}
	return ref, e.logIn(c)
}

// logIn takes over how to log in.
func (e *Endpoint) logIn(c Credentials) error {
	user := c.Username != "" || c.PassFile != "" || !c.Password.IsZero()
	token := c.TokenFile != "" || !c.Token.IsZero()
	kind, file := tokenSecret, c.TokenFile
	switch {
	case looksLikeToken(c.TokenFile):
		return errors.New("the name of the token file looks like a token; put the token into a file, and give that file's name")
	case user && (token || c.Org != ""):
		return errors.New("both a token or an organisation (InfluxDB 2) and a username or password (InfluxDB 1.x) are given; unset one of them")
	case user && c.Username == "":
		return errors.New("a password is given and no username")
	case user && c.PassFile == "" && c.Password.IsZero():
		return errors.New("a username is given and no password")
	case user:
		kind, file = passwordSecret, c.PassFile
		e.token = c.Password
	default:
		e.token = c.Token
	}
	e.User, e.Org = c.Username, c.Org
	if strings.Contains(e.User, ":") {
		return errors.New("the username holds a colon, and HTTP cannot send such a name")
	}
	if file == "" {
		if e.token.IsZero() {
			return nil
		}
		if err := kind.check(e.token.Reveal()); err != nil {
			return fmt.Errorf("the %s: %w", kind, err)
		}
		return nil
	}
	secret, path, err := newFiles(e.env).secret(file, e.dir, kind)
	if err != nil {
		return fmt.Errorf("%s file %s: %s; %s", kind, name(path), reasonText(err), secretHint(kind, file, path, err))
	}
	e.token, e.tokenFile = secret, file
	return nil
}

// profile reads NAME:BUCKET, a profile of the influx CLI.
func (r Resolver) profile(rest string) (Ref, error) {
	who, bucket, _ := strings.Cut(rest, ":")
	if who == "" || bucket == "" {
		return Ref{}, errors.New("a profile of the influx CLI is written profile:NAME:BUCKET; influx config list shows their names")
	}
	path, err := r.profiles()
	if err != nil {
		return Ref{}, err
	}
	files := newFiles(r.Env)
	text, mode, err := files.read(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Ref{}, fmt.Errorf("no profiles of the influx CLI at %s; INFLUX_CONFIGS_PATH says where else they are", name(path))
	case err != nil:
		return Ref{}, fmt.Errorf("profiles of the influx CLI at %s: %w", name(path), err)
	case files.public(path, mode):
		return Ref{}, fmt.Errorf("profiles of the influx CLI at %s: %w; chmod o-rwx %s", name(path), publicError(mode.Perm()), path)
	}
	var all map[string]struct {
		URL   string `toml:"url"`
		Token string `toml:"token"`
		Org   string `toml:"org"`
	}
	if err := toml.Unmarshal(text, &all); err != nil {
		where := ""
		if p := (toml.ParseError{}); errors.As(err, &p) { // its text may hold a token
			where = fmt.Sprintf(" (line %d)", p.Position.Line)
		}
		return Ref{}, fmt.Errorf("profiles of the influx CLI at %s: not TOML as influx writes it%s", name(path), where)
	}
	p, ok := all[who]
	if !ok {
		var known []string
		for n := range all {
			known = append(known, n)
		}
		return Ref{}, fmt.Errorf("no profile %s at %s; %s", name(who), name(path), didYouMean(who, known, known))
	}
	u, err := parseURL(strings.TrimSpace(p.URL))
	if err != nil {
		return Ref{}, fmt.Errorf("url of profile %s at %s: %w", name(who), name(path), err)
	}
	e := &Endpoint{Name: "profile:" + who, URL: u, env: r.Env}
	if err := e.logIn(Credentials{Org: p.Org, Token: NewSecret(strings.TrimSpace(p.Token))}); err != nil {
		return Ref{}, fmt.Errorf("profile %s at %s: %w", name(who), name(path), err)
	}
	return Ref{e, bucket}, checkName(bucket)
}

// profiles is where the influx CLI keeps its profiles.
func (r Resolver) profiles() (string, error) {
	if v, _ := r.Env("INFLUX_CONFIGS_PATH"); v != "" {
		return v, nil
	}
	if v, _ := r.Env("HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, ".influxdbv2", "configs"), nil
	}
	return "", errors.New("no place for the profiles of the influx CLI: neither INFLUX_CONFIGS_PATH nor HOME is set")
}

// AdHoc returns the config of one mirror between two addresses. Its state lies where that of the same two addresses always does; CheckState says
// whether it may.
func AdHoc(m *Mirror, env func(string) (string, bool)) (*Config, error) {
	if m.From.Same(m.To) {
		return nil, errors.New("source and target are the same bucket")
	}
	d := &decoder{env: env, files: newFiles(env), cfg: &Config{Mirrors: []*Mirror{m}}}
	d.cfg.Endpoints = []*Endpoint{m.From.Endpoint, m.To.Endpoint}
	if base := d.stateDir(); base != "" {
		d.cfg.StateDir = filepath.Join(base, "adhoc", refsHash(m.From, m.To))
	}
	if len(d.list) > 0 {
		return nil, errors.New(d.list[0].Message + "; " + d.list[0].Hint)
	}
	if a, b := m.From.Endpoint.Dir, m.To.Endpoint.Dir; a != "" && b != "" && (within(a, b) || within(b, a)) {
		return nil, errors.New("one of the directories lies in the other; give each archive a directory of its own")
	}
	d.cfg.index()
	return d.cfg, nil
}
