package influx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"influxmirror/internal/mirror"
)

// The products that a Probe tells apart.
const (
	product1 = "InfluxDB 1"
	product2 = "InfluxDB 2"
)

// database is a bucket of InfluxDB 1.x: a database and one of its retention policies. The zero value stands for a server of another kind.
// Neither name can hold a slash there, so the first one in "db/rp" parts them. policy is "" for the default one, until the probe has its name.
type database struct{ name, policy string }

func databaseOf(bucket string) database {
	name, policy, _ := strings.Cut(bucket, "/")
	return database{name, policy}
}

func (d database) String() string {
	if d.policy == "" {
		return d.name
	}
	return d.name + "/" + d.policy
}

// database returns where the bucket is on a 1.x server; ok is false where the server is another, or was not probed yet.
func (c *Client) database() (d database, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.old, c.old != database{}
}

// setLine remembers what the server is. The policy that a probe has found stays, for others are reading and writing meanwhile.
func (c *Client) setLine(product string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = true
	if product != product1 {
		c.old = database{}
	} else if c.old == (database{}) {
		c.old = databaseOf(c.o.Bucket)
	}
}

// forget makes the next write by name ask what the server is.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = false
}

// address adds to a query or a write which bucket it is for.
func (c *Client) address(v url.Values) {
	d, old := c.database()
	if !old {
		d = databaseOf(c.o.Bucket) // 2.x reads a bucket named "a/b" as policy b of database a, and "a/b" as a database finds nothing
	}
	v.Set("db", d.name)
	if d.policy != "" {
		v.Set("rp", d.policy)
	}
}

// line tells the lines of servers apart. The version is only a text, "dev" or "unknown" where somebody built the server: only 2.x has /ready
// and /api/v2/setup, which need no login; a proxy may keep them back.
func (c *Client) line(ctx context.Context, p *mirror.Probe) error {
	one, two := strings.HasPrefix(p.Version, "1."), strings.HasPrefix(p.Version, "2.")
	for _, path := range []string{"/ready", "/api/v2/setup"} {
		var doc struct {
			Status  string `json:"status"`
			Allowed *bool  `json:"allowed"`
		}
		_, err := c.json(ctx, "ask what it is", path, nil, &doc)
		switch kind := mirror.KindOf(err); {
		case err == nil && (doc.Status != "" || doc.Allowed != nil):
			p.Product = product2
			return nil
		case err == nil, kind == mirror.Foreign, kind == mirror.Rejected:
			return c.imitation(p, err)
		case kind != mirror.Missing && kind != mirror.Rights:
			return err
		case one:
			p.Product = product1
			return nil
		case two, kind == mirror.Rights:
			p.Product = product2
			return nil
		}
	}
	p.Product = product1
	return nil
}

// imitation is about a server that answers /ping as InfluxDB does, and nothing else.
func (c *Client) imitation(p *mirror.Probe, why error) error {
	if why == nil {
		why = errors.New("unknown document")
	} else if e := (*mirror.Error)(nil); errors.As(why, &e) {
		why = e.Err
	}
	return &mirror.Error{Kind: mirror.Foreign, Side: c.o.Side, URL: c.URL(), Op: "ask what it is", Err: fmt.Errorf(
		"not an InfluxDB answer, though it calls itself InfluxDB %s: VictoriaMetrics and other imitations cannot be mirrored (%w)", p.Version, why)}
}

// bucketV1 finds the database and the retention policy, and that this user may read them. Servers of that age have no ids: what a bucket
// is known by is its address and name.
func (c *Client) bucketV1(ctx context.Context, p *mirror.Probe) error {
	d := databaseOf(c.o.Bucket)
	op := "find bucket " + strconv.Quote(c.o.Bucket)
	fail := func(kind mirror.Kind, format string, args ...any) error {
		return &mirror.Error{Kind: kind, Side: c.o.Side, URL: c.URL(), Op: op, Err: fmt.Errorf(format, args...)}
	}
	if strings.ContainsAny(d.policy, `/\`) || strings.Contains(d.name, `\`) || d.name == "" {
		return fail(mirror.Missing, "on InfluxDB 1 a bucket is DATABASE/POLICY, or DATABASE for its default retention policy; no name there has a slash or backslash")
	}
	tables, err := c.ask(ctx, op, "SHOW RETENTION POLICIES ON "+ident(d.name))
	switch mirror.KindOf(err) {
	case mirror.Missing:
		return fail(mirror.Missing, "there is no database %s; check the name", strconv.Quote(d.name))
	case mirror.Rights:
		return c.hiddenV1(ctx, d, op, err)
	case mirror.Foreign:
		return c.imitation(p, err)
	}
	if err != nil {
		return err
	}
	policies, err := parsePolicies(tables)
	if err != nil {
		return fail(mirror.Foreign, "%w", err)
	}
	var names []string
	for _, r := range policies {
		names = append(names, strconv.Quote(r.name))
		if r.name != d.policy && (d.policy != "" || !r.isDefault) {
			continue
		}
		d.policy = r.name
		p.Product, p.Bucket, p.Retention, p.ShardGroup = product1, d.String(), r.retention, r.shardGroup
		p.Identity = mirror.WeakIdentity(hostOf(c.o.URL), d.String())
		c.mu.Lock()
		c.old = d
		c.window, c.unsigned = r.window(d.name), ""
		if c.tells != tooMuch {
			c.tells = byStats
		}
		c.mu.Unlock()
		return nil
	}
	switch {
	case d.policy != "":
		return fail(mirror.Missing, "database %s has no retention policy %s; it has %s", strconv.Quote(d.name), strconv.Quote(d.policy), strings.Join(names, ", "))
	case len(names) == 0:
		return fail(mirror.Missing, "database %s has no retention policy", strconv.Quote(d.name))
	}
	return fail(mirror.Blocked, "database %s has no default retention policy; name one of %s: %s/POLICY", strconv.Quote(d.name), strings.Join(names, ", "), d.name)
}

// hiddenV1 says why a user was refused: it sees the databases it has any right on.
func (c *Client) hiddenV1(ctx context.Context, d database, op string, refused error) error {
	e := (*mirror.Error)(nil)
	if !errors.As(refused, &e) || e.Status == http.StatusUnauthorized {
		if e != nil {
			e.Err = fmt.Errorf("%w; check username and password of this endpoint", e.Err)
		}
		return refused
	}
	tables, err := c.ask(ctx, op, "SHOW DATABASES")
	if err != nil {
		return err
	}
	for _, t := range tables {
		if slices.ContainsFunc(t.Rows, func(row []cell) bool { return len(row) == 1 && row[0].Text == d.name }) {
			e.Err = c.grant(d, e.Err)
			return e
		}
	}
	return &mirror.Error{Kind: mirror.Missing, Side: c.o.Side, URL: c.URL(), Op: op, Err: fmt.Errorf(
		"no database %s is visible to user %s; check the name, or let an admin say: %s", strconv.Quote(d.name), strconv.Quote(c.user()), c.grantStatement(d))}
}

// grant adds to a refusal how an admin ends it.
func (c *Client) grant(d database, err error) error {
	return fmt.Errorf("%w; an admin may say: %s", err, c.grantStatement(d))
}

// grantStatement is for what this side does: READ and WRITE are two rights on 1.x, and a target needs both.
func (c *Client) grantStatement(d database) string {
	right := "READ"
	if c.o.Side == mirror.TargetSide {
		right = "ALL"
	}
	return "GRANT " + right + " ON " + ident(d.name) + " TO " + ident(c.user())
}

func (c *Client) user() string {
	if c.o.Login == nil {
		return ""
	}
	login, _ := c.o.Login()
	return login.User
}

type policy struct {
	name                  string
	retention, shardGroup int64
	isDefault             bool
	past, future          int64 // of the write window, 0 for none; from 1.12 on
}

// window says why a policy is no target, or "": what lies outside its write window today may lie inside tomorrow.
func (p policy) window(db string) string {
	if p.past == 0 && p.future == 0 {
		return ""
	}
	return fmt.Sprintf("retention policy %s takes only points from %v ago to %v ahead, so that no history can be written; an admin may say: ALTER RETENTION POLICY %s ON %s FUTURE LIMIT 0s PAST LIMIT 0s",
		strconv.Quote(p.name), time.Duration(p.past), time.Duration(p.future), ident(p.name), ident(db))
}

// parsePolicies reads SHOW RETENTION POLICIES, whose columns differ between versions.
func parsePolicies(tables []table) (out []policy, err error) {
	for _, t := range tables {
		for _, row := range t.Rows {
			var p policy
			for i, column := range t.Columns {
				switch column {
				case "name":
					p.name = row[i].Text
				case "duration":
					p.retention, err = nanoseconds(row[i].Text, err)
				case "shardGroupDuration":
					p.shardGroup, err = nanoseconds(row[i].Text, err)
				case "pastWriteLimit":
					p.past, err = nanoseconds(row[i].Text, err)
				case "futureWriteLimit":
					p.future, err = nanoseconds(row[i].Text, err)
				case "default":
					p.isDefault = row[i].Bits == 1
				}
			}
			if p.name == "" || p.shardGroup <= 0 || p.retention < 0 {
				return nil, fmt.Errorf("%w: a retention policy %v", errGrammar, p)
			}
			out = append(out, p)
		}
	}
	return out, err
}

func nanoseconds(s string, err error) (int64, error) {
	d, bad := time.ParseDuration(s)
	if bad != nil {
		err = fmt.Errorf("%w: a duration %q", errGrammar, printable(s, 40))
	}
	return int64(d), err
}

// hostOf is host, port and path of an address, for comparing.
func hostOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return strings.ToLower(host + ":" + port + strings.TrimSuffix(u.Path, "/"))
}
