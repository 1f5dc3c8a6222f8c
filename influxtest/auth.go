package influxtest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// A grant is what a token of 2.x may do.
type grant struct {
	all         bool
	read, write []string // bucket ids
}

func (g *grant) mayRead(id string) bool  { return g.all || slices.Contains(g.read, id) }
func (g *grant) mayWrite(id string) bool { return g.all || slices.Contains(g.write, id) }

// A user is a user of 1.x.
type user struct {
	name, password string
	admin          bool
	read, write    []string // databases
}

func (u *user) mayRead(db string) bool  { return u.admin || slices.Contains(u.read, db) }
func (u *user) mayWrite(db string) bool { return u.admin || slices.Contains(u.write, db) }

// CreateToken makes a token of 2.x that may read and write just these buckets, given by name or id.
func (s *Server) CreateToken(read, write []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &grant{}
	for _, b := range read {
		g.read = append(g.read, s.mustBucket(b).id)
	}
	for _, b := range write {
		g.write = append(g.write, s.mustBucket(b).id)
	}
	t := s.newID("token") + s.newID("token")
	s.tokens[t] = g
	return t
}

// RevokeToken makes a token unknown.
func (s *Server) RevokeToken(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, token)
}

// CreateUser makes a user of 1.x who may read and write just these databases; an admin may do everything.
func (s *Server) CreateUser(name, password string, admin bool, read, write []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[name] = &user{name, password, admin, read, write}
}

// credentials returns the token, or the user and password, of a request. The forms are those /query of 2.x and all of 1.x understand.
func credentials(r *http.Request) (user, secret string) {
	h := r.Header.Get("Authorization")
	if t, ok := strings.CutPrefix(h, "Token "); ok {
		if r.URL.Path == "/query" || r.URL.Path == "/write" {
			if u, p, ok := strings.Cut(t, ":"); ok {
				return u, p
			}
		}
		return "", t
	}
	if u, p, ok := r.BasicAuth(); ok {
		return u, p
	}
	if q := r.URL.Query(); q.Get("p") != "" {
		return q.Get("u"), q.Get("p")
	}
	return "", ""
}

// authenticate returns what the request's token may do, nil when it is unknown. On 2.x /query takes Token and Basic, the rest Token and Bearer.
func (s *Server) authenticate(r *http.Request) *grant {
	if r.URL.Path != "/query" {
		h := r.Header.Get("Authorization")
		if t, ok := strings.CutPrefix(h, "Bearer "); ok {
			return s.tokens[t]
		}
		if !strings.HasPrefix(h, "Token ") {
			return nil
		}
	}
	_, token := credentials(r)
	return s.tokens[token]
}

// authenticateV1 returns the user, nil when everyone may do everything. Without ok it has answered already.
func (s *Server) authenticateV1(w http.ResponseWriter, r *http.Request) (*user, bool) {
	if !s.auth {
		return nil, true
	}
	name, password := credentials(r)
	s.mu.Lock()
	u := s.users[name]
	s.mu.Unlock()
	refuse := func(message string) {
		if r.URL.Path == "/query" && r.Header.Get("Accept") == "application/x-msgpack" {
			w.Header().Set("Content-Type", "application/x-msgpack")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write(msgp.AppendString(msgp.AppendString(msgp.AppendMapHeader(nil, 1), "error"), message))
			return
		}
		errorV1(w, http.StatusUnauthorized, message)
	}
	w.Header().Set("Www-Authenticate", `Basic realm="InfluxDB"`)
	_, _, basic := r.BasicAuth()
	switch {
	case strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "):
		refuse("bearer auth disabled")
	case name == "" && basic:
		refuse("username required")
	case name == "":
		refuse("unable to parse authentication credentials")
	case u == nil || u.password != password:
		refuse("authorization failed")
	default:
		w.Header().Del("Www-Authenticate")
		return u, true
	}
	return nil, false
}

// orgOK checks the organisation that a request names.
func (s *Server) orgOK(w http.ResponseWriter, q url.Values) bool {
	id, name := q.Get("orgID"), q.Get("org")
	switch {
	case id == "" && name == "":
		platformError(w, http.StatusBadRequest, "invalid", "Please provide either orgID or org")
	case id != "" && len(id) != 16:
		platformError(w, http.StatusBadRequest, "invalid", "id must have a length of 16 bytes")
	case id != "" && id != s.OrgID:
		platformError(w, http.StatusNotFound, "not found", "organization not found")
	case id == "" && name != s.Org && name != s.OrgID:
		platformError(w, http.StatusNotFound, "not found", `organization name "`+name+`" not found`)
	default:
		return true
	}
	return false
}
