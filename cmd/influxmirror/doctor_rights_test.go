package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
)

// That a source's login cannot write, or can, is found out without writing: what was sent is read in the server's own log, on either line of InfluxDB.
func TestDoctorAsksRightsWithoutWriting(t *testing.T) {
	for _, version := range []influxtest.Version{influxtest.V2, influxtest.V1} {
		for _, may := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s may write %v", version, may), func(t *testing.T) {
				dir := t.TempDir()
				src, dst := influxtest.NewServer(influxtest.Options{Version: version, Auth: version == influxtest.V1}), influxtest.NewServer(influxtest.Options{})
				defer src.Close()
				defer dst.Close()
				for _, s := range []*influxtest.Server{src, dst} {
					s.CreateBucket("lab", 0, 7*24*time.Hour)
					s.Write("lab", "cpu load=1 1700000000000000000\n")
				}
				write := []string{"lab"}
				if !may {
					write = nil
				}
				login := "username: reader, password: sesame-open"
				if version == influxtest.V1 {
					src.CreateUser("reader", "sesame-open", false, []string{"lab"}, write)
				} else {
					login = "org: lab, token: " + src.CreateToken([]string{"lab"}, write)
				}
				path := filepath.Join(dir, "influxmirror.yaml")
				text := fmt.Sprintf("endpoints:\n  a: {url: %q, %s}\n  b: {url: %q, org: lab, token: token}\nmirrors:\n  - {name: lab, from: a:lab, to: b:lab}\nstate_dir: state\n", src.URL, login, dst.URL)
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				before := fmt.Sprint(src.Dump("lab"))
				src.ForgetRequests()
				var out, errs bytes.Buffer
				a := newApp(strings.NewReader(""), &out, &errs, func(string) (string, bool) { return "", false })
				a.execute(t.Context(), []string{"doctor", "--config", path})
				asked := 0
				for _, r := range src.Requests() {
					if r.Path == "/write" || r.Path == "/api/v2/write" {
						if asked++; r.Body != 0 || r.Wrote || (r.Status == 204) != may {
							t.Errorf("%s %s of %d bytes was answered %d", r.Method, r.Path, r.Body, r.Status)
						}
					}
					for statement := range strings.SplitSeq(r.Form.Get("q"), ";\n") {
						if verb, _, _ := strings.Cut(statement, " "); verb != "" && verb != "SELECT" && verb != "SHOW" && verb != "EXPLAIN" || strings.Contains(strings.ToUpper(statement), " INTO ") {
							t.Errorf("it was asked: %s", statement)
						}
					}
				}
				if asked == 0 {
					t.Errorf("void: it was not asked\n%s%s", &out, &errs)
				}
				if after := fmt.Sprint(src.Dump("lab")); after != before {
					t.Errorf("it holds %s now", after)
				}
				said := map[bool]string{false: "cannot write", true: "write"}[may]
				if !strings.Contains(out.String(), said) {
					t.Errorf("it does not say %q\n%s", said, &out)
				}
			})
		}
	}
}
