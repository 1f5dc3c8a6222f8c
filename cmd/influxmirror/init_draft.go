package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"influxmirror/internal/config"
)

// draft is a config that is being made. Secrets are never in it, but in files of their own beside it.
type draft struct {
	out       string
	force     bool
	ends      []draftEnd
	directory string // the target, where it is no server
	mirrors   []draftMirror
	listed    []string // buckets of the source
	stateDir  string   // "": the usual place

	written []string
}

type draftEnd struct {
	name, url, org, username string
	key, file                string        // token_file or password_file and what it says; "" for none
	secret                   config.Secret // to be written into file; zero: it is there
}

type draftMirror struct {
	name, bucket string
	patterns     []string
	since        *time.Time
	wait         time.Duration // 0: the usual
}

// add takes an endpoint over.
func (d *draft) add(e *initEnd, server *config.Endpoint) {
	user, secret := server.Login()
	end := draftEnd{name: string(e.side), url: server.URL.String(), org: server.Org, username: user}
	given := e.tokenFile
	switch {
	case user != "":
		end.key, end.file, given = "password_file", end.name+".password", e.passwordFile
	case !secret.IsZero():
		end.key, end.file = "token_file", end.name+".token"
	}
	if given != "" {
		end.file = given
		if abs, err := filepath.Abs(given); err == nil {
			end.file = abs
		}
	} else {
		end.secret = secret
	}
	d.ends = append(d.ends, end)
}

// takeSettings imports the old script's settings.
func (d *draft) takeSettings(a *app, path string) error {
	cfg, err := config.Load(path, a.env)
	if err != nil {
		return withCode(exitUsage, err)
	}
	if !cfg.Legacy {
		return withCode(exitUsage, fmt.Errorf("%s is no settings.yaml of the old script, but a config already; nothing has to be imported", path))
	}
	a.warnings(cfg)
	for _, e := range cfg.Endpoints {
		_, secret := e.Login()
		d.ends = append(d.ends, draftEnd{name: e.Name, url: e.URL.String(), org: e.Org, key: "token_file", file: e.Name + ".token", secret: secret})
	}
	for _, m := range cfg.Mirrors {
		d.mirrors = append(d.mirrors, draftMirror{name: mirrorName(m.From.Bucket), bucket: m.From.Bucket, since: m.Since, wait: m.Wait})
	}
	if hasLedger(cfg.StateDir) {
		d.stateDir = cfg.StateDir // what was proven stays so
	}
	return nil
}

// quoted writes a string for YAML as it is, also where it looks like a variable.
func quoted(s string) string { return strconv.Quote(strings.ReplaceAll(s, "${", "$${")) }

// text is the config.
func (d *draft) text() string {
	var b bytes.Buffer
	b.WriteString("# influxmirror: which buckets are mirrored, and where to. Check it with: influxmirror doctor\n\nendpoints:\n")
	for _, e := range d.ends {
		fmt.Fprintf(&b, "  %s:\n    url: %s\n", e.name, quoted(e.url))
		if e.org != "" {
			fmt.Fprintf(&b, "    org: %s\n", quoted(e.org))
		}
		if e.username != "" {
			fmt.Fprintf(&b, "    username: %s\n", quoted(e.username))
		}
		if e.key != "" {
			fmt.Fprintf(&b, "    %s: %s # read again whenever it changes; relative names are beside this file\n", e.key, quoted(e.file))
		}
	}
	b.WriteString("\nmirrors: # the order is the priority\n")
	seen := map[string]int{}
	for _, m := range d.mirrors {
		name := m.name
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%.60s-%d", name, seen[name])
		}
		from, to := d.ends[0].name, d.target(m)
		if len(m.patterns) > 0 {
			list := make([]string, len(m.patterns))
			for i, p := range m.patterns {
				list[i] = quoted(p)
			}
			fmt.Fprintf(&b, "  - name: %s\n    from: %s\n    to: %s\n    buckets: [%s] # buckets that are made later are noticed; exclude_buckets leaves some out\n", quoted(name), quoted(from), quoted(to), strings.Join(list, ", "))
		} else {
			fmt.Fprintf(&b, "  - name: %s\n    from: %s\n    to: %s\n", quoted(name), quoted(from+":"+m.bucket), quoted(to))
		}
		if m.since != nil {
			fmt.Fprintf(&b, "    since: %s\n", m.since.Format(time.RFC3339))
		} else {
			b.WriteString("    # since: 2021-06-01T00:00:00Z   # leave out what is older\n")
		}
		if m.wait > 0 {
			fmt.Fprintf(&b, "    wait: %s\n", m.wait)
		} else {
			b.WriteString("    # wait: 30s                     # after each pass; 5m on a link that is paid by the megabyte\n")
		}
	}
	if d.directory != "" {
		b.WriteString("\nlog_bucket: none\n")
	} else {
		b.WriteString("\nlog_bucket: Logging # on the target: what influxmirror does, line by line; or none\n")
	}
	if d.stateDir != "" {
		fmt.Fprintf(&b, "state_dir: %s\n", quoted(d.stateDir))
	} else {
		b.WriteString("# state_dir: /var/lib/influxmirror   # where proofs are kept\n")
	}
	return b.String()
}

func (d *draft) target(m draftMirror) string {
	switch {
	case d.directory == "" && len(m.patterns) > 0:
		return d.ends[1].name
	case d.directory == "":
		return d.ends[1].name + ":" + m.bucket
	case len(d.mirrors) == 1 || len(m.patterns) > 0:
		return "dir:" + d.directory
	}
	return "dir:" + filepath.Join(d.directory, m.name)
}

// write makes the files. The config appears last, and only if it can be loaded without a warning.
func (d *draft) write(env func(string) (string, bool)) (err error) {
	var made []string
	defer func() {
		if err != nil {
			for _, path := range made {
				os.Remove(path)
			}
		}
	}()
	beside := filepath.Dir(d.out)
	for _, e := range d.ends {
		if e.secret.IsZero() {
			continue
		}
		path := filepath.Join(beside, e.file)
		was, readErr := os.ReadFile(path)
		switch {
		case readErr == nil && strings.TrimSpace(string(was)) == e.secret.Reveal() && private0600(path):
			continue
		case readErr == nil && !d.force:
			return withCode(exitUsage, fmt.Errorf("%s exists and holds something else or is open to others; move it away, or replace it with --force", path))
		}
		fresh := errors.Is(readErr, fs.ErrNotExist)
		if err := place(path, []byte(e.secret.Reveal()+"\n"), d.force); err != nil {
			return withCode(exitError, err)
		}
		if fresh {
			made = append(made, path)
		}
		d.written = append(d.written, path)
	}
	trial := filepath.Join(beside, ".influxmirror-trial.yaml")
	os.Remove(trial) // of a try that was killed
	if err := place(trial, []byte(d.text()), false); err != nil {
		return withCode(exitError, err)
	}
	defer os.Remove(trial)
	cfg, err := config.Load(trial, env)
	if err != nil {
		return withCode(exitUsage, err)
	}
	if len(cfg.Warnings) > 0 {
		return withCode(exitUsage, fmt.Errorf("this config would not be clean: %s", cfg.Warnings[0]))
	}
	if err := place(d.out, []byte(d.text()), d.force); err != nil {
		return withCode(exitError, err)
	}
	d.written = append(d.written, d.out)
	return nil
}

func private0600(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 == 0
}

// place writes a file that only its owner can read, whole or not at all. Without replace it fails where there is one.
func place(path string, data []byte, replace bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".influxmirror-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	switch {
	case err != nil:
		return err
	case replace:
		return os.Rename(f.Name(), path)
	}
	return os.Link(f.Name(), path)
}
