package security

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const unitFile = "../../contrib/systemd/influxmirror.service"

// unit reads a unit of systemd: the values of each NAME of each [Section], as Section.NAME.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	out, section := map[string][]string{}, ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch name, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case !ok || section == "":
			t.Errorf("no directive: %s", line)
		default:
			out[section+"."+name] = append(out[section+"."+name], value)
		}
	}
	return out
}

// The unit keeps from the service what it does not need.
func TestUnitIsHardened(t *testing.T) {
	u := unit(t)
	for name, want := range map[string]string{
		"DynamicUser": "yes", "StateDirectory": "influxmirror", "StateDirectoryMode": "0700", "UMask": "0077", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict",
		"ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateUsers": "yes", "ProtectKernelModules": "yes", "ProtectKernelTunables": "yes", "ProtectControlGroups": "yes", "ProtectProc": "invisible",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX", "RestrictNamespaces": "yes", "RestrictSUIDSGID": "yes", "LockPersonality": "yes", "MemoryDenyWriteExecute": "yes",
		"SystemCallArchitectures": "native", "SystemCallFilter": "@system-service ~@privileged", "LimitCORE": "0", "MemoryMax": "512M", "Restart": "on-failure", "Type": "notify", "NotifyAccess": "main",
	} {
		if got, ok := u["Service."+name]; !ok || strings.Join(got, " ") != want {
			t.Errorf("%s=%v, want %s", name, got, want)
		}
	}
	for name := range u {
		switch name {
		case "Service.ReadWritePaths", "Service.EnvironmentFile", "Service.PassEnvironment", "Service.SetCredential":
			t.Errorf("%s opens what is closed", name)
		}
	}
	if len(u["Service.LoadCredential"]) < 2 {
		t.Error("no credentials")
	}
	for _, e := range u["Service.Environment"] {
		if e != "GOMEMLIMIT=256MiB" {
			t.Errorf("Environment=%s", e)
		}
	}
}

// systemd itself takes the unit, and judges how exposed the service is, where its tools are.
func TestUnitOfSystemd(t *testing.T) {
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not here; TestUnitIsHardened reads the unit without it")
	}
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "influxmirror.service")
	if err := os.WriteFile(path, bytes.Replace(text, []byte("/usr/local/bin/influxmirror"), []byte(program), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "verify", path).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := exec.Command(tool, "security", "--offline=true", "--no-pager", "--threshold=20", path).CombinedOutput(); err != nil {
		t.Errorf("more exposed than 2.0 of 10: %v\n%s", err, out)
	}
}

// What the unit starts runs as it is started there: tokens only in the directory of credentials, the state where systemd says, a manager that listens;
// it ends with 0 when it is stopped, and the exit codes after which it is not started again are those that starting again does not mend.
func TestUnitRuns(t *testing.T) {
	u := unit(t)
	p := newPlace(t)
	p.src.Write("lab", "cpu load=1 1700000000000000000\n")
	credentials, state, etc := filepath.Join(p.dir, "credentials"), filepath.Join(p.dir, "private"), filepath.Join(p.dir, "etc")
	for _, dir := range []string{credentials, state, etc} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range u["Service.LoadCredential"] {
		name, _, _ := strings.Cut(c, ":")
		token := map[string]string{"station.token": p.src.Token, "home.token": p.dst.Token}[name]
		if token == "" {
			t.Fatalf("the config below knows nothing of the credential %s", name)
		}
		if err := os.WriteFile(filepath.Join(credentials, name), []byte(token), 0o440); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"station.token", "home.token"} {
		if err := os.Remove(filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(etc, "influxmirror.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, strings.Replace(config, "state_dir: state\n", "", 1), p.url, p.dst.URL), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(p.dir, "influxmirror") // as /var/lib/influxmirror leads to /var/lib/private/influxmirror
	if err := os.Symlink(state, link); err != nil {
		t.Fatal(err)
	}
	socket := fmt.Sprintf("@influxmirror-unit-%d", os.Getpid())
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	start := func() (*exec.Cmd, *bytes.Buffer) {
		t.Helper()
		args := strings.Fields(u["Service.ExecStart"][0])
		if args[0] != "/usr/local/bin/influxmirror" {
			t.Fatalf("it starts %s", args[0])
		}
		i := slices.Index(args, "/etc/influxmirror/influxmirror.yaml")
		if i < 0 {
			t.Fatalf("it starts %v", args)
		}
		args[i] = file
		cmd := exec.Command(program, args[1:]...)
		cmd.Dir = "/"
		cmd.Env = []string{"PATH=/usr/bin:/bin", "CREDENTIALS_DIRECTORY=" + credentials, "STATE_DIRECTORY=" + link, "NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=120000000", "JOURNAL_STREAM=8:1",
			u["Service.Environment"][0], "INVOCATION_ID=0123456789abcdef0123456789abcdef"}
		said := &bytes.Buffer{}
		cmd.Stderr = said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, said
	}
	cmd, said := start()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), "READY=1\n") {
		t.Errorf("the manager hears %q, %v", b[:n], err)
	}
	for until := time.Now().Add(20 * time.Second); len(p.dst.Dump("lab")) == 0 && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil || len(p.dst.Dump("lab")) == 0 {
		t.Errorf("%v\n%s", err, said)
	}
	if _, err := os.Stat(filepath.Join(state, "ledger.db")); err != nil {
		t.Error(err)
	}
	never := strings.Fields(strings.Join(u["Service.RestartPreventExitStatus"], " "))
	if !slices.Equal(never, []string{"2", "8"}) {
		t.Errorf("it is not started again after %v", never)
	}
	if err := os.WriteFile(file, []byte("endpoints: 5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd, said = start()
	if _ = cmd.Wait(); !slices.Contains(never, fmt.Sprint(cmd.ProcessState.ExitCode())) {
		t.Errorf("after a fault in the config it is started again and again: exit %d\n%s", cmd.ProcessState.ExitCode(), said)
	}
}
