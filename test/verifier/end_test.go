package verifier

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/test/oracle"
	"influxmirror/test/servers"
)

const bucket = "lab"

// An end is a bucket of a server that is changed behind the mirror's back.
type end interface {
	url() string
	login() (org, token string)
	contents(t *testing.T) oracle.Contents
	// remove takes out everything that a measurement has at an instant.
	remove(t *testing.T, measurement string, at int64)
	write(t *testing.T, lines string)
}

// put makes an end that holds have hold want.
func put(t *testing.T, e end, have, want oracle.Contents) {
	t.Helper()
	type instant struct {
		measurement string
		at          int64
	}
	gone := map[instant]bool{}
	for p, v := range have {
		if w, ok := want[p]; !ok || w[0] != v[0] {
			gone[instant{p.Measurement, p.Time}] = true
		}
	}
	for i := range gone {
		e.remove(t, i.measurement, i.at)
	}
	var lines strings.Builder
	for p, v := range want {
		if gone[instant{p.Measurement, p.Time}] || have[p] != v {
			lines.WriteString(line(p, v) + "\n")
		}
	}
	if lines.Len() > 0 {
		e.write(t, lines.String())
	}
}

// inMemory is a server of influxtest.
type inMemory struct{ *influxtest.Server }

func newInMemory(t *testing.T, version influxtest.Version) inMemory {
	s := influxtest.NewServer(influxtest.Options{Version: version})
	t.Cleanup(s.Close)
	s.CreateBucket(bucket, 0, 7*24*time.Hour)
	return inMemory{s}
}

func (m inMemory) url() string                  { return m.URL }
func (m inMemory) login() (string, string)      { return m.Org, m.Token }
func (m inMemory) write(_ *testing.T, s string) { m.Write(bucket, s) }

func (m inMemory) remove(_ *testing.T, measurement string, at int64) {
	m.Delete(bucket, measurement, at, at)
}

func (m inMemory) contents(t *testing.T) oracle.Contents {
	t.Helper()
	out := oracle.Contents{}
	for _, s := range m.Dump(bucket) {
		tags := map[string]string{}
		for _, tag := range s.Tags {
			tags[tag.Key] = tag.Value
		}
		out[oracle.Place{Measurement: s.Measurement, Tags: oracle.TagsOf(tags), Field: s.Field, Time: s.Time}] = value(s.Value)
	}
	return out
}

// real is a server of InfluxDB 2.
type real struct{ *servers.Server }

func newReal(t *testing.T) real {
	s := servers.Start(t, servers.V2)
	s.CreateBucket(bucket, 0, 7*24*time.Hour)
	return real{s}
}

func (r real) url() string                  { return r.URL }
func (r real) login() (string, string)      { return r.Org, r.Token }
func (r real) write(_ *testing.T, s string) { r.Write(bucket, s) }

func (r real) remove(t *testing.T, measurement string, at int64) {
	t.Helper()
	instant := time.Unix(0, at).UTC().Format(time.RFC3339Nano)
	body := fmt.Sprintf(`{"start":%q,"stop":%q,"predicate":"_measurement=\"%s\""}`, instant, instant, measurement)
	if a, err := r.Do("POST", "/api/v2/delete?org="+r.Org+"&bucket="+bucket, body, "Content-Type", "application/json"); err != nil || a.Status != http.StatusNoContent {
		t.Fatalf("delete: status %d, %s, %v", a.Status, a.Body, err)
	}
}

func (r real) contents(t *testing.T) oracle.Contents {
	t.Helper()
	c, err := oracle.Read(r.Server, bucket, oracle.Always)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
