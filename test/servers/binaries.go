package servers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// binary returns the path of a server's executable, building or fetching it when the cache does not hold it.
func binary(kind Kind) (string, error) {
	if kind == V16 {
		return packaged()
	}
	dir, err := built()
	if err != nil {
		return "", err
	}
	if kind == V1 {
		return filepath.Join(dir, "influxd-1.13.2"), nil
	}
	return filepath.Join(dir, "influxd-2.7.12"), nil
}

var (
	built    = sync.OnceValues(func() (string, error) { return script("build.sh") })
	packaged = sync.OnceValues(func() (string, error) { return script("debian.sh") })
)

// script runs one of the scripts beside this file and returns what it prints.
func script(name string) (string, error) {
	here, err := sourceDir()
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("bash", filepath.Join(here, name))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(stderr.String())
		return "", fmt.Errorf("%s: %w: %s", name, err, said[strings.LastIndexByte(said, '\n')+1:])
	}
	return strings.TrimSpace(stdout.String()), nil
}

// sourceDir is where build.sh lies.
func sourceDir() (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		return filepath.Dir(file), nil
	}
	// Built with -trimpath: a test runs inside its module.
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find build.sh: %w", err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "test", "servers")
	if _, err := os.Stat(filepath.Join(dir, "build.sh")); err != nil {
		return "", errors.New("build.sh is not in this module")
	}
	return dir, nil
}
