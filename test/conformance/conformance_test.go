package conformance

import (
	"testing"

	"influxmirror/influxtest"
	"influxmirror/test/servers"
)

// Versions a case holds for.
const (
	both = iota
	only2
	only1
)

// A testCase looks at servers. It gets a server that other cases have used: its buckets have names of their own.
type testCase struct {
	name     string
	versions int
	run      func(c *scene)
}

func TestConformance(t *testing.T) {
	var cases []testCase
	for _, list := range [][]testCase{readCases, typeCases, axisCases, surveyCases, statementCases, writeCases, rightsCases, retentionCases, counterCases, sizeCases} {
		cases = append(cases, list...)
	}
	for _, v1 := range []bool{false, true} {
		kind, version := servers.V2, influxtest.V2
		if v1 {
			kind, version = servers.V1, influxtest.V1
		}
		t.Run(kind.String(), func(t *testing.T) {
			real := genuine(servers.Start(t, kind))
			memory := influxtest.NewServer(influxtest.Options{Version: version})
			t.Cleanup(memory.Close)
			memory.CreateBucket(servers.Bucket, 0, 0) // the real one is set up with it
			for _, tc := range cases {
				if tc.versions == only2 && v1 || tc.versions == only1 && !v1 {
					continue
				}
				t.Run(tc.name, func(t *testing.T) {
					a, b := &scene{T: t, server: real}, &scene{T: t, server: double(memory, v1)}
					for _, c := range []*scene{a, b} {
						if c.orgID != "" {
							c.call(c.orgID, "org")
						}
						tc.run(c)
					}
					compare(t, a.seen, b.seen)
				})
			}
		})
	}
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
