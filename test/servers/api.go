package servers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// An Answer is what the server said to one request.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends one request with the server's own token or user (a header "Authorization" replaces it). path may hold a query; headers are
// name, value, name, value.
func (s *Server) Do(method, path, body string, headers ...string) (Answer, error) {
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	switch {
	case s.Token != "":
		req.Header.Set("Authorization", "Token "+s.Token)
	case s.User != "":
		req.SetBasicAuth(s.User, s.Password)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, b}, err
}

// Query sends InfluxQL and returns the JSON answer.
func (s *Server) Query(db, q string) string {
	a, err := s.Do("POST", "/query?epoch=ns&db="+url.QueryEscape(db), url.Values{"q": {q}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	if err != nil {
		s.fail("query %s: %v", q, err)
	}
	return string(a.Body)
}

// Write stores lines in a bucket (2.x: its name or id; 1.x: db or db/rp), all of them or the test ends.
func (s *Server) Write(bucket, lines string) {
	path := "/api/v2/write?" + url.Values{"org": {s.Org}, "bucket": {bucket}}.Encode()
	if s.Kind.Old() {
		db, rp, _ := strings.Cut(bucket, "/")
		path = "/write?" + url.Values{"db": {db}, "rp": {rp}}.Encode()
	}
	a, err := s.Do("POST", path, lines)
	if err != nil || a.Status != http.StatusNoContent {
		s.fail("write to %s: status %d, %s, %v", bucket, a.Status, a.Body, err)
	}
}

// CreateBucket makes a bucket and returns its id. Zero durations: kept for ever, and the server's own choice of shard groups.
// On 1.x name is "db" or "db/rp" ("autogen" when left out) and is returned; the first policy of a database is its default.
func (s *Server) CreateBucket(name string, retention, shardGroupDuration time.Duration) string {
	if s.Kind.Old() {
		db, rp, ok := strings.Cut(name, "/")
		if !ok {
			rp = "autogen"
		}
		policy := " DURATION " + durationV1(retention) + " REPLICATION 1"
		if shardGroupDuration != 0 {
			policy += " SHARD DURATION " + durationV1(shardGroupDuration)
		}
		// On a database that exists with another policy the first is refused.
		a := s.Query("", "CREATE DATABASE "+quote(db)+" WITH"+policy+" NAME "+quote(rp))
		if strings.Contains(a, "conflicts with an existing policy") {
			a = s.Query("", "CREATE RETENTION POLICY "+quote(rp)+" ON "+quote(db)+policy)
		}
		if strings.Contains(a, `"error"`) {
			s.fail("create database %s: %s", name, a)
		}
		return name
	}
	rule := map[string]any{"type": "expire", "everySeconds": int64(retention / time.Second)}
	if shardGroupDuration != 0 {
		rule["shardGroupDurationSeconds"] = int64(shardGroupDuration / time.Second)
	}
	var made struct{ ID string }
	if err := s.post("/api/v2/buckets", map[string]any{"orgID": s.OrgID, "name": name, "retentionRules": []any{rule}}, &made); err != nil {
		s.fail("create bucket %s: %v", name, err)
	}
	return made.ID
}

// CreateToken makes a token that may read and write just these buckets (ids). 2.x only.
func (s *Server) CreateToken(read, write []string) string {
	var permissions []any
	add := func(action string, ids []string) {
		for _, id := range ids {
			permissions = append(permissions, map[string]any{"action": action, "resource": map[string]any{"type": "buckets", "id": id, "orgID": s.OrgID}})
		}
	}
	add("read", read)
	add("write", write)
	var made struct{ Token string }
	if err := s.post("/api/v2/authorizations", map[string]any{"orgID": s.OrgID, "permissions": permissions}, &made); err != nil {
		s.fail("create token: %v", err)
	}
	return made.Token
}

// CreateUser makes a user of 1.x with Auth. Each grant is a privilege and a database: "READ db", "WRITE db" or "ALL db".
func (s *Server) CreateUser(name, password string, grants ...string) {
	statements := []string{"CREATE USER " + quote(name) + " WITH PASSWORD '" + strings.ReplaceAll(password, "'", `\'`) + "'"}
	for _, g := range grants {
		privilege, db, _ := strings.Cut(g, " ")
		statements = append(statements, "GRANT "+privilege+" ON "+quote(db)+" TO "+quote(name))
	}
	if a := s.Query("", strings.Join(statements, ";")); strings.Contains(a, `"error"`) {
		s.fail("create user %s: %s", name, a)
	}
}

// Written is how many points the bucket took since the server started, by its own counters. 2.x only.
func (s *Server) Written(id string) (n int64, err error) {
	a, err := s.Do("GET", "/metrics", "")
	if err != nil {
		return 0, err
	}
	if a.Status != http.StatusOK {
		return 0, fmt.Errorf("metrics: status %d", a.Status)
	}
	for line := range strings.Lines(string(a.Body)) {
		if strings.HasPrefix(line, "storage_shard_write_count{") && strings.Contains(line, `bucket="`+id+`"`) {
			var f float64
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &f); err != nil {
				return 0, err
			}
			n += int64(f)
		}
	}
	return n, nil
}

// setup makes a fresh server ready for use, and learns the ids of one that was set up earlier.
func (s *Server) setup() error {
	if s.Kind.Old() {
		s.BucketID = s.Bucket
		if slices.Contains(s.env, Auth) {
			s.User, s.Password = "admin", "a password"
			// The first user may be made by anyone; on the data of an earlier run this is refused.
			s.Query("", "CREATE USER "+quote(s.User)+" WITH PASSWORD '"+s.Password+"' WITH ALL PRIVILEGES")
		}
		if a := s.Query("", "CREATE DATABASE "+quote(s.Bucket)); strings.Contains(a, `"error"`) {
			return fmt.Errorf("create database %s: %s", s.Bucket, a)
		}
		return nil
	}
	s.Token, s.Org = token, Org
	var allowed struct{ Allowed bool }
	if err := s.get("/api/v2/setup", &allowed); err != nil {
		return err
	}
	if allowed.Allowed {
		err := s.post("/api/v2/setup", map[string]any{"username": "admin", "password": "a password", "org": Org, "bucket": Bucket, "token": token, "retentionPeriodSeconds": 0}, nil)
		if err != nil {
			return err
		}
	}
	var found struct{ Buckets []struct{ ID, OrgID string } }
	if err := s.get("/api/v2/buckets?name="+Bucket, &found); err != nil {
		return err
	}
	if len(found.Buckets) != 1 {
		return fmt.Errorf("set-up left no bucket %s", Bucket)
	}
	s.BucketID, s.OrgID = found.Buckets[0].ID, found.Buckets[0].OrgID
	return nil
}

func (s *Server) get(path string, into any) error { return s.decode("GET", path, nil, into) }

func (s *Server) post(path string, body, into any) error { return s.decode("POST", path, body, into) }

func (s *Server) decode(method, path string, body, into any) error {
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			return err
		}
	}
	a, err := s.Do(method, path, b.String(), "Content-Type", "application/json")
	if err != nil {
		return err
	}
	if a.Status/100 != 2 {
		return fmt.Errorf("%s %s: status %d: %s", method, path, a.Status, a.Body)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(a.Body, into)
}

func quote(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}

// durationV1 writes a duration in the only form CREATE DATABASE reads exactly.
func durationV1(d time.Duration) string {
	if d == 0 {
		return "INF"
	}
	return fmt.Sprintf("%dns", d.Nanoseconds())
}
