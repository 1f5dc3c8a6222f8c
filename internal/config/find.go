package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Find returns the config to use: explicit (of --config), what INFLUXMIRROR_CONFIG names, or the first of
// ./influxmirror.yaml, ./settings.yaml, influxmirror/influxmirror.yaml in the user's XDG directory and
// /etc/influxmirror/influxmirror.yaml that exists. The error names all places looked at.
func Find(explicit string) (string, error) { return find(explicit, os.LookupEnv, exists) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func find(explicit string, env func(string) (string, bool), exists func(string) bool) (string, error) {
	if explicit != "" {
		if !exists(explicit) {
			return "", fmt.Errorf("no config at %s (--config)\n      hint: correct the path, or leave --config out to look in the usual places", name(explicit))
		}
		return explicit, nil
	}
	if v, _ := env("INFLUXMIRROR_CONFIG"); v != "" {
		if !exists(v) {
			return "", fmt.Errorf("no config at %s (INFLUXMIRROR_CONFIG)\n      hint: correct or unset the variable", name(v))
		}
		return v, nil
	}
	places := []string{"influxmirror.yaml", "settings.yaml"}
	if v, _ := env("XDG_CONFIG_HOME"); filepath.IsAbs(v) {
		places = append(places, filepath.Join(v, "influxmirror", "influxmirror.yaml"))
	} else if v, _ := env("HOME"); filepath.IsAbs(v) {
		places = append(places, filepath.Join(v, ".config", "influxmirror", "influxmirror.yaml"))
	}
	places = append(places, "/etc/influxmirror/influxmirror.yaml")
	for _, p := range places {
		if exists(p) {
			return p, nil
		}
	}
	for i, p := range places {
		if !filepath.IsAbs(p) {
			places[i] = "./" + p
		}
	}
	return "", fmt.Errorf("no config found; looked for %s\n      hint: write one of these, or name it with --config FILE",
		strings.Join(places, ", "))
}
