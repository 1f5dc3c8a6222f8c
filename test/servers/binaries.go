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

// binary returns the path of a server's executable, building both servers when the cache does not hold them.
func binary(kind Kind) (string, error) {
	dir, err := cache()
	if err != nil {
		return "", err
	}
	if kind == V1 {
		return filepath.Join(dir, "influxd-1.13.2"), nil
	}
	return filepath.Join(dir, "influxd-2.7.12"), nil
}

var cache = sync.OnceValues(func() (string, error) {
	here, err := sourceDir()
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command("bash", filepath.Join(here, "build.sh"))
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(stderr.String())
		return "", fmt.Errorf("build.sh: %w: %s", err, said[strings.LastIndexByte(said, '\n')+1:])
	}
	return strings.TrimSpace(stdout.String()), nil
})

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
