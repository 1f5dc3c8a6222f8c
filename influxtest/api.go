package influxtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"
)

func (s *Server) ping(w http.ResponseWriter, r *http.Request) {
	if s.version == V1 {
		w.Header().Set("Content-Type", "application/json")
	} else if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		http.Error(w, "Method Not Allowed", http.StatusMethodNotAllowed)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) health(w http.ResponseWriter) {
	reply(w, http.StatusOK, map[string]any{"name": "influxdb", "message": "ready for queries and writes", "status": "pass", "checks": []any{}, "version": s.reported, "commit": "none"})
}

func (s *Server) ready(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{"status": "ready", "started": s.started.UTC().Format(time.RFC3339Nano), "up": s.now().Sub(s.started).String()})
}

// metrics prints the write counters of every shard, as 2.x does for everyone who asks.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.tick()
	var count, requests []string
	for _, b := range s.buckets {
		for _, g := range b.groups {
			labels := fmt.Sprintf(`{bucket="%s",engine="tsm1",id="%d",path="/data/%[1]s/autogen/%[2]d",walPath="/wal/%[1]s/autogen/%[2]d"}`, b.id, g.id)
			count = append(count, fmt.Sprintf("storage_shard_write_count%s %d\n", labels, g.points))
			requests = append(requests, fmt.Sprintf("storage_shard_write_sum%s %d\n", labels, g.requests))
		}
	}
	s.mu.Unlock()
	var b strings.Builder
	for _, m := range []struct {
		name, help string
		lines      []string
	}{{"storage_shard_write_count", "Count of the number of write requests", count}, {"storage_shard_write_sum", "Counter of the number of points for write requests", requests}} {
		if len(m.lines) > 0 {
			sort.Strings(m.lines)
			fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %[1]s counter\n%[3]s", m.name, m.help, strings.Join(m.lines, ""))
		}
	}
	s.send(w, r, http.StatusOK, "text/plain; version=0.0.4; charset=utf-8; escaping=values", []byte(b.String()))
}

// api answers /api/v2.
func (s *Server) api(w http.ResponseWriter, r *http.Request) {
	p := strings.TrimPrefix(r.URL.Path, "/api/v2/")
	if p == "write" {
		s.writeV2(w, r)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	g := s.authenticate(r)
	if g == nil {
		unauthorized(w)
		return
	}
	id, isBucket := strings.CutPrefix(p, "buckets/")
	switch {
	case p == "orgs" && r.Method == http.MethodGet:
		s.orgs(w, r, g)
	case p == "buckets" && r.Method == http.MethodGet:
		s.listBuckets(w, r, g)
	case p == "buckets" && r.Method == http.MethodPost:
		s.postBucket(w, r, g)
	case isBucket:
		s.oneBucket(w, r, g, id)
	case p == "dbrps" && r.Method == http.MethodGet:
		s.listDBRPs(w, r, g)
	case p == "dbrps" && r.Method == http.MethodPost:
		s.postDBRP(w, r)
	default:
		platformError(w, http.StatusNotFound, "not found", "path not found")
	}
}

func (s *Server) orgs(w http.ResponseWriter, r *http.Request, g *grant) {
	if name := r.URL.Query().Get("org"); name != "" && name != s.Org {
		platformError(w, http.StatusNotFound, "not found", fmt.Sprintf("organization name %q not found", name))
		return
	}
	orgs := []any{} // a token for buckets alone sees none
	if g.all {
		orgs = append(orgs, map[string]any{"id": s.OrgID, "name": s.Org, "description": ""})
	}
	reply(w, http.StatusOK, map[string]any{"links": map[string]string{"self": "/api/v2/orgs"}, "orgs": orgs})
}

func (s *Server) listBuckets(w http.ResponseWriter, r *http.Request, g *grant) {
	q := r.URL.Query()
	if q.Get("org") != "" || q.Get("orgID") != "" {
		if !s.orgOK(w, q) {
			return
		}
	}
	list := []any{}
	for _, b := range s.buckets {
		if (q.Get("name") == "" || b.name == q.Get("name")) && (q.Get("id") == "" || b.id == q.Get("id")) && g.mayRead(b.id) {
			list = append(list, s.bucketJSON(b))
		}
	}
	limit, offset := number(q.Get("limit"), 20), number(q.Get("offset"), 0)
	list = list[min(offset, len(list)):]
	list = list[:min(limit, 100, len(list))]
	reply(w, http.StatusOK, map[string]any{"links": map[string]string{"self": "/api/v2/buckets"}, "buckets": list})
}

func (s *Server) bucketJSON(b *bucket) map[string]any {
	kind := "user"
	if b.system {
		kind = "system"
	}
	rule := map[string]any{"type": "expire", "everySeconds": int64(b.retention / time.Second), "shardGroupDurationSeconds": int64(b.shardDuration / time.Second)}
	return map[string]any{"id": b.id, "orgID": s.OrgID, "type": kind, "name": b.name, "retentionRules": []any{rule}, "labels": []any{},
		"createdAt": b.created.UTC().Format(time.RFC3339Nano), "updatedAt": b.updated.UTC().Format(time.RFC3339Nano)}
}

// oneBucket reads, changes or deletes a bucket.
func (s *Server) oneBucket(w http.ResponseWriter, r *http.Request, g *grant, id string) {
	b := s.bucketByID(id)
	allowed, action := b != nil && g.mayRead(b.id), "read"
	if r.Method != http.MethodGet && b != nil {
		allowed, action = g.mayWrite(b.id), "write"
	}
	switch {
	case len(id) != 16:
		platformError(w, http.StatusBadRequest, "invalid", "id must have a length of 16 bytes")
	case b == nil:
		platformError(w, http.StatusNotFound, "not found", "bucket not found")
	case !allowed:
		platformError(w, http.StatusUnauthorized, "unauthorized", fmt.Sprintf("%s:orgs/%s/buckets/%s is unauthorized", action, s.OrgID, id))
	case r.Method == http.MethodGet:
		reply(w, http.StatusOK, s.bucketJSON(b))
	case r.Method == http.MethodDelete:
		s.deleteBucket(b)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPatch:
		var in bucketRequest
		if !decode(w, r, &in) {
			return
		}
		if in.Name != "" {
			b.name = in.Name
			b.db, b.rp = splitName(in.Name)
		}
		if len(in.RetentionRules) > 0 {
			b.retention = time.Duration(in.RetentionRules[0].EverySeconds) * time.Second
			if d := in.RetentionRules[0].ShardGroupDurationSeconds; d != 0 {
				b.shardDuration = time.Duration(d) * time.Second
			}
		}
		b.updated = s.now()
		reply(w, http.StatusOK, s.bucketJSON(b))
	default:
		platformError(w, http.StatusMethodNotAllowed, "method not allowed", "method not allowed")
	}
}

type bucketRequest struct {
	OrgID, Name    string
	RetentionRules []struct{ EverySeconds, ShardGroupDurationSeconds int64 }
}

func (s *Server) postBucket(w http.ResponseWriter, r *http.Request, g *grant) {
	var in bucketRequest
	if !decode(w, r, &in) {
		return
	}
	var retention, shard time.Duration
	if len(in.RetentionRules) > 0 {
		retention = time.Duration(in.RetentionRules[0].EverySeconds) * time.Second
		shard = time.Duration(in.RetentionRules[0].ShardGroupDurationSeconds) * time.Second
	}
	if shard > 0 {
		shard = max(shard, time.Hour) // 2.x raises shorter ones when a bucket is made, without a word
	}
	switch {
	case in.OrgID == "":
		platformError(w, http.StatusBadRequest, "invalid", "organization id must be provided")
	case !g.all:
		platformError(w, http.StatusUnauthorized, "unauthorized", fmt.Sprintf("write:orgs/%s/buckets is unauthorized", s.OrgID))
	case in.OrgID != s.OrgID:
		platformError(w, http.StatusNotFound, "not found", "organization not found")
	case strings.HasPrefix(in.Name, "_"):
		platformError(w, http.StatusBadRequest, "invalid", fmt.Sprintf("bucket name %s is invalid. Buckets may not start with underscore", in.Name))
	case s.bucketNamed(in.Name) != nil:
		platformError(w, http.StatusUnprocessableEntity, "conflict", fmt.Sprintf("bucket with name %s already exists", in.Name))
	case retention != 0 && retention < time.Hour:
		platformError(w, http.StatusInternalServerError, "internal error", "retention policy duration must be at least 1h0m0s")
	case retention != 0 && shard > retention:
		platformError(w, http.StatusInternalServerError, "internal error", "retention policy duration must be greater than the shard duration")
	default:
		reply(w, http.StatusCreated, s.bucketJSON(s.createBucket(in.Name, retention, shard)))
	}
}

func (s *Server) listDBRPs(w http.ResponseWriter, r *http.Request, g *grant) {
	q := r.URL.Query()
	if q.Get("org") == "" && q.Get("orgID") == "" {
		platformError(w, http.StatusBadRequest, "invalid", "either 'org' or 'orgID' must be provided")
		return
	}
	if !s.orgOK(w, q) {
		return
	}
	content := []any{}
	for _, d := range s.rows(q.Get("db"), g) {
		if rp := q.Get("rp"); rp == "" || rp == d.rp {
			content = append(content, s.dbrpJSON(d))
		}
	}
	reply(w, http.StatusOK, map[string]any{"content": content})
}

func (s *Server) dbrpJSON(d dbrp) map[string]any {
	return map[string]any{"id": d.id, "database": d.db, "retention_policy": d.rp, "default": d.isDefault, "virtual": d.virtual, "orgID": s.OrgID, "bucketID": d.bucket}
}

func (s *Server) postDBRP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		BucketID, Database string
		RetentionPolicy    string `json:"retention_policy"`
		Default            bool
	}
	if decode(w, r, &in) {
		reply(w, http.StatusCreated, s.dbrpJSON(*s.createDBRP(in.Database, in.RetentionPolicy, in.BucketID, in.Default)))
	}
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		platformError(w, http.StatusBadRequest, "invalid", err.Error())
		return false
	}
	return true
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// platformError is how 2.x refuses.
func platformError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("X-Platform-Error-Code", code)
	reply(w, status, map[string]string{"code": code, "message": message})
}

func unauthorized(w http.ResponseWriter) {
	platformError(w, http.StatusUnauthorized, "unauthorized", "unauthorized access")
}

// errorV1 is how 1.x refuses.
func errorV1(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Influxdb-Error", message)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
}

// number reads a parameter that may be missing.
func number(s string, missing int) int {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 {
		return n
	}
	return missing
}
