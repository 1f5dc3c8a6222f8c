package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"influxmirror/internal/config"
	"influxmirror/internal/mirror"
)

// prompt asks for a line; usual is what an empty one stands for.
func (a *app) prompt(in *bufio.Reader, what, usual string) (string, error) {
	if usual != "" {
		what += " [" + usual + "]"
	}
	fmt.Fprintf(a.err, "%s: ", what)
	line, err := in.ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		if err != nil {
			return "", withCode(exitError, errors.New("no answer; nothing was written"))
		}
		line = usual
	}
	return line, nil
}

// secret asks for something that is not shown while it is typed.
func (a *app) secret(what string) (config.Secret, error) {
	f, ok := a.in.(*os.File)
	if !ok {
		return config.Secret{}, withCode(exitUsage, errors.New("nobody is there to ask for the "+what))
	}
	fmt.Fprintf(a.err, "%s (is not shown): ", what)
	text, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.err)
	if err != nil {
		return config.Secret{}, withCode(exitError, fmt.Errorf("read the %s: %w", what, err))
	}
	return config.NewSecret(strings.TrimRight(string(text), "\r\n")), nil
}

// interview asks for everything about one end.
func (a *app) interview(in *bufio.Reader, e *initEnd) (err error) {
	side := string(e.side)
	what := side + ": address, such as http://10.8.0.2:8086, or profile:NAME of the influx CLI"
	if e.side == mirror.TargetSide {
		what += ", or dir:/path"
	}
	if e.url, err = a.prompt(in, what, ""); err != nil {
		return err
	}
	if name, ok := strings.CutPrefix(e.url, "profile:"); ok {
		e.url, e.profile = "", name
		return nil
	}
	if dir, ok := strings.CutPrefix(e.url, "dir:"); ok && e.side == mirror.TargetSide {
		e.url, e.directory = "", dir
		return nil
	}
	if e.org == "" && e.username == "" {
		if e.org, err = a.prompt(in, side+": organisation (empty for InfluxDB 1.x)", ""); err != nil {
			return err
		}
	}
	switch {
	case e.org != "" && e.tokenFile == "" && e.typed.IsZero():
		e.typed, err = a.secret(side + ": token")
	case e.org == "" && e.username == "":
		if e.username, err = a.prompt(in, side+": username (empty for none)", ""); err != nil {
			return err
		}
	}
	if err == nil && e.username != "" && e.passwordFile == "" && e.typed.IsZero() {
		e.typed, err = a.secret(side + ": password")
	}
	return err
}
