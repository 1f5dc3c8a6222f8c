package influxtest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/influxdata/influxql"
)

// A result is the answer to one statement, or a part of it.
type result struct {
	statement int
	series    []rows
	err       string
	partial   bool // more parts follow
}

// rows is one series of a result.
type rows struct {
	name    string
	tags    []Tag
	columns []string
	values  [][]any
	timed   bool // the first column is a time
	chunks  bool // of SELECT and of what servers rewrite to it: long ones are cut, and parts say that others follow
	partial bool // the series continues in the next part
}

// A session is one request to /query.
type session struct {
	s      *Server
	r      *http.Request
	db, rp string
	grant  *grant // 2.x
	user   *user  // 1.x with authentication
	now    time.Time
}

// query answers /query. It knows SHOW DATABASES, MEASUREMENTS, FIELD KEYS, TAG KEYS, TAG VALUES, SERIES, RETENTION POLICIES and (1.x) SHARDS, STATS FOR 'shard' and DIAGNOSTICS FOR 'system', the SELECT that
// newPlan describes, EXPLAIN and EXPLAIN ANALYZE of it, and on 1.x CREATE DATABASE, CREATE and ALTER RETENTION POLICY, DROP DATABASE.
func (s *Server) query(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for k, v := range r.Form {
		q[k] = v
	}
	ses := &session{s: s, r: r, db: q.Get("db"), rp: q.Get("rp"), now: s.now()}
	if s.version == V2 {
		s.mu.Lock()
		ses.grant = s.authenticate(r)
		s.mu.Unlock()
		if ses.grant == nil {
			message := "unauthorized access"
			if _, secret := credentials(r); secret != "" {
				message = "Unauthorized"
			}
			platformError(w, http.StatusUnauthorized, "unauthorized", message)
			return
		}
	} else {
		var ok bool
		if ses.user, ok = s.authenticateV1(w, r); !ok {
			return
		}
	}
	f := &formatter{s: s, w: w, r: r, epoch: q.Get("epoch"), msgpack: r.Header.Get("Accept") == "application/x-msgpack"}
	if strings.Contains(r.Header.Get("Accept"), "csv") {
		http.Error(w, "influxtest: no CSV here", http.StatusNotImplemented)
		return
	}
	text := q.Get("q")
	if text == "" {
		if s.version == V1 {
			f.refuse(http.StatusBadRequest, `missing required parameter "q"`)
		} else if q.Get("chunked") == "true" {
			s.send(w, r, http.StatusOK, f.contentType(), nil)
		} else {
			s.send(w, r, http.StatusOK, "application/json", []byte("{}\n"))
		}
		return
	}
	parsed, err := parse(text)
	if err != nil {
		if s.version == V2 {
			platformError(w, http.StatusBadRequest, "invalid", "failed to parse query: "+err.Error())
		} else {
			f.refuse(http.StatusBadRequest, "error parsing query: "+err.Error())
		}
		return
	}
	if refused := ses.authorize(parsed); refused != "" {
		f.refuse(http.StatusForbidden, "error authorizing query: "+refused)
		return
	}
	if q.Get("chunked") == "true" {
		f.chunk = 10000
		if n, err := strconv.Atoi(q.Get("chunk_size")); err == nil && n > 0 {
			f.chunk = n
		}
	}
	for i, st := range parsed.Statements {
		res := ses.execute(st)
		res.statement = i
		f.add(res)
		if res.err != "" {
			ses.notExecuted(f, i, len(parsed.Statements))
			break
		}
		if s.between != nil && i+1 < len(parsed.Statements) {
			s.between(r, i)
		}
	}
	f.end()
}

// notExecuted answers the statements after one that failed. 2.x gives them all the number of the one that failed, so that
// in an answer that is not chunked one result with the last error is left of them.
func (ses *session) notExecuted(f *formatter, failed, n int) {
	for i := failed + 1; i < n; i++ {
		res := result{statement: i, err: "not executed"}
		if ses.s.version == V2 {
			res.statement = failed
		}
		f.add(res)
	}
}

// authorize says, on 1.x, why a user may not run a query.
func (ses *session) authorize(q *influxql.Query) string {
	if ses.user == nil || ses.user.admin {
		return ""
	}
	for _, st := range q.Statements {
		db := ses.db
		switch st := st.(type) {
		case *influxql.ShowDatabasesStatement:
			continue
		case *influxql.SelectStatement:
			db, _ = sourceDB(db, st.Sources)
		case *influxql.ExplainStatement:
			db, _ = sourceDB(db, st.Statement.Sources)
		case *influxql.ShowRetentionPoliciesStatement:
			db = or(st.Database, db)
		case *influxql.ShowMeasurementsStatement, *influxql.ShowFieldKeysStatement, *influxql.ShowTagKeysStatement, *influxql.ShowTagValuesStatement,
			*influxql.ShowSeriesStatement:
		default:
			return fmt.Sprintf("%s not authorized to execute statement '%s', requires admin privilege", ses.user.name, st)
		}
		if !ses.user.mayRead(db) {
			return fmt.Sprintf("%s not authorized to execute statement '%s', requires READ on %s", ses.user.name, st, db)
		}
	}
	return ""
}

// execute runs one statement at one moment of the store.
func (ses *session) execute(st influxql.Statement) result {
	ses.s.mu.Lock()
	defer ses.s.mu.Unlock()
	ses.s.tick()
	series, err := ses.run(st)
	if err != nil {
		return result{err: err.Error()}
	}
	return result{series: series}
}

func (ses *session) run(st influxql.Statement) ([]rows, error) {
	switch st := st.(type) {
	case *influxql.SelectStatement:
		return ses.selectRows(st)
	case *influxql.ExplainStatement:
		return ses.explain(st)
	case *influxql.ShowDatabasesStatement:
		return ses.showDatabases(), nil
	case *influxql.ShowMeasurementsStatement:
		return ses.showMeasurements(st)
	case *influxql.ShowFieldKeysStatement:
		return ses.showFieldKeys(st)
	case *influxql.ShowTagKeysStatement:
		return ses.showTagKeys(st)
	case *influxql.ShowTagValuesStatement:
		return ses.showTagValues(st)
	case *influxql.ShowSeriesStatement:
		return ses.showSeries(st)
	case *influxql.ShowRetentionPoliciesStatement:
		return ses.showRetentionPolicies(st)
	}
	if ses.s.version == V2 {
		return nil, notImplemented(st)
	}
	switch st := st.(type) {
	case *influxql.ShowShardsStatement:
		return ses.showShards(), nil
	case *influxql.ShowStatsStatement:
		return ses.showStats(st)
	case *influxql.ShowDiagnosticsStatement:
		return ses.showDiagnostics(st)
	case *influxql.CreateDatabaseStatement:
		return nil, ses.createDatabase(st)
	case *influxql.DropDatabaseStatement:
		ses.s.buckets = slices.DeleteFunc(ses.s.buckets, func(b *bucket) bool { return b.db == st.Name })
		return nil, nil
	case *influxql.CreateRetentionPolicyStatement:
		return nil, ses.createPolicy(st)
	case *influxql.AlterRetentionPolicyStatement:
		return nil, ses.alterPolicy(st)
	}
	return nil, fmt.Errorf("influxtest: no %s here", st)
}

// notImplemented words the refusal of statements that 2.x lacks, by the keywords that begin them.
func notImplemented(st influxql.Statement) error {
	var words []string
	for _, w := range strings.Fields(st.String()) {
		if w != strings.ToUpper(w) || strings.ContainsAny(w, `"'0123456789`) {
			break
		}
		words = append(words, w)
	}
	return errors.New("not implemented: " + strings.Join(words, " "))
}

// bucket finds what a statement reads when it names db, or the request's database when that is "".
func (ses *session) bucket(db, rp string) (*bucket, error) {
	if db == "" {
		db = ses.db
		if rp == "" {
			rp = ses.rp
		}
	}
	b, refused := ses.s.bucketFor(db, rp, ses.grant)
	if refused != "" {
		return nil, errors.New(refused)
	}
	return b, nil
}

// parsed remembers what requests said: most say it again and again, and to parse it takes longer than to answer it.
var parsed = struct {
	mu  sync.Mutex // guards what is below
	old map[string]*influxql.Query
}{old: map[string]*influxql.Query{}}

// parse is influxql.ParseQuery with a memory. Nobody changes what it returns.
func parse(text string) (*influxql.Query, error) {
	parsed.mu.Lock()
	defer parsed.mu.Unlock()
	if q := parsed.old[text]; q != nil {
		return q, nil
	}
	q, err := influxql.ParseQuery(text)
	if err == nil && len(text) < 64<<10 {
		for _, st := range q.Statements {
			if e, ok := st.(*influxql.ExplainStatement); ok {
				st = e.Statement
			}
			if st, ok := st.(*influxql.SelectStatement); ok {
				_, _ = st.GroupByInterval() // a statement keeps what this finds; from here on it is only read
			}
		}
		if len(parsed.old) == 4096 {
			clear(parsed.old)
		}
		parsed.old[text] = q
	}
	return q, err
}
