package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// recovering are the flags of recover.
type recovering struct {
	all, yes, dry bool
	onto          string
	tokenFile     string
	since         string
	prefer        string
}

const recoverHelp = `Give a server back what it lost, from what its mirror keeps: the direction of the mirror is turned round once.

The bucket that the mirror copies to gives, the one it copies from receives. What is sent is what the receiver lacks; it may be live meanwhile.
Nothing is deleted on either side. The plan is shown first, and nothing is written or created before you agree. It may be interrupted at any time;
run again it carries on. When everything is proven the mirror goes on in its own direction, and copies nothing again.

Where both have another value of the same series, field and time, the receiver keeps its own (--prefer target), and the difference is listed;
with --prefer source everything is compared, and the giver's value is written over it. Source and target are meant as this command copies: the giver is
the source. The next pass in the mirror's own direction brings home what the receiver kept.`

func (a *app) recoverCommand() *cobra.Command {
	var r recovering
	cmd := &cobra.Command{
		Use:   "recover MIRROR…|--all",
		Short: "Give a server back what it lost: plan, ask, merge, prove",
		Long:  recoverHelp,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && !r.all:
				return errors.New("recover: name the mirrors, as in: influxmirror recover cryostat, or --all")
			case len(args) > 0 && r.all:
				return errors.New("recover: either name mirrors or give --all")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, names []string) error { return a.recover(cmd.Context(), names, r) },
	}
	f := cmd.Flags()
	f.BoolVar(&r.all, "all", false, "all mirrors of the config")
	f.BoolVar(&r.yes, "yes", false, "do not ask")
	f.BoolVarP(&r.dry, "dry-run", "n", false, "only show the plan")
	f.StringVar(&r.onto, "onto", "", "receive on another `server` than the one the mirror copies from: an endpoint of the config, or an address as in http://host:8086 or ENDPOINT:BUCKET")
	f.StringVar(&r.tokenFile, "write-token-file", "", "a `file` with a token that may write at the receiver, and create the bucket if it is missing; the config's often only reads")
	f.StringVar(&r.since, "since", "", "give back nothing before this `time`, such as 2021-06-01T00:00:00Z")
	f.StringVar(&r.prefer, "prefer", "target", "whose value stays where both have another one: target, which receives, or source, which gives")
	return cmd
}

// settings returns what the flags come to.
func (r recovering) settings() (engine.Settings, error) {
	set := engine.Settings{Recover: true}
	switch r.prefer {
	case "target":
		set.Prefer = mirror.TargetSide
	case "source":
	default:
		return set, withCode(exitUsage, fmt.Errorf("--prefer %q: target (the receiver keeps its own) or source (the giver's is written over it) expected", r.prefer))
	}
	if r.since != "" {
		ns, err := mirror.ParseTime(r.since)
		if err != nil {
			return set, withCode(exitUsage, fmt.Errorf("--since: %w", err))
		}
		set.Since = ns
	}
	return set, nil
}

// recovery is one mirror turned round.
type recovery struct {
	mirror *config.Mirror
	onto   config.Ref // the receiver
	again  string     // the command line that carries on
	doc    recoveryDoc
	idle   bool // nothing is lacking, and the mirror's name stands for these two already
}

// elsewhere reports whether another server receives than the one that the mirror copies from.
func (x *recovery) elsewhere() bool { return !x.onto.Same(x.mirror.From) }

// recoveryDoc is what recover prints as JSON.
type recoveryDoc struct {
	Mirror       string    `json:"mirror"`
	From         string    `json:"from"`
	Onto         string    `json:"onto"`
	Exit         int       `json:"exit"`
	Error        string    `json:"error,omitempty"`
	Create       bool      `json:"creates_bucket"`
	Since        string    `json:"since,omitempty"`
	Warnings     []string  `json:"warnings,omitempty"`
	Lacks        uint64    `json:"samples_lacking"`
	Read         uint64    `json:"samples_to_read"`
	Compare      uint64    `json:"samples_to_compare"`
	Takes        float64   `json:"seconds_estimated,omitempty"` // 0: cannot be told
	Measurements []lackDoc `json:"measurements"`
	Done         *doneDoc  `json:"done,omitempty"`

	steps int
	pace  float64 // samples a second that Takes goes by
}

// lackDoc is what the receiver lacks of one measurement, by counts.
type lackDoc struct {
	Measurement string `json:"measurement"`
	Samples     uint64 `json:"samples"`
	Start       string `json:"start"`
	Stop        string `json:"stop"`
	Compare     uint64 `json:"samples_to_compare"`
	window      mirror.Window
}

// doneDoc is what a recovery came to.
type doneDoc struct {
	Complete bool      `json:"complete"`
	Passes   int       `json:"passes"`
	Read     uint64    `json:"samples_read"`
	Written  int64     `json:"lines_written"`
	Proven   uint64    `json:"samples_proven"`
	Own      uint64    `json:"samples_only_on_receiver"`
	Differ   uint64    `json:"samples_that_differ"`
	Refused  uint64    `json:"samples_refused"`
	Result   string    `json:"result"`
	Kept     []keptDoc `json:"kept,omitempty"`
}

// keptDoc is what differs and stays, in one field of one Cell.
type keptDoc struct {
	extraDoc
	Class  mirror.Class `json:"class"`
	Reason string       `json:"reason"`
}

func (a *app) recover(ctx context.Context, names []string, r recovering) error {
	set, err := r.settings()
	if err != nil {
		return err
	}
	cfg, err := a.load()
	if err != nil {
		return err
	}
	if err := a.swapped(cfg); err != nil {
		return err
	}
	all, err := a.recoveries(ctx, cfg, names, r)
	if err != nil {
		return err
	}
	code, err := a.planRecoveries(ctx, cfg, all, set, r.dry)
	if err != nil {
		return err
	}
	var todo []*recovery
	for _, x := range all {
		if x.doc.Exit == exitOK && !x.idle {
			todo = append(todo, x)
		}
	}
	if !r.dry && len(todo) > 0 {
		if err := a.ask(r.yes, "give it back"); err != nil {
			return err
		}
		if code, err = a.recoverAll(ctx, cfg, todo, set, code); err != nil {
			return err
		}
	}
	if a.flags.json {
		docs := make([]recoveryDoc, len(all))
		for i, x := range all {
			docs[i] = x.doc
		}
		if err := a.print(map[string]any{"mirrors": docs, "exit": code}); err != nil {
			return err
		}
	}
	return ended(code)
}

// recoveries finds the mirrors named, and who receives.
func (a *app) recoveries(ctx context.Context, cfg *config.Config, names []string, r recovering) (all []*recovery, err error) {
	chosen, err := a.choose(cfg, names)
	if err != nil {
		return nil, err
	}
	if chosen, err = a.members(ctx, cfg, chosen); err != nil {
		return nil, err
	}
	for _, m := range chosen {
		onto, err := a.receiver(cfg, m, r)
		if err != nil {
			return nil, withCode(exitUsage, err)
		}
		x := &recovery{mirror: m, onto: onto, again: a.again(pasted(m), r)}
		x.doc = recoveryDoc{Mirror: m.Name, From: m.To.String(), Onto: onto.String(), Since: r.since, Measurements: []lackDoc{}}
		all = append(all, x)
	}
	return all, nil
}

// receiver returns the bucket that receives.
func (a *app) receiver(cfg *config.Config, m *config.Mirror, r recovering) (config.Ref, error) {
	here, err := os.Getwd()
	if err != nil {
		return config.Ref{}, err
	}
	onto := m.From
	switch {
	case r.onto == "":
	case cfg.Endpoint(r.onto) != nil:
		onto.Endpoint = cfg.Endpoint(r.onto)
	case config.IsAddress(r.onto):
		at, c := r.onto, config.Credentials{Org: m.From.Endpoint.Org, TokenFile: r.tokenFile}
		if scheme, host, web := strings.Cut(at, "://"); web && !strings.Contains(host[strings.Index(host, "]")+1:], "::") {
			at = scheme + "://" + strings.TrimRight(host, "/") + "::" + m.From.Bucket
		}
		if v, _ := a.env("INFLUXMIRROR_TARGET_ORG"); v != "" {
			c.Org = v
		}
		if v, _ := a.env("INFLUXMIRROR_TARGET_TOKEN"); v != "" && r.tokenFile == "" {
			c.Token = config.NewSecret(strings.TrimSpace(v))
		}
		if onto, err = (config.Resolver{Config: cfg, Env: a.env}).Resolve(at, c); err != nil {
			return onto, fmt.Errorf("--onto: %w", err)
		}
		if strings.Contains(at, "://") {
			return onto, nil
		}
	default:
		var known []string
		for _, e := range cfg.Endpoints {
			known = append(known, e.Name)
		}
		return onto, fmt.Errorf("--onto %q: neither an address nor an endpoint of %s, which has: %s", r.onto, cfg.Path, strings.Join(known, ", "))
	}
	if r.tokenFile != "" {
		if onto.Endpoint, err = onto.Endpoint.WithTokenFile(r.tokenFile, here); err != nil {
			return onto, fmt.Errorf("--write-token-file: %w", err)
		}
	}
	return onto, nil
}

// again is the command line that carries on with one mirror.
func (a *app) again(name string, r recovering) string {
	line := "influxmirror recover " + name
	for _, f := range []struct{ flag, value, usual string }{{"--config", a.flags.config, ""}, {"--onto", r.onto, ""}, {"--write-token-file", r.tokenFile, ""},
		{"--since", r.since, ""}, {"--prefer", r.prefer, "target"}} {
		if f.value != f.usual {
			line += " " + f.flag + " " + f.value
		}
	}
	return line
}
