package security

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"influxmirror/influxtest"
)

// nasty are texts that a terminal would obey, or show otherwise than they are.
var nasty = []string{
	"\x1b[2J\x1b[31mowned", "\x1b]0;title\x07", "\x1b]52;c;Y21k\x07", "a\rb", "\u009b31m", "back\b\b\bspace", "\u202egnp.exe", "\u2066iso\u2069lated", "zero\u200bwidth", "\x7fdelete",
	"=cmd|' /C calc'!A0", "<script>alert(1)</script>", "\U000e0041tag", "\ufeffbom", "new\u2028line", "\x00nul", "bell\a",
}

// shown fails for what is neither printable nor a newline.
func shown(t *testing.T, where, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("%s: bytes that are no UTF-8", where)
	}
	for i, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%s: %q in %q", where, r, text[max(0, i-60):min(len(text), i+60)])
			return
		}
	}
}

// some fails for a text without any of the names: then nothing was tested.
func some(t *testing.T, where, text string, marks ...string) {
	t.Helper()
	for _, m := range marks {
		if strings.Contains(text, m) {
			return
		}
	}
	t.Errorf("void: %s says nothing of %v\n%.2000s", where, marks, text)
}

// documents fails unless every line, or the whole, is JSON.
func documents(t *testing.T, text string) {
	t.Helper()
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var any any
		if err := d.Decode(&any); err != nil {
			t.Errorf("no JSON: %v\n%.500s", err, text)
			return
		}
	}
}

// Names, values and words of servers reach the terminal, the log, JSON and the log bucket escaped: X3.
func TestHostileNames(t *testing.T) {
	p := newPlace(t)
	var lines strings.Builder
	for i, n := range nasty {
		if strings.ContainsAny(n, "\r\x00") { // no statement can say them
			n = "plain"
		}
		e := strings.NewReplacer(",", `\,`, " ", `\ `, "=", `\=`).Replace(n)
		fmt.Fprintf(&lines, "m%s,host=h%s f%s=1,s=%q %d\n", strings.ReplaceAll(e, `\=`, "="), e, e, "x", 1700000000000000000+int64(i))
	}
	p.src.Write("lab", lines.String())
	for _, n := range nasty {
		p.src.CreateBucket("B"+n, 0, 7*24*time.Hour)
	}
	p.dst.CreateBucket("Logging", 0, 0)
	text := fmt.Sprintf(config, p.url, p.dst.URL)
	text = strings.Replace(text, "mirrors:\n", "mirrors:\n  - {name: all, from: station, to: home, buckets: [\"B*\"], wait: 1s}\n", 1)
	p.file("influxmirror.yaml", text)
	for _, args := range [][]string{{"plan", "-v"}, {"plan", "--json"}, {"sync", "-v"}, {"sync", "--json"}, {"sync", "-v", "--log-format", "json"}, {"verify", "--full", "--explain"}, {"verify", "--json"}, {"verify", "--list", "extra"},
		{"status"}, {"status", "--json"}, {"status", "--max-lag", "1s"}, {"doctor"}, {"doctor", "--json"}, {"recover", "lab", "--yes"}} {
		out, errs, _ := p.run(args...)
		shown(t, fmt.Sprint(args, " stdout"), out)
		shown(t, fmt.Sprint(args, " stderr"), errs)
		if args[0] != "recover" && args[len(args)-1] != "1s" && args[len(args)-1] != "extra" {
			some(t, fmt.Sprint(args), out+errs, "owned", "calc", "mirror", "lab: ")
		}
		if args[len(args)-1] == "--json" {
			documents(t, out)
		}
	}
	// What was copied is as it was; only what people are told is escaped.
	if a, b := fmt.Sprint(p.src.Dump("lab")), fmt.Sprint(p.dst.Dump("lab")); a != b || !strings.Contains(b, "\x1b[31mowned") {
		t.Errorf("void: not the same samples\n%q\n%q", a, b)
	}
	for _, x := range p.dst.Dump("Logging") {
		if text := fmt.Sprint(x.Tags, x.Value); strings.Contains(text, "owned") {
			shown(t, "the log bucket", text)
		}
	}
}

// The same of the words of a server: versions, errors, redirects, refusals of lines.
func TestHostileWords(t *testing.T) {
	all := strings.Join(nasty, " ") + strings.Repeat("very long ", 10_000)
	body, err := json.Marshal(map[string]string{"code": "invalid", "message": "partial write: " + all})
	if err != nil {
		t.Fatal(err)
	}
	header := strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return -1
		}
		return r
	}, strings.Join(nasty, " "))
	refuse := func(status int, match func(r *http.Request) bool) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !match(r) {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write(body)
			return true
		}
	}
	any := func(*http.Request) bool { return true }
	for name, fn := range map[string]func(w http.ResponseWriter, r *http.Request) bool{
		"400": refuse(400, influxtest.Queries), "401": refuse(401, any), "403": refuse(403, influxtest.Queries), "404": refuse(404, influxtest.Queries), "500": refuse(500, influxtest.Queries), "503": refuse(503, any),
		"a version": func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/ping" {
				return false
			}
			w.Header().Set("X-Influxdb-Version", "2.7 "+header)
			w.WriteHeader(204)
			return true
		},
		"a redirect": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", "http://x/"+header)
			w.WriteHeader(302)
			return true
		},
		"a content type": func(w http.ResponseWriter, r *http.Request) bool {
			if influxtest.Queries(r) {
				w.Header().Set("Content-Type", header)
				_, _ = w.Write([]byte("x"))
			}
			return influxtest.Queries(r)
		},
		"no HTTP": func(w http.ResponseWriter, _ *http.Request) bool {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = conn.Write([]byte(header + "\r\n\r\n"))
				_ = conn.Close()
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.src.Write("lab", "cpu load=1 1700000000000000000\n")
			p.behind(fn)
			for _, args := range [][]string{{"doctor"}, {"doctor", "--json"}, {"run", "-v"}, {"run", "-v", "--log-format", "json"}} {
				if args[0] == "run" {
					_, said := p.peak(2*time.Second, args...)
					shown(t, fmt.Sprint(args), said)
					if name[0] == '4' || name[0] == '5' {
						some(t, fmt.Sprint(args), said, "owned", "calc")
					}
					if len(said) > 40_000 {
						t.Errorf("%v says %d bytes", args, len(said))
					}
					continue
				}
				out, errs, _ := p.run(args...)
				shown(t, fmt.Sprint(args), out+errs)
			}
			for _, s := range []string{p.want(0, "status"), p.want(0, "status", "--json")} {
				shown(t, "status", s)
			}
			for _, x := range p.dst.Dump("Logging") {
				shown(t, "the log bucket", fmt.Sprint(x.Tags, x.Value))
			}
		})
	}
}

// A bucket's name that a shell would obey is one word in the commands that people are told to say.
func TestCommandsCanBePasted(t *testing.T) {
	const name = "B$(touch pasted);x"
	p := newPlace(t)
	p.src.CreateBucket(name, 0, 7*24*time.Hour)
	p.src.Write(name, "cpu load=1 1700000000000000000\n")
	text := strings.Replace(fmt.Sprintf(config, p.url, p.dst.URL), "mirrors:\n", "mirrors:\n  - {name: all, from: station, to: home, buckets: [\"B*\"], wait: 1s}\n", 1)
	p.file("influxmirror.yaml", text)
	p.want(0, "sync")
	p.src.Delete(name, "", -1<<62, 1<<62)
	said := p.want(8, "sync")
	p.dst.DeleteBucket(name)
	said += p.want(8, "sync")
	hints := 0
	for _, word := range []string{"influxmirror recover ", "influxmirror accept "} {
		for _, after := range strings.Split(said, word)[1:] {
			if hints++; !strings.HasPrefix(after, "'all/"+name+"'") {
				t.Errorf("to be pasted: %s%.60s", word, after)
			}
		}
	}
	if hints < 3 {
		t.Errorf("void: %d commands in\n%s", hints, said)
	}
}
