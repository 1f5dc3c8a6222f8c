package teeth

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// A Patch is one planted bug.
type Patch struct {
	Name  string         // of its file, without the suffix
	Story string         // the first lines of the head
	Law   string         // which laws it breaks
	Run   []string       // package, then arguments of its tests
	Says  *regexp.Regexp // what the failing test must say
	Files []string       // changed by it, from the root of the module
	path  string
}

// ReadPatch reads a patch and refuses one whose head lacks anything.
func ReadPatch(path string) (Patch, error) {
	p := Patch{Name: strings.TrimSuffix(filepath.Base(path), ".patch"), path: path}
	f, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	head := true
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		key, value, _ := strings.Cut(line, ": ")
		switch {
		case strings.HasPrefix(line, "+++ b/"):
			p.Files = append(p.Files, strings.TrimPrefix(line, "+++ b/"))
			head = false
		case !head || strings.HasPrefix(line, "--- ") || line == "":
		case key == "Law":
			p.Law = value
		case key == "Run":
			p.Run = strings.Fields(value)
		case key == "Says":
			if p.Says, err = regexp.Compile(value); err != nil {
				return p, fmt.Errorf("%s: %w", path, err)
			}
		default:
			p.Story += line + "\n"
		}
	}
	if p.Story == "" || !strings.HasPrefix(p.Law, "L") || len(p.Run) < 3 || p.Run[1] != "-run" || p.Says == nil || len(p.Files) == 0 {
		return p, fmt.Errorf("%s: a head needs a story, Law:, Run: PACKAGE -run TEST …, Says:, and a diff", path)
	}
	return p, nil
}

// Command is what the patch is run with.
func (p Patch) Command() string { return strings.Join(p.Run, " ") }

// Apply applies the patch to copies of the module's files in dir, and writes there an overlay for go build. It returns the overlay's path.
func (p Patch) Apply(module, dir string) (string, error) {
	replace := map[string]string{}
	for _, name := range p.Files {
		b, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return "", err
		}
		if err := os.WriteFile(to, b, 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(module, name)] = to
	}
	path, err := filepath.Abs(p.path)
	if err != nil {
		return "", err
	}
	cmd := exec.Command("git", "apply", "--whitespace=nowarn", path)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir)) // a repository around dir is none of its business
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s does not apply any more: %s", p.Name, out)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "overlay.json")
	return to, os.WriteFile(to, overlay, 0o600)
}

// errBuild: what was built does not build.
var errBuild = errors.New("it does not build")

// Build builds the tests of the patch's package, with an overlay unless it is "". The binary is to be run in the package's directory.
func (p Patch) Build(module, overlay, to string) error {
	args := []string{"test", "-c", "-o", to}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, p.Run[0])...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", errBuild, out)
	}
	return nil
}

// Args are the arguments for a binary that Build made: as go test passes them on.
func (p Patch) Args() []string {
	args := []string{"-test.run", p.Run[2], "-test.timeout", "5m", "-test.paniconexit0"}
	return append(args, p.Run[3:]...)
}
