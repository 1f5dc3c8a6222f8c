package influxtest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
)

// A refusal is why a write did not store everything: what was left out, if anything at all was stored, or a line that did not parse.
type refusal struct {
	partial bool   // the other points may be stored
	reason  string // in the server's words
	dropped int
	suffix  string // " for database: …", where the server adds it
}

// store parses and stores lines. What a real server stores of a refused body is stored.
func (s *Server) store(b *bucket, body string, unit int64) *refusal {
	points, bad := s.parseLines(body, s.now().UnixNano(), unit)
	if len(bad) > 0 {
		r := &refusal{reason: strings.Join(bad, "\n")}
		if s.version == V2 || len(points) == 0 {
			return r // 2.x stores nothing of a body with a bad line
		}
		if kept := s.storePoints(b, points); kept != nil {
			return kept
		}
		r.partial, r.suffix = true, " for database: "+b.db
		return r
	}
	return s.storePoints(b, points)
}

// storePoints stores the points shard by shard, as real servers do: what one shard refuses does not stop the others.
func (s *Server) storePoints(b *bucket, points []point) *refusal {
	edge := int64(minTime)
	bound := time.Time{}
	if b.retention > 0 {
		bound = s.now().Add(-b.retention)
		edge = bound.UnixNano()
	}
	var expired []point
	var order []*group
	byGroup := map[*group][]point{}
	var last *group
	for _, p := range points {
		if p.time < edge {
			expired = append(expired, p)
			continue
		}
		if last == nil || p.time < last.start || p.time >= last.end {
			last = b.groupAt(p.time)
			if last == nil {
				s.shardIDs++
				last = b.newGroup(s.shardIDs, p.time)
			}
		}
		if _, ok := byGroup[last]; !ok {
			order = append(order, last)
		}
		byGroup[last] = append(byGroup[last], p)
	}
	var refused *refusal
	for _, g := range order {
		if r := s.storeInto(b, g, byGroup[g]); r != nil && refused == nil {
			refused = r
		}
	}
	if refused == nil && len(expired) > 0 {
		refused = expiredRefusal(b, expired, bound)
	}
	return refused
}

func expiredRefusal(b *bucket, expired []point, bound time.Time) *refusal {
	oldest, newest := expired[0], expired[0]
	for _, p := range expired {
		if p.time < oldest.time {
			oldest = p
		}
		if p.time > newest.time {
			newest = p
		}
	}
	say := func(which string, p point) string {
		return fmt.Sprintf("%s point %s at %s dropped because it violates a Retention Policy Lower Bound at %s",
			which, p.key, time.Unix(0, p.time).UTC().Format(time.RFC3339Nano), bound.UTC().Format(time.RFC3339Nano))
	}
	database := b.db
	if b.id != b.name {
		database = b.id
	}
	return &refusal{partial: true, dropped: len(expired), suffix: " for database: " + database + " for retention policy: " + b.storedPolicy(),
		reason: fmt.Sprintf("dropped %d points outside retention policy of duration %v - %s, %s", len(expired), b.retention, say("oldest", oldest), say("newest", newest))}
}

// storedPolicy is the retention policy's name in storage: 2.x knows one only.
func (b *bucket) storedPolicy() string {
	if b.id != b.name {
		return "autogen"
	}
	return b.rp
}

// storeInto stores points in one shard. A line with a field of the wrong type is dropped whole, though fields before it may be created.
func (s *Server) storeInto(b *bucket, g *group, points []point) *refusal {
	b.dump = nil
	g.requests++
	g.points += uint64(len(points)) // 2.x counts what is asked, 1.x what is stored
	var refused *refusal
	refuse := func(dropped int, format string, args ...any) {
		if refused == nil {
			refused = &refusal{partial: true, reason: fmt.Sprintf(format, args...)}
			if s.version == V1 {
				refused.suffix = " for database: " + b.db + " for retention policy: " + b.rp
			}
		}
		refused.dropped += dropped
		if s.version == V1 {
			g.points -= uint64(dropped)
		}
	}
	for _, p := range points {
		if tagValue(p.tags, "time") != "" {
			refuse(1, "invalid tag key: input tag %q on measurement %q is invalid", "time", p.measurement)
			continue
		}
		m := g.measurements[p.measurement]
		if m == nil {
			m = newMeasurement(p.measurement)
			g.measurements[p.measurement] = m
		}
		se := m.seriesOf(p) // also when the point is refused below
		timed := 0
		for _, f := range p.fields {
			if f.key == "time" {
				timed++
			}
		}
		if timed == len(p.fields) {
			refuse(1, "invalid field name: input field %q on measurement %q is invalid", "time", p.measurement)
			continue
		}
		if timed > 0 && s.version == V1 {
			refuse(0, "invalid field name: input field %q on measurement %q is invalid. Field %q has been stripped from point.", "time", p.measurement, "time")
		}
		if reason := m.admit(p); reason != "" {
			refuse(1, "%s", reason)
			continue
		}
		se.add(p)
	}
	return refused
}

// tagValue is the value of a tag, "" when there is none.
func tagValue(tags []Tag, key string) string {
	for _, t := range tags {
		if t.Key == key {
			return t.Value
		}
	}
	return ""
}

func (s *Server) writeV2(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	g := s.authenticate(r)
	s.mu.Unlock()
	if g == nil {
		unauthorized(w)
		return
	}
	q := r.URL.Query()
	unit, ok := map[string]int64{"": 1, "ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}[q.Get("precision")]
	if !ok {
		platformError(w, http.StatusBadRequest, "invalid", "invalid precision; valid precision units are ns, us, ms, and s")
		return
	}
	if q.Get("bucket") == "" {
		platformError(w, http.StatusNotFound, "not found", "bucket not found")
		return
	}
	body, err := readBody(r)
	if err != nil {
		platformError(w, http.StatusInternalServerError, "internal error", "An internal error has occurred - check server logs")
		return
	}
	if !s.orgOK(w, q) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	name := q.Get("bucket")
	b := s.bucketNamed(name)
	if b == nil {
		b = s.bucketByID(name)
	}
	switch {
	case b == nil:
		platformError(w, http.StatusNotFound, "not found", fmt.Sprintf("bucket %q not found", name))
	case !g.mayWrite(b.id):
		platformError(w, http.StatusForbidden, "forbidden", "insufficient permissions for write")
	default:
		refused := s.store(b, body, unit)
		switch {
		case refused == nil:
			w.WriteHeader(http.StatusNoContent)
		case refused.partial:
			platformError(w, http.StatusUnprocessableEntity, "unprocessable entity", "failure writing points to database: "+refused.String())
		default:
			platformError(w, http.StatusBadRequest, "invalid", refused.reason)
		}
	}
}

func (s *Server) writeV1(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	q := r.URL.Query()
	u, ok := s.authenticateV1(w, r)
	if !ok {
		return
	}
	if q.Get("db") == "" {
		errorV1(w, http.StatusBadRequest, "database is required")
		return
	}
	unit, ok := map[string]int64{"": 1, "n": 1, "ns": 1, "u": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}[q.Get("precision")]
	if !ok {
		errorV1(w, http.StatusBadRequest, fmt.Sprintf("invalid precision %q (use n, u, ms, s, m or h)", q.Get("precision")))
		return
	}
	body, err := readBody(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tick()
	if !s.databaseExists(q.Get("db")) {
		errorV1(w, http.StatusNotFound, fmt.Sprintf("database not found: %q", q.Get("db")))
		return
	}
	if u != nil && !u.mayWrite(q.Get("db")) {
		errorV1(w, http.StatusForbidden, fmt.Sprintf("%q user is not authorized to write to database %q", u.name, q.Get("db")))
		return
	}
	if err != nil {
		errorV1(w, http.StatusBadRequest, err.Error())
		return
	}
	if body == "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	b := s.bucketOf(q.Get("db"), q.Get("rp"))
	if b == nil {
		errorV1(w, http.StatusInternalServerError, "retention policy not found: "+q.Get("rp"))
		return
	}
	if refused := s.store(b, body, unit); refused != nil {
		errorV1(w, http.StatusBadRequest, refused.String())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *refusal) String() string {
	if !r.partial {
		return r.reason
	}
	return fmt.Sprintf("partial write: %s dropped=%d%s", r.reason, r.dropped, r.suffix)
}

func readBody(r *http.Request) (string, error) {
	var from io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return "", fmt.Errorf("unexpected EOF")
		}
		from = z
	}
	b, err := io.ReadAll(from)
	return string(b), err
}
