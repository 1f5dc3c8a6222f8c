package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"influxmirror/internal/config"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
)

// initFlags are what init would otherwise ask for.
type initFlags struct {
	source, target initEnd
	buckets        []string
	out, settings  string
	yes, force     bool
}

// initEnd is one end as flags and answers have it.
type initEnd struct {
	side                                                            mirror.Side
	url, org, tokenFile, username, passwordFile, profile, directory string
	typed                                                           config.Secret // a token or a password that was typed, or stands in the environment
}

func (a *app) initCommand() *cobra.Command {
	f := initFlags{source: initEnd{side: mirror.SourceSide}, target: initEnd{side: mirror.TargetSide}}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a config: ask on a terminal, or take flags, or an old settings.yaml",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.init(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	for _, e := range []*initEnd{&f.source, &f.target} {
		side := string(e.side)
		flags.StringVar(&e.url, side+"-url", "", "the "+side+"'s `address`, such as http://10.8.0.2:8086")
		flags.StringVar(&e.org, side+"-org", "", "its organisation (InfluxDB 2)")
		flags.StringVar(&e.tokenFile, side+"-token-file", "", "`file` with its token (InfluxDB 2)")
		flags.StringVar(&e.username, side+"-username", "", "its user (InfluxDB 1.x)")
		flags.StringVar(&e.passwordFile, side+"-password-file", "", "`file` with the password (InfluxDB 1.x)")
		flags.StringVar(&e.profile, side+"-profile", "", "`name` of a profile of the influx CLI, instead of all these")
	}
	flags.StringVar(&f.target.directory, "target-dir", "", "mirror into this `directory` instead of a server")
	flags.StringArrayVar(&f.buckets, "bucket", nil, "a bucket to mirror, or a `pattern` such as * (repeatable)")
	flags.StringVar(&f.out, "out", "influxmirror.yaml", "the `file` to write")
	flags.StringVar(&f.settings, "from-settings", "", "take everything from the old script's `settings.yaml`")
	flags.BoolVar(&f.yes, "yes", false, "do not ask before writing")
	flags.BoolVar(&f.force, "force", false, "replace a file that is there")
	return cmd
}

func (a *app) init(ctx context.Context, f initFlags) error {
	if _, err := os.Lstat(f.out); err == nil && !f.force {
		return withCode(exitUsage, fmt.Errorf("%s exists and is not touched; write elsewhere with --out FILE, or replace it with --force", f.out))
	}
	draft := draft{out: f.out, force: f.force}
	if f.settings != "" {
		if err := draft.takeSettings(a, f.settings); err != nil {
			return err
		}
	} else if err := a.compose(ctx, &f, &draft); err != nil {
		return err
	}
	if !f.yes && isTerminal(a.in) {
		fmt.Fprintf(a.err, "\n%s\n", draft.text())
		if err := a.ask(false, "write this to "+f.out); err != nil {
			return err
		}
	}
	if err := draft.write(a.env); err != nil {
		return err
	}
	for _, path := range draft.written {
		fmt.Fprintf(a.out, "wrote %s (mode 0600)\n", path)
	}
	with := ""
	if f.out != "influxmirror.yaml" {
		with = " --config " + shellWord(f.out)
	}
	fmt.Fprintf(a.out, "next: influxmirror doctor%[1]s   checks the set-up, writes nothing\n      influxmirror plan%[1]s     shows what would be copied\n      influxmirror run%[1]s      keeps it in step\n", with)
	return nil
}

// compose asks for what the flags do not say, and looks at both servers.
func (a *app) compose(ctx context.Context, f *initFlags, d *draft) error {
	in := bufio.NewReader(a.in)
	var missing []string
	for _, e := range []*initEnd{&f.source, &f.target} {
		side := string(e.side)
		kind := "TOKEN"
		if e.username != "" {
			kind = "PASSWORD"
		}
		if v, _ := a.env("INFLUXMIRROR_" + strings.ToUpper(side) + "_" + kind); v != "" && e.tokenFile == "" && e.passwordFile == "" {
			e.typed = config.NewSecret(strings.TrimRight(v, "\r\n"))
		}
		if e.url == "" && e.profile == "" && e.directory == "" {
			if !isTerminal(a.in) {
				flag := "--" + side + "-url"
				if e.side == mirror.TargetSide {
					flag += " (or --target-dir)"
				}
				missing = append(missing, flag)
			} else if err := a.interview(in, e); err != nil {
				return err
			}
		}
	}
	if len(f.buckets) == 0 && !isTerminal(a.in) {
		missing = append(missing, "--bucket")
	}
	if len(missing) > 0 {
		return withCode(exitUsage, fmt.Errorf("nobody is there to ask: give %s; see influxmirror init --help", strings.Join(missing, ", ")))
	}
	for _, e := range []*initEnd{&f.source, &f.target} {
		if err := a.visit(ctx, in, e, f, d); err != nil {
			return err
		}
	}
	return d.choose(f.buckets)
}

// visit reaches an end, says what it is, and adds it to the draft.
func (a *app) visit(ctx context.Context, in *bufio.Reader, e *initEnd, f *initFlags, d *draft) error {
	if e.directory != "" {
		dir, err := filepath.Abs(e.directory)
		if err != nil {
			return withCode(exitUsage, err)
		}
		d.directory = dir
		return nil
	}
	server, err := e.resolve(a.env)
	if err != nil {
		return withCode(exitUsage, fmt.Errorf("%s: %w", e.side, err))
	}
	c := influx.New(options(e.side, config.Ref{Endpoint: server}))
	defer c.Close()
	got, err := c.Contact(ctx)
	if err != nil {
		return err
	}
	listed, err := c.Buckets(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, b := range listed {
		if !slices.Contains([]string{"_monitoring", "_tasks"}, b.Name) {
			names = append(names, b.Name)
		}
	}
	a.note("%s %s: InfluxDB %s, buckets: %s", e.side, c.URL(), clean(got.Version), orDash(clean(strings.Join(names, ", "))))
	d.add(e, server)
	if e.side != mirror.SourceSide {
		return nil
	}
	d.listed = names
	if len(f.buckets) == 0 {
		line, err := a.prompt(in, "buckets to mirror, names or patterns with spaces between", "*")
		if err != nil {
			return err
		}
		f.buckets = strings.Fields(line)
	}
	return nil
}

// resolve makes an endpoint of the flags.
func (e *initEnd) resolve(env func(string) (string, bool)) (*config.Endpoint, error) {
	address := strings.TrimRight(e.url, "/") + "::-"
	c := config.Credentials{Org: e.org, TokenFile: e.tokenFile, Username: e.username, PassFile: e.passwordFile}
	if e.username == "" {
		c.Token = e.typed
	} else {
		c.Password = e.typed
	}
	if e.profile == "" && !strings.HasPrefix(e.url, "http://") && !strings.HasPrefix(e.url, "https://") {
		return nil, errors.New("an address begins with http:// or https://, such as http://10.8.0.2:8086")
	}
	if e.profile != "" {
		address, c = "profile:"+e.profile+":-", config.Credentials{}
	}
	r, err := config.Resolver{Env: env}.Resolve(address, c)
	if err != nil {
		return nil, err
	}
	return r.Endpoint, nil
}

// choose makes mirrors of the buckets asked for: one for each name, one for all patterns.
func (d *draft) choose(asked []string) error {
	var patterns []string
	for _, b := range asked {
		switch {
		case strings.ContainsAny(b, "*?"):
			patterns = append(patterns, b)
			if !slices.ContainsFunc(d.listed, config.Glob(b).Match) {
				return withCode(exitUsage, fmt.Errorf("--bucket %s: fits no bucket of the source, which shows: %s", b, orDash(clean(strings.Join(d.listed, ", ")))))
			}
		case !slices.Contains(d.listed, b):
			return withCode(exitUsage, fmt.Errorf("--bucket %s: the source shows no such bucket, or not to this login; it shows: %s", b, orDash(clean(strings.Join(d.listed, ", ")))))
		default:
			d.mirrors = append(d.mirrors, draftMirror{name: mirrorName(b), bucket: b})
		}
	}
	if len(patterns) > 0 {
		d.mirrors = append(d.mirrors, draftMirror{name: "all", patterns: patterns})
	}
	if len(d.mirrors) == 0 {
		return withCode(exitUsage, errors.New("no bucket to mirror was named"))
	}
	return nil
}
