// Command release says what is in a release: a bill of materials (CycloneDX 1.5) and the licences of everything that is linked in, both taken
// from the binaries themselves and from the modules' checked sources, and the SHA-256 of each file. It owns no build: build.sh does that.
//
//	release VERSION DIRECTORY    # describes every influxmirror-VERSION-… in DIRECTORY
//
// The same binaries give the same bytes: there is no date, no random number and no name of this machine in what it writes.
package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: release VERSION DIRECTORY")
		os.Exit(2)
	}
	if err := describe(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

// binary is a program of the release.
type binary struct {
	name string
	sum  string // SHA-256, hexadecimal
	info *debug.BuildInfo
}

// describe writes the bill of materials, the licences and SHA256SUMS into dir.
func describe(version, dir string) error {
	paths, err := filepath.Glob(filepath.Join(dir, "influxmirror-"+version+"-*"))
	if err != nil {
		return err
	}
	var all []binary
	for _, p := range paths {
		info, err := buildinfo.ReadFile(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		sum, err := sumOf(p)
		if err != nil {
			return err
		}
		all = append(all, binary{filepath.Base(p), sum, info})
	}
	if len(all) == 0 {
		return fmt.Errorf("no influxmirror-%s-* in %s", version, dir)
	}
	deps, err := modules(all)
	if err != nil {
		return err
	}
	bom, err := json.MarshalIndent(billOf(version, all, deps), "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "influxmirror-"+version+".cdx.json"), append(bom, '\n'), 0o644); err != nil {
		return err
	}
	text, err := licences(deps)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "THIRD_PARTY.txt"), text, 0o644); err != nil {
		return err
	}
	return sums(dir)
}

// modules lists what is linked into any of the binaries, each once, by path.
func modules(all []binary) ([]debug.Module, error) {
	seen := map[string]debug.Module{}
	for _, b := range all {
		for _, d := range b.info.Deps {
			if d.Replace != nil || d.Sum == "" {
				return nil, fmt.Errorf("%s: module %s is not the one of go.sum", b.name, d.Path)
			}
			if was, ok := seen[d.Path]; ok && was.Version != d.Version {
				return nil, fmt.Errorf("%s is linked as %s and as %s", d.Path, was.Version, d.Version)
			}
			seen[d.Path] = *d
		}
	}
	var out []debug.Module
	for _, d := range seen {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b debug.Module) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}

// What CycloneDX 1.5 calls things.
type (
	bill struct {
		Format      string      `json:"bomFormat"`
		SpecVersion string      `json:"specVersion"`
		Version     int         `json:"version"`
		Metadata    metadata    `json:"metadata"`
		Components  []component `json:"components"`
	}
	metadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type       string      `json:"type"`
		Ref        string      `json:"bom-ref"`
		Name       string      `json:"name"`
		Version    string      `json:"version"`
		Purl       string      `json:"purl,omitempty"`
		Hashes     []hash      `json:"hashes,omitempty"`
		Properties []property  `json:"properties,omitempty"`
		Components []component `json:"components,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
)

func billOf(version string, all []binary, deps []debug.Module) bill {
	program := component{Type: "application", Ref: "influxmirror@" + version, Name: "influxmirror", Version: version}
	toolchain := ""
	for _, b := range all {
		c := component{Type: "file", Ref: b.name, Name: b.name, Version: version, Hashes: []hash{{"SHA-256", b.sum}}}
		for _, s := range b.info.Settings {
			if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "GOARM" || s.Key == "CGO_ENABLED" {
				c.Properties = append(c.Properties, property{"build:" + s.Key, s.Value})
			}
		}
		program.Components = append(program.Components, c)
		toolchain = strings.TrimPrefix(b.info.GoVersion, "go")
	}
	out := bill{Format: "CycloneDX", SpecVersion: "1.5", Version: 1, Metadata: metadata{program}}
	library := func(path, version, sum string) {
		purl := "pkg:golang/" + path + "@" + version
		c := component{Type: "library", Ref: purl, Name: path, Version: version, Purl: purl}
		if sum != "" { // go.sum's own hash of a module: https://go.dev/ref/mod#go-sum-files
			c.Properties = []property{{"go.sum:h1", strings.TrimPrefix(sum, "h1:")}}
		}
		out.Components = append(out.Components, c)
	}
	library("std", toolchain, "")
	for _, d := range deps {
		library(d.Path, d.Version, d.Sum)
	}
	return out
}

// licences joins the licences of Go and of all modules. A module without one is an error: it could not be passed on.
func licences(deps []debug.Module) ([]byte, error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	var out bytes.Buffer
	out.WriteString("influxmirror contains the work of others, under these licences.\n")
	if err := appendLicence(&out, "Go", strings.TrimSpace(string(root))); err != nil {
		return nil, err
	}
	for _, d := range deps {
		text, err := exec.Command("go", "mod", "download", "-json", d.Path+"@"+d.Version).Output()
		var at struct{ Dir, Sum string }
		if err == nil {
			err = json.Unmarshal(text, &at)
		}
		if err == nil && at.Sum != d.Sum {
			err = errors.New("its checksum is not that of the one that is linked")
		}
		if err == nil {
			err = appendLicence(&out, d.Path+" "+d.Version, at.Dir)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Path, err)
		}
	}
	return out.Bytes(), nil
}

func appendLicence(out *bytes.Buffer, name, dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, e := range list {
		word := strings.ToUpper(e.Name())
		is := strings.HasPrefix(word, "LICENSE") || strings.HasPrefix(word, "LICENCE") || strings.HasPrefix(word, "COPYING")
		if e.IsDir() || !is && !strings.HasPrefix(word, "NOTICE") && word != "PATENTS" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		found = found || is
		fmt.Fprintf(out, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 80), name, e.Name(), bytes.TrimSpace(text))
	}
	if !found {
		return fmt.Errorf("no licence in %s", dir)
	}
	return nil
}

// sums writes SHA256SUMS of all other files of dir, as sha256sum does.
func sums(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var out strings.Builder
	for _, e := range list {
		if e.IsDir() || strings.HasPrefix(e.Name(), "SHA256SUMS") {
			continue
		}
		sum, err := sumOf(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&out, "%s  %s\n", sum, e.Name())
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(out.String()), 0o644)
}

func sumOf(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
