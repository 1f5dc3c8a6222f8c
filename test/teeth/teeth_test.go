package teeth

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var (
	bugs = flag.Int("bugs", 3, "how many planted bugs are tried: which ones changes from day to day; 0 for all")
	bug  = flag.String("bug", "", "try only this one")
)

const module = "../.."

// least is how many planted bugs there have to be.
const least = 35

func patches(t *testing.T) []Patch {
	t.Helper()
	paths, err := filepath.Glob("*.patch")
	if err != nil {
		t.Fatal(err)
	}
	var all []Patch
	for _, path := range paths {
		p, err := ReadPatch(path)
		if err != nil {
			t.Error(err)
			continue
		}
		all = append(all, p)
	}
	if len(all) < least {
		t.Errorf("there are %d planted bugs, want %d", len(all), least)
	}
	return all
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(module)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestPatchesApply: every patch still fits the files it is about.
func TestPatchesApply(t *testing.T) {
	for _, p := range patches(t) {
		if _, err := p.Apply(root(t), t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}

// TestTeeth: for every planted bug the test it names fails, by what it asserts, and passes without the bug. -bugs 0 tries all of them, -bug NAME one.
func TestTeeth(t *testing.T) {
	all := patches(t)
	if t.Failed() {
		return
	}
	if *bug != "" {
		for _, p := range all {
			if p.Name == *bug {
				all = []Patch{p}
			}
		}
		if len(all) != 1 {
			t.Fatalf("there is no %s.patch", *bug)
		}
	} else if n := *bugs; n > 0 && n < len(all) {
		day := int(time.Now().Unix()/86400) % len(all)
		all = append(all, all...)[day : day+n]
	}
	sound := map[string][]Patch{} // by what they have in common: the package
	for _, p := range all {
		sound[p.Run[0]] = append(sound[p.Run[0]], p)
	}
	for pkg, of := range sound {
		t.Run("sound "+strings.TrimPrefix(pkg, "./"), func(t *testing.T) {
			t.Parallel()
			bin := filepath.Join(t.TempDir(), "sound.test")
			if err := of[0].Build(root(t), "", bin); err != nil {
				t.Fatal(err)
			}
			done := map[string]bool{}
			for _, p := range of {
				if done[p.Command()] {
					continue
				}
				done[p.Command()] = true
				began := time.Now()
				out, err := run(t, p, bin)
				t.Logf("%5.1f s: %s", time.Since(began).Seconds(), p.Command())
				if err != nil {
					t.Errorf("%s fails without a planted bug: %v\n%s", p.Command(), err, tail(out))
				}
				if strings.Contains(out, "no tests to run") {
					t.Errorf("%s: there is no such test", p.Command())
				}
			}
		})
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			overlay, err := p.Apply(root(t), dir)
			if err != nil {
				t.Fatal(err)
			}
			bin := filepath.Join(dir, "planted.test")
			if err := p.Build(root(t), overlay, bin); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			out, err := run(t, p, bin)
			took := time.Since(began)
			if err == nil {
				t.Fatalf("not noticed after %v by %s:\n%s", took.Round(time.Second), p.Command(), p.Story)
			}
			if why := noAssertion.FindString(out); why != "" || !strings.Contains(out, "--- FAIL: ") {
				t.Fatalf("it failed by something else than an assertion (%s): %v\n%s", why, err, tail(out))
			}
			if !p.Says.MatchString(out) {
				t.Fatalf("it failed without saying %q:\n%s", p.Says, tail(out))
			}
			t.Logf("noticed after %.1f s by %s: %s", took.Seconds(), p.Command(), first(p.Says.FindString(out)))
		})
	}
}

// noAssertion is what a test says that ends in another way than by what it asserts.
var noAssertion = regexp.MustCompile(`(?m)^(panic: .*|fatal error: .*|SIG[A-Z]+: .*|.*\[recovered\].*|.*deadlock.*)$`)

func run(t *testing.T, p Patch, bin string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, p.Args()...)
	cmd.Dir = filepath.Join(root(t), p.Run[0])
	cmd.Env = os.Environ()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func tail(s string) string {
	if n := 4000; len(s) > n {
		return "…" + s[len(s)-n:]
	}
	return s
}

func first(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s[:min(len(s), 200)]
}
