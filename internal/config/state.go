package config

import (
	"fmt"
	"io/fs"
	"path/filepath"
)

func (d *decoder) warn(format string, args ...any) {
	d.cfg.Warnings = append(d.cfg.Warnings, fmt.Sprintf(format, args...))
}

// stateDir is where the state is unless the config says so: where the service manager put it, else where XDG does.
func (d *decoder) stateDir() string {
	if v, _ := d.env("STATE_DIRECTORY"); v != "" {
		// systemd joins several with colons.
		if first := filepath.SplitList(v)[0]; filepath.IsAbs(first) {
			return filepath.Clean(first)
		}
	}
	if v, _ := d.env("XDG_STATE_HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, "influxmirror")
	}
	if v, _ := d.env("HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, ".local", "state", "influxmirror")
	}
	d.at(0, 0, "set HOME or STATE_DIRECTORY, or state_dir in influxmirror.yaml", "no place for the state: neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is set")
	return ""
}

// checkPublic refuses a file with a secret that everyone can read; the old script's is warned about.
func (d *decoder) checkPublic(path string, mode fs.FileMode) {
	if !d.secretInFile || !d.files.public(path, mode) {
		return
	}
	e, hint := publicError(mode.Perm()), "chmod o-rwx "+name(d.file)
	if d.cfg.Legacy {
		d.warn("%s: %v; %s", name(d.file), e, hint)
		return
	}
	d.at(0, 0, hint+", or move the token to a token_file", "%v", e)
}
