package conformance

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"influxmirror/influxtest"
	"influxmirror/test/servers"
)

// A server is one of the two that a case runs on.
type server struct {
	name         string
	v1           bool
	url, token   string
	auth         string // header Authorization of who may do everything; "" for that of the token, or none
	org, orgID   string
	createBucket func(name string, retention, shards time.Duration) string
	createToken  func(read, write []string) string
	restart      func()
}

func genuine(s *servers.Server) *server {
	auth := ""
	if s.User != "" {
		auth = basic(s.User, s.Password)
	}
	return &server{name: "real", auth: auth, v1: s.Kind.Old(), url: s.URL, token: s.Token, org: s.Org, orgID: s.OrgID,
		createBucket: s.CreateBucket, createToken: s.CreateToken, restart: s.Restart}
}

func double(s *influxtest.Server, v1 bool) *server {
	return &server{name: "double", v1: v1, url: s.URL, token: s.Token, org: s.Org, orgID: s.OrgID,
		createBucket: s.CreateBucket, createToken: s.CreateToken, restart: func() {
			s.Restart()
			client.CloseIdleConnections() // as on the real server, they are of no more use
		}}
}

// A scene is one run of a case on one server. What it looks at is kept, to be compared with the other server's.
type scene struct {
	*testing.T
	*server
	seen  []string
	names [][2]string // ids and what they are called in what is kept
}

// call gives an id of this server a name that both servers share.
func (c *scene) call(id, name string) string {
	if !c.v1 || !strings.HasPrefix(name, "bucket") { // on 1.x the id is the name
		c.names = append(c.names, [2]string{id, name})
	}
	return id
}

// keep keeps something that was looked at and returns it, ids replaced.
func (c *scene) keep(what, got string) string {
	for _, n := range c.names {
		got, what = strings.ReplaceAll(got, n[0], "<"+n[1]+">"), strings.ReplaceAll(what, n[0], "<"+n[1]+">")
	}
	c.seen = append(c.seen, what+" => "+got)
	return got
}

// want is for what a case states itself.
func (c *scene) want(got, want string) {
	c.Helper()
	if got != want {
		c.Errorf("%s answers\n\t%s\nand not\n\t%s", c.name, got, want)
	}
}

// bucket makes a bucket that is named after the case and called "bucket".
func (c *scene) bucket(name string, shards time.Duration) string {
	c.call(c.createBucket(name, 0, shards), "bucket "+name)
	return name
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// send makes a request with the server's own token, or without header Authorization when auth is "none".
func (c *scene) send(method, path, auth string, header []string, body string) (int, http.Header, []byte) {
	c.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	if auth == "" {
		auth = c.auth
	}
	if auth == "" && c.token != "" {
		auth = "Token " + c.token
	}
	if auth != "" && auth != "none" {
		req.Header.Set("Authorization", auth)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.Fatal(err)
	}
	return resp.StatusCode, resp.Header, b
}

var client = &http.Client{Transport: &http.Transport{DisableCompression: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// lower bounds and the like in messages
var clock = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// write writes lines and returns the status and the message.
func (c *scene) write(bucket, lines string) string {
	c.Helper()
	return c.writeAs("", bucket, lines)
}

func (c *scene) writeAs(auth, bucket, lines string) string {
	c.Helper()
	path := "/api/v2/write?" + url.Values{"orgID": {c.orgID}, "bucket": {bucket}}.Encode()
	if c.v1 {
		path = "/write?" + url.Values{"db": {bucket}}.Encode()
	}
	status, _, body := c.send("POST", path, auth, nil, lines)
	what := lines
	if len(what) > 100 {
		what = what[:100] + "…"
	}
	return c.keep("write "+what, refusal(status, body))
}

// refusal renders a status and the message of an error.
func refusal(status int, body []byte) string {
	var e struct{ Code, Message, Error string }
	if json.Unmarshal(body, &e) != nil && len(body) > 0 {
		e.Message = string(body)
	}
	return strings.TrimRight(fmt.Sprintf("%d %s %s%s", status, e.Code, clock.ReplaceAllString(e.Message, "<time>"), clock.ReplaceAllString(e.Error, "<time>")), " ")
}

// query asks in JSON at once and in msgpack in chunks; both are kept, and the second is returned.
func (c *scene) query(db, q string) string {
	c.Helper()
	c.queryAs("", "json", db, q, nil)
	return c.queryAs("", "msgpack", db, q, url.Values{"chunked": {"true"}})
}

func (c *scene) queryAs(auth, format, db, q string, params url.Values) string {
	c.Helper()
	form := url.Values{"q": {q}, "db": {db}, "epoch": {"ns"}}
	for k, v := range params {
		form[k] = v
	}
	header := []string{"Content-Type", "application/x-www-form-urlencoded"}
	if format == "msgpack" {
		header = append(header, "Accept", "application/x-msgpack")
	}
	status, h, body := c.send("POST", "/query", auth, header, form.Encode())
	what := fmt.Sprintf("%s %s %v", format, q, params)
	if status != http.StatusOK {
		return c.keep(what, fmt.Sprintf("%d %s %s", status, h.Get("Content-Type"), bytes.TrimSpace(body)))
	}
	return c.keep(what, render(c.T, h.Get("Content-Type"), body))
}

// render writes an answer of /query on a few lines: one for a result or a part of one, one for each series, one for each row.
func render(t *testing.T, contentType string, body []byte) string {
	t.Helper()
	var docs []any
	switch contentType {
	case "application/x-msgpack":
		for rest := body; len(rest) > 0; {
			var v any
			var err error
			if v, rest, err = msgp.ReadIntfBytes(rest); err != nil {
				t.Fatal(err)
			}
			docs = append(docs, v)
		}
	case "application/json":
		for d := json.NewDecoder(bytes.NewReader(body)); ; {
			d.UseNumber()
			var v any
			err := d.Decode(&v)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, v)
		}
	default:
		return contentType + " " + string(body)
	}
	var b strings.Builder
	for _, d := range docs {
		m := d.(map[string]any)
		if m["results"] == nil {
			fmt.Fprintf(&b, "%v;", m)
			continue
		}
		for _, r := range m["results"].([]any) {
			renderResult(&b, r.(map[string]any))
		}
	}
	return b.String()
}

func renderResult(b *strings.Builder, r map[string]any) {
	id := "?"
	if v, ok := r["statement_id"]; ok {
		id = fmt.Sprint(v)
	}
	fmt.Fprintf(b, "[%s", id)
	if r["error"] != nil {
		fmt.Fprintf(b, " error %v", r["error"])
	}
	list, _ := r["series"].([]any)
	for _, s := range list {
		m := s.(map[string]any)
		fmt.Fprint(b, " ", m["name"])
		if tags, ok := m["tags"].(map[string]any); ok {
			fmt.Fprint(b, tags)
		}
		columns := fmt.Sprint(m["columns"])
		fmt.Fprint(b, columns)
		rows, _ := m["values"].([]any)
		var lines []string
		for _, row := range rows {
			lines = append(lines, renderRow(row.([]any)))
		}
		switch {
		case strings.HasPrefix(columns, "[time"):
			settleTies(rows, lines)
		case columns == "[EXPLAIN ANALYZE]":
			lines = iterators(rows)
		case columns == "[QUERY PLAN]":
			lines = slices.DeleteFunc(plans(lines), func(l string) bool {
				return regexp.MustCompile(`CACHED VALUES|NUMBER OF FILES|NUMBER OF BLOCKS|SIZE OF BLOCKS`).MatchString(l)
			})
		case strings.Contains(fmt.Sprint(m["name"]), "databases"):
			lines = slices.DeleteFunc(lines, func(l string) bool { return l == `"_internal"` })
			sort.Strings(lines)
		}
		fmt.Fprint(b, " (", strings.Join(lines, "; "), ")")
		if m["partial"] == true {
			b.WriteString(" series continues")
		}
	}
	if r["partial"] == true {
		b.WriteString(" more")
	}
	b.WriteString("]")
}

// settleTies orders rows of one time, which servers give in no order they promise.
func settleTies(rows []any, lines []string) {
	for i := 0; i < len(lines); {
		j := i + 1
		for j < len(lines) && rows[j].([]any)[0] == rows[i].([]any)[0] {
			j++
		}
		sort.Strings(lines[i:j])
		i = j
	}
}

// plans orders the blocks of EXPLAIN, one for each function, which come in no order.
func plans(lines []string) []string {
	blocks := strings.Split(strings.Join(lines, "\n"), "\n\"\"\n")
	sort.Strings(blocks)
	return strings.Split(strings.Join(blocks, "\n"), "\n")
}

// iterators reduces EXPLAIN ANALYZE to the shards it names, in order.
func iterators(rows []any) []string {
	var out []string
	measurement := ""
	for _, r := range rows {
		line := fmt.Sprint(r.([]any)[0])
		if _, m, ok := strings.Cut(line, "measurement: "); ok {
			measurement = m
		}
		if _, id, ok := strings.Cut(line, "shard_id: "); ok {
			out = append(out, measurement+" in shard "+id)
		}
	}
	sort.Strings(out)
	return out
}

func renderRow(row []any) string {
	parts := make([]string, len(row))
	for i, v := range row {
		switch v := v.(type) {
		case nil:
			parts[i] = "null"
		case string:
			parts[i] = fmt.Sprintf("%q", v)
		case json.Number:
			parts[i] = v.String()
		case float64, float32:
			parts[i] = fmt.Sprintf("%vf", v)
		case int64:
			parts[i] = fmt.Sprintf("%di", v)
		case uint64:
			parts[i] = fmt.Sprintf("%du", v)
		default:
			parts[i] = fmt.Sprint(v)
		}
	}
	return strings.Join(parts, " ")
}
