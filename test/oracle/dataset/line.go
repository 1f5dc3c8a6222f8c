// Package dataset makes the points that tests write into real servers: single lines, and a set that holds everything a server lets one
// write. It shares nothing with the program that is tested. Reading back is the oracle's.
package dataset

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"influxmirror/test/servers"
)

// Stretches of time in nanoseconds.
const (
	Minute = int64(60e9)
	Hour   = 60 * Minute
	Day    = 24 * Hour
	Week   = 7 * Day
)

// Point writes one line of line protocol. tags and fields are key, value, key, value; a field's value is already in line protocol.
func Point(measurement string, tags, fields []string, at int64) string {
	var b strings.Builder
	b.WriteString(escaped(measurement, ", "))
	for i := 0; i < len(tags); i += 2 {
		b.WriteString("," + escaped(tags[i], ",= ") + "=" + escaped(tags[i+1], ",= "))
	}
	for i := 0; i < len(fields); i += 2 {
		b.WriteString([]string{" ", ","}[min(i, 1)] + escaped(fields[i], ",= ") + "=" + fields[i+1])
	}
	b.WriteString(" " + strconv.FormatInt(at, 10) + "\n")
	return b.String()
}

func escaped(s, special string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Text writes a string as the value of a field.
func Text(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// Load writes points in requests of a fair size, all of them or none of the rest. bucket is as in Server.Write.
func Load(s *servers.Server, bucket string, points []string) error {
	path := "/api/v2/write?" + url.Values{"org": {s.Org}, "bucket": {bucket}}.Encode()
	if s.Kind.Old() {
		db, rp, _ := strings.Cut(bucket, "/")
		path = "/write?" + url.Values{"db": {db}, "rp": {rp}}.Encode()
	}
	for len(points) > 0 {
		n, size := 0, 0
		for n < len(points) && size < 2<<20 {
			size += len(points[n])
			n++
		}
		body := strings.Join(points[:n], "")
		// A busy server takes more than its ten seconds to make many shard groups; what it was asked goes on meanwhile.
		for try := 0; ; try++ {
			a, err := s.Do("POST", path, body)
			if err != nil {
				return fmt.Errorf("write: %w", err)
			}
			if a.Status == 204 {
				break
			}
			if try == 5 || a.Status != 500 || !strings.Contains(string(a.Body), "timeout") {
				return fmt.Errorf("write: status %d, %s", a.Status, a.Body)
			}
		}
		points = points[n:]
	}
	return nil
}

// GroupDuration changes how a bucket of a 2.x server (its id) cuts new shard groups.
func GroupDuration(s *servers.Server, id string, d time.Duration) error {
	body := fmt.Sprintf(`{"retentionRules":[{"type":"expire","everySeconds":0,"shardGroupDurationSeconds":%d}]}`, d/time.Second)
	a, err := s.Do("PATCH", "/api/v2/buckets/"+id, body, "Content-Type", "application/json")
	if err != nil {
		return fmt.Errorf("patch bucket: %w", err)
	}
	if a.Status != 200 {
		return fmt.Errorf("patch bucket: status %d, %s", a.Status, a.Body)
	}
	return nil
}

// Monday is the start of the shard group of seven days that holds t.
func Monday(t int64) int64 {
	const offset = 4 * Day // 1970-01-01 was a Thursday
	return t - (t-offset)%Week
}
