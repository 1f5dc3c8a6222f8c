package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
)

// Neither server is sent a point and no file is made: the source sees reads, and one empty body for each bucket whose rights are asked for.
func TestDoctorWritesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var all [2]*influxtest.Server
	for i := range all {
		all[i] = influxtest.NewServer(influxtest.Options{})
		defer all[i].Close()
		all[i].CreateBucket("lab", 0, 7*24*time.Hour)
		all[i].Write("lab", "cpu load=1 1700000000000000000\n")
	}
	config := fmt.Sprintf("endpoints:\n  a: {url: %q, org: lab, token: token}\n  b: {url: %q, org: lab, token: token}\nmirrors:\n"+
		"  - {name: lab, from: a:lab, to: b:lab}\n  - {name: new, from: a:lab, to: b:new}\nstate_dir: state\n", all[0].URL, all[1].URL)
	if err := os.WriteFile("influxmirror.yaml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	before := [2][]influxtest.Sample{all[0].Dump("lab"), all[1].Dump("lab")}
	for _, s := range all {
		s.ForgetRequests()
	}
	var out, errs bytes.Buffer
	a := newApp(strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
	if code := a.execute(t.Context(), []string{"doctor", "--config", "influxmirror.yaml"}); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, &out, &errs)
	}
	for i, s := range all {
		asked := 0
		for _, r := range s.Requests() {
			switch {
			case r.Wrote:
				t.Errorf("server %d: %s %s carried points", i, r.Method, r.Path)
			case r.Path == "/api/v2/write" && r.Method == "POST":
				if asked++; r.Body != 0 {
					t.Errorf("server %d: a write with a body of %d bytes", i, r.Body)
				}
			case r.Path == "/query" && r.Method == "POST":
				for statement := range strings.SplitSeq(r.Form.Get("q"), ";\n") {
					if !strings.HasPrefix(statement, "SELECT ") && !strings.HasPrefix(statement, "SHOW ") || strings.Contains(strings.ToUpper(statement), "INTO") {
						t.Errorf("server %d: %s", i, statement)
					}
				}
			case r.Method != "GET":
				t.Errorf("server %d: %s %s", i, r.Method, r.Path)
			}
		}
		if asked == 0 {
			t.Errorf("server %d was not asked whether it may be written", i)
		}
		if fmt.Sprint(s.Dump("lab")) != fmt.Sprint(before[i]) {
			t.Errorf("server %d holds something else", i)
		}
	}
	if found, _ := findBucket(all[1], "new"); found {
		t.Error("the target bucket was made")
	}
	if left, _ := filepath.Glob("*"); len(left) != 1 {
		t.Errorf("files were made: %v", left)
	}
}

// A server behind TLS, and two clocks that are apart.
func TestDoctorTLS(t *testing.T) {
	dir := t.TempDir()
	var all [2]*influxtest.Server
	for i := range all {
		apart := time.Duration(i) * 605 * time.Second
		all[i] = influxtest.NewServer(influxtest.Options{Now: func() time.Time { return time.Now().Add(apart) }})
		defer all[i].Close()
		all[i].CreateBucket("lab", 0, 7*24*time.Hour)
	}
	front := httptest.NewTLSServer(all[0].Handler())
	defer front.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	config := fmt.Sprintf("endpoints:\n  a: {url: %q, org: lab, token: token, ca_file: ca.pem}\n  b: {url: %q, org: lab, token: token}\nmirrors:\n"+
		"  - {name: lab, from: a:lab, to: b:lab}\nstate_dir: state\n", front.URL, all[1].URL)
	for name, text := range map[string]string{"ca.pem": string(ca), "influxmirror.yaml": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	a := newApp(strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
	if code := a.execute(t.Context(), []string{"doctor", "--config", filepath.Join(dir, "influxmirror.yaml")}); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, &out, &errs)
	}
	for _, want := range []string{
		"  ok    encryption    TLS 1.3, certificate of example.com", ", issued by O=Acme Co, valid to 2084-",
		"  ok    clock         10 min ahead of this machine's (this machine's clock decides nothing; status shows lags by it)\n",
		"  warn  clocks        10 min apart, b is ahead: ", "        → on the machine whose clock is wrong: timedatectl set-ntp true\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	soon := &contact{chapter: &chapter{}}
	soon.certificate("x", &x509.Certificate{NotAfter: time.Now().Add(20 * 24 * time.Hour)})
	if f := soon.chapter.findings[0]; f.State != worrying || !strings.HasPrefix(f.Next[0], "renew the certificate before ") {
		t.Error(f)
	}
}

func TestPrivate(t *testing.T) {
	for _, c := range []struct {
		url      string
		resolved string
		want     bool
	}{
		{"http://localhost:8086", "", true}, {"http://127.0.0.1:8086", "", true}, {"http://[::1]:8086", "", true},
		{"http://10.8.0.2:8086", "", true}, {"http://192.168.1.2", "", true}, {"http://172.16.0.1", "", true}, {"http://100.101.102.103:8086", "", true},
		{"http://[fd00::1]:8086", "", true}, {"http://[fe80::1%25eth0]:8086", "", true}, {"http://8.8.8.8:8086", "", false}, {"http://[2001:db8::2]", "", false},
		{"http://172.32.0.1", "", false}, {"http://db.example.org", "93.184.216.34", false}, {"http://db.example.org", "10.0.0.1 93.184.216.34", false},
		{"http://db.lan", "10.0.0.1", true}, {"http://db.lan", "", false},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		if got := private(u, strings.Fields(c.resolved)); got != c.want {
			t.Errorf("%s %s: %v", c.url, c.resolved, got)
		}
	}
}

func TestDoctorWords(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{bytesOf(0), "0 B"}, {bytesOf(999), "999 B"}, {bytesOf(1000), "1.0 kB"}, {bytesOf(9_949), "9.9 kB"}, {bytesOf(9_950), "10 kB"}, {bytesOf(999_499), "999 kB"},
		{bytesOf(999_500), "1.0 MB"}, {bytesOf(27_000_000), "27 MB"}, {bytesOf(1 << 62), "4611686 TB"},
		{mirrorName("AC 1/temp"), "AC_1_temp"}, {mirrorName("_x"), "x"}, {mirrorName("…"), "mirror"}, {mirrorName(strings.Repeat("a", 70)), strings.Repeat("a", 64)},
		{brief(120 * time.Microsecond), "0.1 ms"}, {brief(38 * time.Millisecond), "38 ms"}, {brief(1234 * time.Millisecond), "1.2 s"},
		{clockWords(-time.Second), "within 2 s of this machine's"}, {clockWords(-time.Minute), "1 min behind this machine's (this machine's clock decides nothing; status shows lags by it)"},
		{clockWords(2 * time.Second), "2 s ahead of this machine's (this machine's clock decides nothing; status shows lags by it)"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
	if found, hint := cutHint("a; b; c"); found != "a; b" || hint != "c" {
		t.Error(found, hint)
	}
	if found, hint := cutHint("a"); found != "a" || hint != "" {
		t.Error(found, hint)
	}
}
