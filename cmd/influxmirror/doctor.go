package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

func (a *app) doctorCommand() *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use:   "doctor [MIRROR…]",
		Short: "Check the set-up: config, servers, rights, clocks, retention; writes nothing anywhere",
		RunE:  func(cmd *cobra.Command, names []string) error { return a.doctor(cmd.Context(), names, full) },
	}
	cmd.Flags().BoolVar(&full, "full", false, "read every file of archives in directories")
	return cmd
}

// checkCommand answers those who look for one of two commands.
func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "check",
		Hidden: true,
		RunE: func(*cobra.Command, []string) error {
			return withCode(exitUsage, errors.New("verify or doctor? verify compares the data, doctor checks the set-up"))
		},
	}
}

// health is how a check came out.
type health string

const (
	healthy  health = "ok"
	worrying health = "warn"
	failing  health = "fail"
	skipped  health = "skipped" // something else has to be mended first
)

// finding is one line of doctor.
type finding struct {
	Endpoint string   `json:"endpoint,omitempty"`
	Mirror   string   `json:"mirror,omitempty"`
	Check    string   `json:"check"`
	State    health   `json:"state"`
	Found    string   `json:"found"`
	Next     []string `json:"next,omitempty"` // commands and lines of the config
	Exit     int      `json:"exit"`
}

// chapter is what doctor says of the config, an endpoint or a mirror.
type chapter struct {
	title            string
	endpoint, mirror string
	findings         []finding
}

func (c *chapter) add(state health, exit int, check, found string, next []string) {
	next = slices.DeleteFunc(next, func(n string) bool { return n == "" })
	c.findings = append(c.findings, finding{c.endpoint, c.mirror, check, state, found, next, exit})
}

func (c *chapter) ok(check, format string, args ...any) {
	c.add(healthy, exitOK, check, fmt.Sprintf(format, args...), nil)
}

func (c *chapter) skip(check, format string, args ...any) {
	c.add(skipped, exitOK, check, fmt.Sprintf(format, args...), nil)
}

func (c *chapter) warn(check, found string, next ...string) {
	c.add(worrying, exitOK, check, found, next)
}

func (c *chapter) fail(exit int, check, found string, next ...string) {
	c.add(failing, exit, check, found, next)
}

// failed adds an error. Its text ends with the next step behind the last semicolon, unless it has none and next says it.
func (c *chapter) failed(check string, err error, next ...string) {
	found, hint := err.Error(), ""
	if e := (*mirror.Error)(nil); errors.As(err, &e) {
		found = strings.TrimPrefix(found, fmt.Sprintf("%s %s: ", e.Side, e.URL))
	}
	if len(next) == 0 {
		if found, hint = cutHint(found); hint != "" {
			next = []string{hint}
		}
	}
	c.fail(codeOf(err), check, found, next...)
}

// cutHint parts what is wrong from what to do, which errors have behind their last semicolon.
func cutHint(text string) (found, hint string) {
	if i := strings.LastIndex(text, "; "); i >= 0 {
		return text[:i], text[i+2:]
	}
	return text, ""
}

// worst is the gravest exit code of the chapter.
func (c *chapter) exit() int {
	code := exitOK
	for _, f := range c.findings {
		code = worst(code, f.Exit)
	}
	return code
}

// doctor examines a config. It opens the ledger only to know the buckets of patterns.
type doctor struct {
	*site
	full     bool
	contacts map[*config.Endpoint]*contact
	groups   []*chapter
}

func (a *app) doctor(ctx context.Context, names []string, full bool) error {
	path, err := config.Find(a.flags.config)
	if err != nil {
		return a.undiagnosed(withCode(exitUsage, err))
	}
	cfg, err := config.Load(path, a.env)
	if err != nil {
		return a.undiagnosed(withCode(exitUsage, err))
	}
	chosen, err := a.choose(cfg, names)
	if err != nil {
		return err
	}
	d := &doctor{full: full, site: a.withoutState(cfg), contacts: map[*config.Endpoint]*contact{}}
	defer func() { d.close() }()
	d.configuration(ctx)
	d.endpoints(ctx, chosen)
	d.mirrors(ctx, chosen)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return d.report()
}

// undiagnosed reports a config that cannot be used, as JSON too.
func (a *app) undiagnosed(err error) error {
	if !a.flags.json {
		return err
	}
	c := &chapter{}
	if faults := (*config.Errors)(nil); errors.As(err, &faults) {
		for _, p := range faults.Problems {
			found := p.Message
			if p.Line > 0 {
				found = fmt.Sprintf("line %d: %s", p.Line, p.Message)
			}
			var next []string
			if p.Hint != "" {
				next = []string{p.Hint}
			}
			c.fail(codeOf(err), "config", found, next...)
		}
	} else {
		found, hint, _ := strings.Cut(err.Error(), "\n      hint: ")
		c.fail(codeOf(err), "config", found, hint)
	}
	if err := a.print(doctorDoc{c.findings, codeOf(err)}); err != nil {
		return err
	}
	return ended(codeOf(err))
}

// doctorDoc is doctor's JSON.
type doctorDoc struct {
	Checks []finding `json:"checks"`
	Exit   int       `json:"exit"`
}

// withoutState is a site that has neither lock nor ledger yet.
func (a *app) withoutState(cfg *config.Config) *site {
	return &site{app: a, cfg: cfg, dir: a.stateDir(cfg), gate: engine.NewGate(lanes), listed: map[*config.Endpoint][]config.Listing{}}
}

func (d *doctor) chapter(c chapter) *chapter {
	d.groups = append(d.groups, &c)
	return &c
}

// endpoints looks at every server of the mirrors, all at once.
func (d *doctor) endpoints(ctx context.Context, chosen []*config.Mirror) {
	var each []*contact
	meet := func(r config.Ref, source bool) {
		e := r.Endpoint
		if e == nil || e.Dir != "" {
			return
		}
		k := d.contacts[e]
		if k == nil {
			k = &contact{end: e}
			d.contacts[e] = k
			each = append(each, k)
		}
		k.source = k.source || source
	}
	for _, m := range chosen {
		meet(m.From, true)
		meet(m.To, false)
		meet(m.Log, false)
	}
	var group errgroup.Group
	for _, k := range each {
		k.chapter = d.chapter(chapter{title: fmt.Sprintf("endpoint %s  %s", k.end.Name, k.end.Address()), endpoint: k.end.Name})
		group.Go(func() error {
			k.examine(ctx)
			return nil
		})
	}
	_ = group.Wait()
	d.unnamed(ctx)
}

// unnamed adds to the sources the buckets that no mirror takes.
func (d *doctor) unnamed(ctx context.Context) {
	for _, e := range sources(d.cfg) {
		k := d.contacts[e]
		if k == nil || k.err != nil {
			continue
		}
		list, err := d.listBuckets(ctx, e)
		names := d.cfg.Unmirrored(e, list)
		if err != nil || len(names) == 0 {
			continue // who may not list buckets is told so by each mirror
		}
		shown := make([]string, len(names))
		for i, n := range names {
			shown[i] = clean(n)
		}
		first := fmt.Sprintf("%q", e.Name+":"+names[0])
		k.chapter.warn("buckets", "in no mirror: "+strings.Join(shown, ", "),
			fmt.Sprintf("mirrors: {name: %s, from: %s, to: …}; or for silence: ignore_buckets: [%s]", mirrorName(names[0]), first, first))
	}
}

// report prints everything.
func (d *doctor) report() error {
	doc := doctorDoc{Checks: []finding{}}
	warnings, failures := 0, 0
	for _, c := range d.groups {
		doc.Exit = worst(doc.Exit, c.exit())
		doc.Checks = append(doc.Checks, c.findings...)
		for _, f := range c.findings {
			switch f.State {
			case worrying:
				warnings++
			case failing:
				failures++
			}
		}
	}
	if d.flags.json {
		if err := d.print(doc); err != nil {
			return err
		}
		return ended(doc.Exit)
	}
	paint := d.painter()
	var b strings.Builder
	for _, c := range d.groups {
		fmt.Fprintf(&b, "%s\n", clean(c.title))
		for _, f := range c.findings {
			fmt.Fprintf(&b, "  %s  %-12s  %s\n", paint(f.State), f.Check, clean(f.Found))
			for _, n := range f.Next {
				fmt.Fprintf(&b, "        → %s\n", clean(n))
			}
		}
	}
	switch {
	case failures > 0:
		fmt.Fprintf(&b, "RESULT  %s, %s.   exit %d\n", count(failures, "failure"), count(warnings, "warning"), doc.Exit)
	case warnings > 0:
		fmt.Fprintf(&b, "RESULT  works, with %s.   exit 0\n", count(warnings, "warning"))
	default:
		fmt.Fprintln(&b, "RESULT  all is well.   exit 0")
	}
	if _, err := fmt.Fprint(unguarded(d.out), b.String()); err != nil {
		return err
	}
	return ended(doc.Exit)
}

// painter returns how a mark is shown: always as a word, in colour on a terminal.
func (d *doctor) painter() func(health) string {
	words := map[health]string{healthy: "ok  ", worrying: "warn", failing: "FAIL", skipped: "–   "}
	if none, _ := d.env("NO_COLOR"); none != "" || !isTerminal(d.out) {
		return func(h health) string { return words[h] }
	}
	colours := map[health]string{healthy: "32", worrying: "33", failing: "1;31", skipped: "2"}
	return func(h health) string { return "\x1b[" + colours[h] + "m" + words[h] + "\x1b[0m" }
}
