package oracle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"mime/multipart"
	"sort"
	"strings"
	"time"

	"influxmirror/test/servers"
)

// Groups asks the server's catalogue for the bucket's shard groups, by time. It needs the operator's token, on 1.x an administrator.
func Groups(s *servers.Server, bucket string) (out []Span, err error) {
	if !s.Kind.Old() {
		out, err = groups2(s, bucket)
	} else {
		out, err = groups1(s, bucket)
	}
	if err != nil {
		return nil, fmt.Errorf("read the catalogue of %v: %w", s.Kind, err)
	}
	for i := range out {
		out[i].Last = min(out[i].Last, AxisStop)
		if out[i].First > out[i].Last { // a restarted server reads back the start of its oldest group, before the axis, as a time after its end
			out[i].First = AxisStart
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].First < out[j].First })
	return out, nil
}

// clip is a time of the catalogue on the axis. Those of 1.x are cut to whole seconds.
func clip(at time.Time) int64 {
	switch {
	case at.Before(time.Unix(0, AxisStart)):
		return AxisStart
	case at.Unix() >= AxisStop/int64(time.Second):
		return math.MaxInt64
	}
	return at.UnixNano()
}

// groups2 reads the metadata that a backup begins with. The server breaks off in the middle of it, as if that were all, when it comes to a
// bucket that is just being made or removed.
func groups2(s *servers.Server, bucket string) (out []Span, err error) {
	for end := time.Now().Add(30 * time.Second); ; {
		out, err = metadata(s, bucket)
		if !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) || time.Now().After(end) {
			return out, err
		}
		<-time.After(100 * time.Millisecond)
	}
}

func metadata(s *servers.Server, bucket string) (out []Span, err error) {
	a, err := s.Do("GET", "/api/v2/backup/metadata", "")
	if err != nil {
		return nil, err
	}
	if a.Status != 200 {
		return nil, fmt.Errorf("status %d, %.200s", a.Status, a.Body)
	}
	_, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		return nil, err
	}
	var manifest []struct {
		BucketName        string
		OrganizationID    string
		RetentionPolicies []struct {
			ShardGroups []struct {
				StartTime, EndTime time.Time
				DeletedAt          *time.Time
			}
		}
	}
	parts := multipart.NewReader(strings.NewReader(string(a.Body)), params["boundary"])
	for {
		p, err := parts.NextPart()
		if err != nil {
			return nil, fmt.Errorf("it has no buckets: %w", err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		if strings.Contains(p.Header.Get("Content-Disposition"), `"buckets"`) {
			if err := json.Unmarshal(b, &manifest); err != nil {
				return nil, err
			}
			break
		}
	}
	found := false
	for _, m := range manifest {
		if m.BucketName != bucket || m.OrganizationID != s.OrgID {
			continue
		}
		found = true
		for _, rp := range m.RetentionPolicies {
			for _, g := range rp.ShardGroups {
				if g.DeletedAt == nil {
					out = append(out, Span{clip(g.StartTime), clip(g.EndTime) - 1})
				}
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("it has no bucket %q", bucket)
	}
	return out, nil
}

// groups1 reads SHOW SHARDS, which lists the groups of every database.
func groups1(s *servers.Server, bucket string) (out []Span, err error) {
	db, rp, err := policy(s, bucket)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	err = answer(s, db, []string{"SHOW SHARDS"}, func(_ int, b rows) error {
		column := map[string]int{}
		for i, c := range b.columns {
			column[c] = i
		}
		for _, name := range []string{"database", "retention_policy", "shard_group", "start_time", "end_time"} {
			if _, ok := column[name]; !ok {
				return fmt.Errorf("SHOW SHARDS has no column %s", name)
			}
		}
		for _, row := range b.values {
			if row[column["database"]] != db || row[column["retention_policy"]] != rp {
				continue
			}
			if id := fmt.Sprint(row[column["shard_group"]]); seen[id] {
				continue
			} else {
				seen[id] = true
			}
			from, errFrom := time.Parse(time.RFC3339, fmt.Sprint(row[column["start_time"]]))
			to, errTo := time.Parse(time.RFC3339, fmt.Sprint(row[column["end_time"]]))
			if err := errors.Join(errFrom, errTo); err != nil {
				return err
			}
			out = append(out, Span{clip(from), clip(to) - 1})
		}
		return nil
	})
	return out, err
}

// policy splits a bucket of a 1.x server into database and retention policy.
func policy(s *servers.Server, bucket string) (db, rp string, err error) {
	db, rp, _ = strings.Cut(bucket, "/")
	if rp != "" {
		return db, rp, nil
	}
	err = answer(s, db, []string{"SHOW RETENTION POLICIES ON " + quoted(db)}, func(_ int, b rows) error {
		for _, row := range b.values {
			for i, c := range b.columns {
				if c == "default" && row[i] == true {
					rp, _ = row[0].(string)
				}
			}
		}
		return nil
	})
	if err == nil && rp == "" {
		err = fmt.Errorf("database %s has no default retention policy", db)
	}
	return db, rp, err
}
