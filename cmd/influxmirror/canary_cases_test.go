package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// canaryCase is one way for the program to end, or to go on.
type canaryCase struct {
	name   string
	set    func(d *den)
	args   string         // SRC and DST are addresses
	until  string         // what it says when it is there
	signal syscall.Signal // for a service: how it ends
}

// TestCanary: whatever command runs, and whatever goes wrong, at the most talkative level no secret is said, stored, logged at the target or sent where none belongs.
func TestCanary(t *testing.T) {
	sync := "sync lab"
	cases := []canaryCase{
		{"run", nil, "run", "in sync", syscall.SIGTERM},
		{"run, all goroutines dumped", nil, "run", "in sync", syscall.SIGQUIT},
		{"run --once", nil, "run --once", "proven", 0},
		{"sync", nil, "sync", "proven", 0},
		{"sync --json", nil, "sync --json", "proven", 0},
		{"sync -n", nil, "sync -n", "about 3 samples", 0},
		{"plan", nil, "plan", "reads about", 0},
		{"verify", nil, "verify --full --explain", "RESULT", 0},
		{"verify --json", nil, "verify --json", "result", 0},
		{"accept", nil, "accept lab --yes", "nothing blocks it", 0},
		{"recover", nil, "recover lab --yes", "lab", 0},
		{"status", nil, "status", "never synced", 0},
		{"status --json", nil, "status --json", "never synced", 0},
		{"doctor", nil, "doctor", "RESULT", 0},
		{"doctor --json", nil, "doctor --json", "endpoint", 0},
		{"version", nil, "version", "influxmirror", 0},
		{"help", nil, "help", "Usage", 0},
		{"help of sync", nil, "sync --help", "Usage", 0},
		{"demo", nil, "demo --for 1s", "", 0},
		{"an unknown command", nil, "frobnicate", "unknown command", 0},
		{"check", nil, "check", "verify or doctor", 0},
		{"run --once --strict", nil, "run --once --strict", "proven", 0},
		{"a directory", func(d *den) { d.swap["home:lab"] = "dir:archive" }, "sync lab", "proven", 0},
		{"plan --json", nil, "plan --json", "reason", 0},
		{"verify --list", nil, "verify --full --list extra", "RESULT", 0},
		{"recover, only planned", func(d *den) { d.lost() }, "recover lab -n", "lacks", 0},
		{"recover with a token of its own", func(d *den) { d.lost(); d.file("writer.token", d.canaries["source token"]) }, "recover lab --yes --write-token-file writer.token", "RESULT", 0},
		{"recover with a token of another", func(d *den) { d.lost(); d.file("writer.token", d.canaries["other"]) }, "recover lab --yes --write-token-file writer.token", "401", 0},
		{"recover onto another server", func(d *den) {
			d.lost()
			d.env = append(d.env, "INFLUXMIRROR_TARGET_TOKEN="+d.canaries["source token"], "INFLUXMIRROR_TARGET_ORG=lab")
		}, "recover lab --yes --onto SRC::onto", "RESULT", 0},
		{"recover, the receiver repeats what it was sent", func(d *den) { d.lost(); d.src.set(repeat(401, "json", onWrite)) }, "recover lab --yes", "HTTP 401", 0},
		{"status --watch", nil, "status --watch", "never synced", syscall.SIGINT},
		{"status --max-lag", nil, "status --max-lag 1h", "LATE", 0},
		{"accept --exceptions", nil, "accept lab --exceptions --yes", "exceptions", 0},
		{"run, a service manager listens", func(d *den) {
			heard := ear(d.t, "@canary-"+filepath.Base(d.src.url))
			d.env = append(d.env, "NOTIFY_SOCKET=@canary-"+filepath.Base(d.src.url), "WATCHDOG_USEC=200000")
			d.src.set(repeat(401, "json", onQuery))
			d.t.Cleanup(func() {
				n := 0
				for ; len(heard) > 0; n++ {
					d.canaries.hunt(d.t, "what the service manager hears", []byte(<-heard))
				}
				if n < 3 {
					d.t.Errorf("void: it hears %d lines", n)
				}
			})
		}, "run", "HTTP 401", syscall.SIGTERM},
		{"plan with addresses", func(d *den) { d.addressed() }, "plan SRC::lab DST::new", "reads about", 0},
		{"verify with addresses", func(d *den) { d.addressed() }, "verify SRC::lab DST::lab", "RESULT", 0},
		{"accept with addresses", func(d *den) { d.addressed() }, "accept SRC::lab DST::lab --yes", "blocks", 0},
		{"init from a settings.yaml", func(d *den) {
			d.file("settings.yaml", strings.NewReplacer("SRC", d.src.url, "DST", d.dst.url).Replace(d.settings("")))
		}, "init --from-settings settings.yaml --yes --out new/influxmirror.yaml", "new", 0},
		{"init", nil, "init --source-url SRC --source-org lab --source-token-file station.token --target-url DST --target-org lab --target-token-file home.token --bucket lab --yes --out new/influxmirror.yaml", "new", 0},
		{"init, refused", func(d *den) { d.src.set(repeat(401, "json", onAll)) }, "init --source-url SRC --source-org lab --source-token-file station.token --target-url DST --target-org lab --target-token-file home.token --bucket lab --yes --out new.yaml", "401", 0},
		{"addresses", func(d *den) { d.addressed() }, "sync SRC::lab DST::new", "proven", 0},
		{"addresses with a password", func(d *den) {
			d.env = append(d.env, "INFLUXMIRROR_SOURCE_PASSWORD="+d.canaries["password"], "INFLUXMIRROR_TARGET_TOKEN="+d.canaries["target token"], "INFLUXMIRROR_TARGET_ORG=lab")
		}, "sync OLD::lab DST::new --source-username reader", "proven", 0},
		{"profiles", func(d *den) {
			d.file(".influxdbv2/configs", fmt.Sprintf("[a]\n  url = %q\n  token = %q\n  org = \"lab\"\n[b]\n  url = %q\n  token = %q\n  org = \"lab\"\n", d.src.url, d.canaries["source token"], d.dst.url, d.canaries["target token"]))
		}, "sync profile:a:lab profile:b:new", "proven", 0},
		{"profiles that are no TOML", func(d *den) {
			d.file(".influxdbv2/configs", fmt.Sprintf("[a]\n  url = %q\n  token = %s\n", d.src.url, d.canaries["source token"]))
		}, "sync profile:a:lab profile:b:new", "not TOML", 0},
		{"a password in an address", func(d *den) {
			d.swap["SRC\""] = strings.Replace(d.src.url, "http://", "http://user:"+d.canaries["other"]+"@", 1) + `"`
		}, sync, "in the config", 0},
		{"a token in an address's query", func(d *den) { d.swap["SRC\""] = d.src.url + "/?token=" + d.canaries["other"] + `"` }, sync, "in the config", 0},
		{"settings.yaml", func(d *den) { d.name, d.raw = "settings.yaml", d.settings("") }, "run --config settings.yaml", "in sync", syscall.SIGTERM},
		{"a broken settings.yaml", func(d *den) { d.name, d.raw = "settings.yaml", d.settings("\t") }, "run --config settings.yaml", "in the config", 0},
		{"settings.yaml with an unknown key", func(d *den) {
			d.name, d.raw = "settings.yaml", d.settings("")+"LOCAL_TOKENS: "+d.canaries["other"]+"\n"
		}, "run --config settings.yaml", "in sync", syscall.SIGTERM},
		{"an unknown key that is a secret's", func(d *den) { d.swap["username: reader"] = "passwrd: " + d.canaries["other"] + ", username: reader" }, sync, "unknown key", 0},
		{"a token's line is no YAML", func(d *den) { d.swap[`token: "${HOME_CANARY}"`] = "token: \"" + d.canaries["other"] }, sync, "in the config", 0},
		{"a token with a tab before it", func(d *den) { d.raw = "endpoints:\n  a:\n\t token: " + d.canaries["other"] + "\n" }, sync, "in the config", 0},
		{"a token that is a list", func(d *den) { d.swap[`token: "${HOME_CANARY}"`] = "token: [" + d.canaries["other"] + "]" }, sync, "in the config", 0},
		{"a token that is pasted for a file", func(d *den) { d.swap["token_file: station.token"] = "token_file: " + d.canaries["other"] }, sync, "in the config", 0},
		{"headers that are pasted for a file", func(d *den) {
			d.swap["headers_file: station.headers"] = `headers_file: "X-A: ` + d.canaries["other"] + `"`
		}, sync, "in the config", 0},
		{"headers that are none", func(d *den) { d.file("station.headers", d.canaries["header"]) }, sync, "in the config", 0},
		{"a token with a space", func(d *den) { d.file("station.token", d.canaries["source token"]+" "+d.canaries["other"]) }, sync, "in the config", 0},
		{"a variable with a newline", func(d *den) { d.env = append(d.env, "HOME_CANARY="+d.canaries["other"]+"\nx") }, sync, "in the config", 0},
		{"a token file that cannot be read", func(d *den) {
			_ = os.Remove(filepath.Join(d.dir, "station.token"))
			_ = os.Mkdir(filepath.Join(d.dir, "station.token"), 0o700)
		}, sync, "not a regular file", 0},
		{"a token file for all to read", func(d *den) { _ = os.Chmod(filepath.Join(d.dir, "station.token"), 0o644) }, sync, "readable by everyone", 0},
		{"a proxy that is no address", func(d *den) {
			d.swap["token_file: station.token"] = `token_file: station.token, proxy: "http:/u:${PROXY_CANARY}@x"`
		}, sync, "in the config", 0},
		{"a client key that is broken", func(d *den) { d.keyed(true) }, sync, "in the config", 0},
		{"a certificate of nobody", func(d *den) { d.keyed(false) }, sync, "not trusted", 0},
		{"TLS where there is none", func(d *den) { d.swap["SRC"] = strings.Replace(d.src.url, "http:", "https:", 1) }, sync, "does not speak TLS", 0},
		{"nobody there", func(d *den) { d.swap["SRC"] = "http://127.0.0.1:1" }, sync, "refused", 0},
		{"a token of another", func(d *den) { d.file("station.token", d.canaries["other"]) }, sync, "401", 0},
		{"a password of another", func(d *den) { d.file("old.password", d.canaries["other"]) }, "sync ancient", "401", 0},
		{"a damaged ledger", func(d *den) {
			d.say("proven", 0, "-v", "sync", "lab")
			if err := os.Truncate(filepath.Join(d.dir, "state", "ledger.db"), 5000); err != nil {
				d.t.Fatal(err)
			}
		}, sync, "damaged", 0},
		{"a state directory that is a file", func(d *den) { d.file("state", "") }, sync, "state", 0},
		{"a service is running", func(d *den) {
			var out, errs watched
			cmd := d.command(&out, &errs, "run")
			if err := cmd.Start(); err != nil {
				d.t.Fatal(err)
			}
			d.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
			for until := time.Now().Add(30 * time.Second); !strings.Contains(errs.String(), "started") && time.Now().Before(until); {
				time.Sleep(10 * time.Millisecond)
			}
		}, "run", "another influxmirror", 0},
		{"a redirect with a query", func(d *den) {
			d.src.set(func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Location", "http://127.0.0.1:1/"+d.canaries["source token"]+"?token="+d.canaries["source token"]+"#"+d.canaries["header"])
				w.WriteHeader(307)
				return true
			})
		}, sync, "redirects to", 0},
		{"a version that is the token", func(d *den) { d.src.set(repeat(204, "", func(r *http.Request) bool { return r.URL.Path == "/ping" })) }, sync, "proven", 0},
		{"a content type that is the token", func(d *den) {
			d.src.set(func(w http.ResponseWriter, r *http.Request) bool {
				if onQuery(r) {
					w.Header().Set("Content-Type", r.Header.Get("Authorization"))
				}
				return onQuery(r)
			})
		}, sync, "not an InfluxDB answer", 0},
		{"an error inside an answer", func(d *den) { d.src.set(repeat(200, "msgpack", onQuery)) }, sync, "you sent", 0},
		{"a status line that is the token", func(d *den) {
			d.src.set(wire(func(r *http.Request) string { return r.Header.Get("Authorization") + "\r\n\r\n" }, onAll))
		}, sync, "malformed HTTP", 0},
		{"a status that is the token", func(d *den) {
			d.src.set(wire(func(r *http.Request) string { return "HTTP/1.1 " + r.Header.Get("Authorization") + "\r\n\r\n" }, onAll))
		}, sync, "malformed HTTP", 0},
		{"a header line that is the token", func(d *den) {
			d.src.set(wire(func(r *http.Request) string {
				return "HTTP/1.1 200 OK\r\n" + r.Header.Get("Authorization") + "\r\n\r\n"
			}, onAll))
		}, sync, "malformed MIME header", 0},
		{"a length that is the token", func(d *den) {
			d.src.set(wire(func(r *http.Request) string {
				return "HTTP/1.1 200 OK\r\nContent-Length: " + r.Header.Get("Authorization") + "\r\n\r\n"
			}, onAll))
		}, sync, "Content-Length", 0},
		{"an answer that is not packed", func(d *den) {
			d.src.set(wire(func(r *http.Request) string {
				return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: application/x-msgpack\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\nContent-Length: 80\r\n\r\n" + r.Header.Get("Authorization") + strings.Repeat("x", 80)
			}, onQuery))
		}, sync, "gzip", 0},
		{"a bucket's id that is the token", func(d *den) {
			d.src.set(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path != "/api/v2/buckets" {
					return false
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"buckets":[{"id":%q,"orgID":"0123456789abcdef","name":"lab"}]}`, r.Header.Get("Authorization"))
				return true
			})
		}, sync, "ids are letters and digits", 0},
		{"a proxy that wants another login", func(d *den) { d.proxied("http", repeat(407, "plain", onAll)) }, sync, "refuses the user and password", 0},
		{"a proxy that repeats what it was told", func(d *den) { d.proxied("http", repeat(502, "plain", onAll)) }, sync, "502", 0},
		{"a proxy that makes no tunnel", func(d *den) {
			d.swap["SRC"] = "https://influx.invalid"
			d.proxied("http", repeat(403, "plain", onAll))
		}, sync, "refuses a tunnel", 0},
		{"a proxy that is not there", func(d *den) {
			d.swap["token_file: station.token"] = `token_file: station.token, proxy: "socks5h://u:${PROXY_CANARY}@127.0.0.1:1"`
		}, sync, "cannot be reached", 0},
		{"a proxy of the environment", func(d *den) {
			d.env = append(d.env, "http_proxy=http://u:"+d.canaries["proxy password"]+"@127.0.0.1:1")
			d.swap["SRC"] = "http://influx.invalid:8086"
			d.swap["token_file: station.token"] = `token_file: station.token, proxy: env`
		}, sync, "cannot be reached", 0},
		{"a proxy that is no SOCKS proxy", func(d *den) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				d.t.Fatal(err)
			}
			d.t.Cleanup(func() { _ = l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Write([]byte("HTTP/1.0 400 what is this"))
					_ = conn.Close()
				}
			}()
			d.swap["token_file: station.token"] = `token_file: station.token, proxy: "socks5h://u:${PROXY_CANARY}@` + l.Addr().String() + `"`
		}, sync, "SOCKS 5", 0},
	}
	for i, status := range []int{400, 401, 403, 404, 413, 422, 429, 500, 502, 503} {
		form := []string{"json", "plain", "html", "msgpack", "gzip"}[i%5]
		refused, at, said := "run", syscall.SIGTERM, fmt.Sprint("HTTP ", status)
		if status == 400 || status == 413 || status == 422 { // such lines are excepted
			refused, at, said = sync, 0, ""
		}
		old := fmt.Sprint("HTTP ", status)
		if status == 404 {
			old = "check the name"
		}
		cases = append(cases,
			canaryCase{fmt.Sprintf("the source repeats what it was sent: %d %s", status, form), func(d *den) { d.src.set(repeat(status, form, onQuery)) }, "run", fmt.Sprint("HTTP ", status), syscall.SIGTERM},
			canaryCase{fmt.Sprintf("the source repeats everything: %d json", status), func(d *den) { d.src.set(repeat(status, "json", onAll)) }, "doctor", fmt.Sprint("HTTP ", status), 0},
			canaryCase{fmt.Sprintf("the target repeats what it was sent: %d %s", status, form), func(d *den) { d.dst.set(repeat(status, form, onWrite)) }, refused, said, at},
			canaryCase{fmt.Sprintf("1.x repeats what it was sent: %d %s", status, form), func(d *den) { d.old.set(repeat(status, form, onQuery)) }, "sync ancient", old, 0})
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := newDen(t)
			d.file("home.token", d.canaries["target token"])
			if c.set != nil {
				c.set(d)
			}
			args := strings.Fields(strings.NewReplacer("SRC", d.src.url, "DST", d.dst.url, "OLD", d.old.url).Replace(c.args))
			args = append(args, "-v", "--log-format", []string{"text", "json"}[i%2])
			if strings.HasPrefix(c.args, "sync") && c.until != "" && c.until != "proven" {
				c.signal = syscall.SIGINT // once it has failed it would try again for a while
			}
			said := d.say(c.until, c.signal, args...)
			// What was remembered of it, told again.
			if strings.HasPrefix(c.args, "run") || strings.HasPrefix(c.args, "sync") {
				said += d.say("", 0, "status", "--json", "-v") + d.say("", 0, "status")
			}
			d.search(said)
		})
	}
	if len(cases) < 110 {
		t.Errorf("void: %d cases", len(cases))
	}
}

// lost mirrors and then lets the target have what the source has not.
func (d *den) lost() {
	d.say("proven", 0, "sync", "lab", "-v")
	d.dst.Write("lab", "cpu,host=c load=3 1700000000000000000\n")
}

// addressed gives the program what it needs for addresses instead of a config.
func (d *den) addressed() {
	d.env = append(d.env, "INFLUXMIRROR_SOURCE_TOKEN="+d.canaries["source token"], "INFLUXMIRROR_TARGET_TOKEN="+d.canaries["target token"], "INFLUXMIRROR_SOURCE_ORG=lab", "INFLUXMIRROR_TARGET_ORG=lab")
}

// settings is the old script's config; what is behind a colon breaks it.
func (d *den) settings(breaks string) string {
	return fmt.Sprintf("REMOTE_IP: SRC\nREMOTE_TOKEN: %[1]s\nREMOTE_ORG: lab\nLOCAL_IP: DST\n%[3]sLOCAL_TOKEN: %[2]s\nLOCAL_ORG: lab\nREFRESH_RATE: \"00:00:01\"\nRECOVER_DATA_SINCE_DATE: \"2021-06-01T00:00:00Z\"\nBUCKETS: [lab]\n",
		d.canaries["source token"], d.canaries["target token"], breaks)
}

// proxied puts the source behind a proxy that answers by fn.
func (d *den) proxied(scheme string, fn func(w http.ResponseWriter, r *http.Request) bool) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fn(w, r) }))
	d.t.Cleanup(s.Close)
	d.swap["token_file: station.token"] = fmt.Sprintf(`token_file: station.token, proxy: "%s://u:${PROXY_CANARY}@%s"`, scheme, strings.TrimPrefix(s.URL, "http://"))
}

// keyed puts the source behind TLS that nobody vouches for, and gives the endpoint a client certificate, the key of which is a canary, and broken if so.
func (d *den) keyed(broken bool) {
	s := httptest.NewUnstartedServer(d.src.Handler())
	s.StartTLS()
	d.t.Cleanup(s.Close)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		d.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		d.t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
	lines := strings.Split(text, "\n")
	d.canaries["client key"] = lines[2] // not the first: keys begin alike
	if broken {
		text = strings.Replace(text, lines[1], lines[1]+"*"+d.canaries["other"], 1)
	}
	d.file("client.key", text)
	d.file("client.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	d.swap["SRC"] = s.URL
	d.swap["token_file: station.token"] = "token_file: station.token, client_cert_file: client.pem, client_key_file: client.key"
}
