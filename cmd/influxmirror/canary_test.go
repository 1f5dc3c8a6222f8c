package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"influxmirror/influxtest"
)

// den is two servers of InfluxDB 2 and one of 1.x that let in only who has the canaries, each behind a front that a case may make hostile, and a directory with a config.
type den struct {
	t             *testing.T
	dir           string
	canaries      canaries
	src, dst, old *front
	env           []string
	swap          map[string]string // of texts of the config
	raw           string            // the whole config instead
	name          string            // of the config's file; influxmirror.yaml unless set
}

// front answers in a server's stead where hostile does.
type front struct {
	*influxtest.Server
	url string

	mu      sync.Mutex
	hostile func(w http.ResponseWriter, r *http.Request) bool
	seen    []string // what came in addresses and bodies, where no secret belongs
}

func newFront(t *testing.T, o influxtest.Options) *front {
	f := &front{Server: influxtest.NewServer(o)}
	t.Cleanup(f.Close)
	inner := f.Handler()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		fn := f.hostile
		f.seen = append(f.seen, r.RequestURI)
		f.mu.Unlock()
		if fn == nil || !fn(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	f.url = s.URL
	return f
}

func (f *front) set(fn func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hostile = fn
}

const denConfig = `endpoints:
  station: {url: "SRC", org: lab, token_file: station.token, headers_file: station.headers}
  home: {url: "DST", org: lab, token: "${HOME_CANARY}"}
  old: {url: "OLD", username: reader, password_file: old.password}
mirrors:
  - {name: lab, from: "station:lab", to: "home:lab", wait: 1s}
  - {name: ancient, from: "old:lab", to: "home:ancient", wait: 1s}
state_dir: state
`

func newDen(t *testing.T) *den {
	d := &den{t: t, dir: t.TempDir(), swap: map[string]string{}, canaries: canaries{}}
	for _, name := range []string{"source token", "target token", "password", "header", "proxy password", "other"} {
		d.canaries.add(name)
	}
	d.src = newFront(t, influxtest.Options{Token: d.canaries["source token"]})
	d.dst = newFront(t, influxtest.Options{Token: d.canaries["target token"]})
	d.old = newFront(t, influxtest.Options{Version: influxtest.V1, Auth: true})
	d.old.CreateUser("reader", d.canaries["password"], true, nil, nil)
	for _, f := range []*front{d.src, d.dst, d.old} {
		f.CreateBucket("lab", 0, 7*24*time.Hour)
	}
	for _, f := range []*front{d.src, d.old} {
		f.Write("lab", "cpu,host=a load=1 1700000000000000000\ncpu,host=b load=2,word=\"x\" 1700000060000000000\n")
	}
	d.file("station.token", d.canaries["source token"]+"\n")
	d.file("station.headers", "X-Access: "+d.canaries["header"]+"\nX-Bearer: Bearer "+d.canaries["header"]+"\n")
	d.file("old.password", d.canaries["password"])
	d.env = []string{"HOME=" + d.dir, "XDG_STATE_HOME=" + filepath.Join(d.dir, "state"), "PATH=" + os.Getenv("PATH"), "HOME_CANARY=" + d.canaries["target token"],
		"PROXY_CANARY=" + d.canaries["proxy password"]}
	return d
}

func (d *den) file(name, text string) {
	path := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// command is the program, in the directory, with the config.
func (d *den) command(out, errs *watched, args ...string) *exec.Cmd {
	text := d.raw
	if text == "" {
		text = denConfig
	}
	for from, to := range d.swap {
		if !strings.Contains(text, from) {
			d.t.Fatalf("void: the config does not say %s", from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	name := d.name
	if name == "" {
		name = "influxmirror.yaml"
	}
	d.file(name, strings.NewReplacer("SRC", d.src.url, "DST", d.dst.url, "OLD", d.old.url).Replace(text))
	cmd := exec.Command("influxmirror", args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = d.dir, d.env, out, errs
	return cmd
}

// watched keeps what a process says.
type watched struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// say runs the program and returns what it said. A service runs until it has said what is waited for, and is then ended by the signal.
func (d *den) say(until string, signal syscall.Signal, args ...string) string {
	d.t.Helper()
	var out, errs watched
	cmd := d.command(&out, &errs, args...)
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	limit := time.After(40 * time.Second)
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-limit:
			_ = cmd.Process.Kill()
			<-done
			d.t.Errorf("%v does not end", args)
		case <-time.After(20 * time.Millisecond):
			if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid)); err == nil {
				d.canaries.hunt(d.t, "the command line", line)
			}
			kids, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
			if len(bytes.TrimSpace(kids)) > 0 {
				d.t.Errorf("it has children: %s", kids)
			}
			if signal != 0 && strings.Contains(out.String()+errs.String(), until) {
				_ = cmd.Process.Signal(signal)
				signal = 0
			}
		}
	}
	said := out.String() + errs.String()
	if !strings.Contains(said, until) {
		d.t.Errorf("void: %v did not say %q, but\n%.2000s", args, until, said)
	}
	return said
}

// search looks everywhere where no secret belongs.
func (d *den) search(said string) {
	d.t.Helper()
	d.canaries.hunt(d.t, "what was said", []byte(said))
	for _, dir := range []string{"state", "archive"} {
		d.canaries.huntTree(d.t, filepath.Join(d.dir, dir))
	}
	for name, f := range map[string]*front{"source": d.src, "target": d.dst, "1.x": d.old} {
		for _, b := range []string{"lab", "Logging", "ancient", "_tasks"} {
			if found, _ := findBucket(f.Server, b); found {
				d.canaries.hunt(d.t, b+" at the "+name, fmt.Append(nil, f.Dump(b)))
			}
		}
		for _, r := range f.Requests() {
			d.canaries.hunt(d.t, "a request's form at the "+name, fmt.Append(nil, r.Form, r.Query))
		}
		f.mu.Lock()
		d.canaries.hunt(d.t, "a request's address at the "+name, []byte(strings.Join(f.seen, "\n")))
		f.mu.Unlock()
	}
}

// headersOf is what a peer could repeat of a request.
func headersOf(r *http.Request) string {
	var b strings.Builder
	for _, k := range []string{"Authorization", "X-Access", "X-Bearer", "Proxy-Authorization"} {
		if v := r.Header.Get(k); v != "" {
			fmt.Fprintf(&b, "%s: %s url %s ", k, v, url.QueryEscape(v))
			if user, password, ok := r.BasicAuth(); ok && k == "Authorization" {
				fmt.Fprintf(&b, "(%s / %s) ", user, password)
			}
		}
	}
	return b.String()
}

// repeat answers with a status and the request's headers, in a body of one of four forms and in headers.
func repeat(status int, form string, match func(*http.Request) bool) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !match(r) {
			return false
		}
		text := "you sent " + headersOf(r)
		contentType, body := "text/plain", []byte(text)
		switch form {
		case "json":
			contentType = "application/json"
			body, _ = json.Marshal(map[string]string{"code": "invalid", "message": "partial write: " + text})
		case "html":
			contentType, body = "text/html", []byte("<html><body>"+text)
		case "msgpack":
			contentType, body = "application/x-msgpack", msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "error"), text)
		case "gzip":
			var packed bytes.Buffer
			z := gzip.NewWriter(&packed)
			_, _ = z.Write(body)
			_ = z.Close()
			body = packed.Bytes()
			w.Header().Set("Content-Encoding", "gzip")
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("X-Influxdb-Version", "2.7 "+r.Header.Get("Authorization"))
		w.Header().Set("X-Influxdb-Error", text)
		w.Header().Set("Www-Authenticate", text)
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return true
	}
}

// wire answers with bytes of its own.
func wire(answer func(r *http.Request) string, match func(*http.Request) bool) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !match(r) {
			return false
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = conn.Write([]byte(answer(r)))
			_ = conn.Close()
		}
		return true
	}
}

func onQuery(r *http.Request) bool { return r.URL.Path == "/query" }
func onAll(*http.Request) bool     { return true }
func onWrite(r *http.Request) bool {
	return (r.URL.Path == "/api/v2/write" || r.URL.Path == "/write") && r.URL.Query().Get("bucket") != "Logging"
}
