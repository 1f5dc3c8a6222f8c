package conformance

import (
	"regexp"
	"strings"
	"testing"

	"influxmirror/influxtest"
	"influxmirror/test/servers"
)

// Versions a case holds for.
const (
	on2  = 1 << iota // 2.7.12
	on1              // 1.13.2
	on16             // 1.6.7

	both  = on2 | on1 | on16 // lines of servers
	only2 = on2
	only1 = on1 | on16
	not16 = on2 | on1 // 1.6.7 has a case of its own
)

// A testCase looks at servers. It gets a server that other cases have used: its buckets have names of their own.
type testCase struct {
	name     string
	versions int
	run      func(c *scene)
}

func TestConformance(t *testing.T) {
	var cases []testCase
	for _, list := range [][]testCase{readCases, typeCases, axisCases, surveyCases, statementCases, writeCases, rightsCases, retentionCases, counterCases, sizeCases, oldCases, mappingCases} {
		cases = append(cases, list...)
	}
	for _, kind := range []servers.Kind{servers.V2, servers.V1, servers.V16} {
		v1, version, bit := kind.Old(), influxtest.V2, on2
		if v1 {
			version, bit = influxtest.V1, on1
		}
		if kind == servers.V16 {
			bit = on16
		}
		t.Run(kind.String(), func(t *testing.T) {
			real := genuine(servers.Start(t, kind))
			memory := influxtest.NewServer(influxtest.Options{Version: version})
			t.Cleanup(memory.Close)
			memory.CreateBucket(servers.Bucket, 0, 0) // the real one is set up with it
			for _, tc := range cases {
				if tc.versions&bit == 0 {
					continue
				}
				t.Run(tc.name, func(t *testing.T) {
					if tc.versions == on16 { // the double is no 1.6
						tc.run(&scene{T: t, server: real})
						return
					}
					a, b := &scene{T: t, server: real}, &scene{T: t, server: double(memory, v1)}
					for _, c := range []*scene{a, b} {
						if c.orgID != "" {
							c.call(c.orgID, "org")
						}
						tc.run(c)
					}
					if kind == servers.V16 {
						a.seen, b.seen = modern(a.seen), modern(b.seen)
					}
					compare(t, a.seen, b.seen)
				})
			}
		})
	}
}

// What 1.6.7 says less of than 1.13.2, without which their answers are compared.
var (
	forDatabase = regexp.MustCompile(` for database: \S+( for retention policy: \S+)?`)
	limits      = regexp.MustCompile(`("[^"]*" "[^"]*" 1i?) "0s" "0s" (true|false)`)
)

func modern(seen []string) (out []string) {
	for _, s := range seen {
		s = forDatabase.ReplaceAllString(s, "")
		s = limits.ReplaceAllString(strings.ReplaceAll(s, "futureWriteLimit pastWriteLimit ", ""), "$1 $2")
		out = append(out, s)
	}
	return out
}

// compare reports where the two servers answered differently.
func compare(t *testing.T, real, double []string) {
	t.Helper()
	if len(real) != len(double) {
		t.Errorf("the real server was looked at %d times, the double %d", len(real), len(double))
	}
	for i := range min(len(real), len(double)) {
		if a, b := real[i], double[i]; a != b {
			// The first difference, with what is around it.
			at := 0
			for at < min(len(a), len(b)) && a[at] == b[at] {
				at++
			}
			cut := func(s string) string { return s[max(0, min(at, len(s))-300):min(len(s), at+300)] }
			t.Errorf("they differ:\nreal   %s\ndouble %s", cut(a), cut(b))
		}
	}
}
