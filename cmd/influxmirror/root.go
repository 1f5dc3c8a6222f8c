package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"influxmirror/internal/config"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// app is what every command has: where its words go, the flags of all commands, the log.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) (string, bool)
	flags    flags
	log      *slog.Logger
	terminal bool // err is one
	ran      bool // cobra found a command and its arguments in order
}

// flags are those of all commands.
type flags struct {
	config    string
	json      bool
	verbose   bool
	quiet     bool
	logFormat string
	stateDir  string
}

func newApp(in io.Reader, out, err io.Writer, env func(string) (string, bool)) *app {
	a := &app{in: in, out: guard(out), err: guard(err), env: env, terminal: isTerminal(err)}
	a.log = slog.New(a.handler(false))
	return a
}

func isTerminal(stream any) bool {
	if g, ok := stream.(*guarded); ok {
		stream = g.w
	}
	f, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// execute runs one command line and says what went wrong.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := mirror.Caught(func() error { return root.ExecuteContext(ctx) })
	var own *coded
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &own), a.ran:
	default:
		err = withCode(exitUsage, err) // cobra did not get as far as the command
	}
	a.fail(err)
	return codeOf(err)
}

// fail says err on stderr, unless it was said before.
func (a *app) fail(err error) {
	if err == nil || errors.Is(err, errSaid) {
		return
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(a.err, "influxmirror: interrupted; nothing is lost, the next sync carries on from here")
		return
	}
	if faults := (*config.Errors)(nil); errors.As(err, &faults) {
		fmt.Fprintln(a.err, strings.TrimRight(faults.Error(), "\n"))
		fmt.Fprintf(a.err, "influxmirror: %s in the config; nothing was started\n", count(len(faults.Problems), "problem"))
		return
	}
	text := err.Error()
	if errors.Is(err, mirror.ErrFull) {
		text, _, _ = strings.Cut(text, "\n") // every lane says the same
	}
	fmt.Fprintf(a.err, "influxmirror: %s%s\n", text, nextStep(err))
}

// nextStep is what ends the message of an error of the state directory, "" for others.
func nextStep(err error) string {
	switch {
	case codeOf(err) != exitState, errors.As(err, new(*ledger.SchemaError)):
		return ""
	case errors.Is(err, mirror.ErrFull):
		return "; nothing is lost: make room and start again"
	case errors.Is(err, ledger.ErrReplaced):
		return "; nothing is lost: start again"
	case errors.Is(err, ledger.ErrDamaged):
		return "; nothing is lost: start again, and everything is proven again"
	}
	return "; nothing is lost: look after the state directory and its disk, and start again"
}

// note says something that is no result, unless -q.
func (a *app) note(format string, args ...any) {
	if !a.flags.quiet {
		fmt.Fprintf(a.err, "influxmirror: "+format+"\n", args...)
	}
}

// warn says something that needs attention.
func (a *app) warn(format string, args ...any) {
	fmt.Fprintf(a.err, "influxmirror: warning: "+format+"\n", args...)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "influxmirror",
		Short:         "Mirror InfluxDB buckets to another InfluxDB and prove that they are equal",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		Args:          cobra.NoArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.fromEnv(cmd.Flags()); err != nil {
				return withCode(exitUsage, err)
			}
			switch a.flags.logFormat {
			case "auto", "text", "json":
			default:
				return withCode(exitUsage, fmt.Errorf("--log-format %q: text, json or auto expected", a.flags.logFormat))
			}
			a.log = slog.New(a.handler(cmd.Name() == "run"))
			a.ran = true
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetVersionTemplate("influxmirror {{.Version}}\n")
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return withCode(exitUsage, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
	})
	f := root.PersistentFlags()
	f.StringVar(&a.flags.config, "config", "", "the config `file` (influxmirror.yaml, or the old script's settings.yaml)")
	f.BoolVar(&a.flags.json, "json", false, "print results as JSON")
	f.BoolVarP(&a.flags.verbose, "verbose", "v", false, "say more")
	f.BoolVarP(&a.flags.quiet, "quiet", "q", false, "say only what needs attention")
	f.StringVar(&a.flags.logFormat, "log-format", "auto", "`format` of log lines: text, json, or auto (coloured on a terminal)")
	f.StringVar(&a.flags.stateDir, "state-dir", "", "where proofs are kept; replaces state_dir of the config")
	root.AddCommand(a.runCommand(), a.syncCommand(), a.planCommand(), a.verifyCommand(), a.acceptCommand(), a.recoverCommand(), a.statusCommand(), a.doctorCommand(), a.checkCommand(), a.initCommand(), a.demoCommand(), a.versionCommand())
	return root
}

// fromEnv sets flags that were not given from INFLUXMIRROR_NAME.
func (a *app) fromEnv(f *pflag.FlagSet) (failed error) {
	f.VisitAll(func(flag *pflag.Flag) {
		name := "INFLUXMIRROR_" + strings.ToUpper(strings.ReplaceAll(flag.Name, "-", "_"))
		if v, ok := a.env(name); ok && v != "" && !flag.Changed && flag.Name != "help" && flag.Name != "version" && flag.Name != "config" {
			if err := f.Set(flag.Name, v); err != nil && failed == nil {
				failed = fmt.Errorf("%s: %w", name, err)
			}
		}
	})
	return failed
}
