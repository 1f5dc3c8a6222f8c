package influx

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"influxmirror/internal/mirror"
)

// probeAge is how long the whole probe is believed while the connection stays the same.
const probeAge = 5 * time.Minute

// Probe asks what the server is, that the bucket exists and is visible to this token, that /query by its name really
// reaches it, and its write counters. While the connection lasts and the last whole probe is young, that is one request.
func (c *Client) Probe(ctx context.Context) (mirror.Probe, error) {
	c.mu.Lock()
	p, fresh := c.probe, c.probe.Identity != "" && c.probedOn == c.dials.Load() && time.Since(c.probedAt) < probeAge
	c.mu.Unlock()
	if fresh {
		if err := c.counters(ctx, &p); err != nil {
			return mirror.Probe{}, err
		}
		if c.unchanged() {
			return p, nil
		}
	}
	p = mirror.Probe{}
	if err := c.identify(ctx, &p); err != nil {
		return mirror.Probe{}, err
	}
	find := []func(context.Context, *mirror.Probe) error{c.bucket, c.reaches}
	if p.Product == product1 {
		find = []func(context.Context, *mirror.Probe) error{c.bucketV1}
	}
	for _, step := range find {
		if err := step(ctx, &p); err != nil {
			return mirror.Probe{}, err
		}
	}
	if err := c.mappable(ctx, &p); err != nil {
		return mirror.Probe{}, err
	}
	if err := c.counters(ctx, &p); err != nil {
		return mirror.Probe{}, err
	}
	c.mu.Lock()
	c.probe, c.probedAt, c.probedOn = p, time.Now(), c.dials.Load()
	c.mu.Unlock()
	return p, nil
}

func (c *Client) unchanged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.probedOn == c.dials.Load()
}

// json gets a small document.
func (c *Client) json(ctx context.Context, op, path string, query url.Values, into any) (*answer, error) {
	r := &request{op: op, method: http.MethodGet, path: path, query: query}
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer a.body.Close()
	if err := json.NewDecoder(a.body).Decode(into); err != nil {
		if mirror.KindOf(err) != "" || ctx.Err() != nil {
			return nil, err
		}
		return nil, c.fail(r, mirror.Foreign, a.status, errors.New("not an InfluxDB answer"))
	}
	return a, nil
}

func (c *Client) identify(ctx context.Context, p *mirror.Probe) error {
	r := &request{op: "ping", method: http.MethodGet, path: "/ping"}
	a, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	a.body.Close()
	version := a.header.Get("X-Influxdb-Version")
	if version == "" {
		return c.fail(r, mirror.Foreign, a.status, errors.New("not an InfluxDB answer; does something else listen there"))
	}
	p.Version = strings.TrimPrefix(printable(c.sent.hide(version), 40), "v")
	if strings.HasPrefix(p.Version, "3.") {
		return c.fail(r, mirror.Blocked, 0, fmt.Errorf("InfluxDB %s: only InfluxDB 1 and 2 can be mirrored by this version", p.Version))
	}
	if err := c.line(ctx, p); err != nil {
		return err
	}
	c.setLine(p.Product)
	return nil
}

// maxList is how many entries of a document are taken: more buckets, mappings or tokens no page and no server has.
const maxList = 20_000

// list is an array in a document, of which no more is made than that many entries: a few bytes of JSON are many of a struct.
type list[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *list[T]) UnmarshalJSON(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	switch t, err := dec.Token(); {
	case err != nil || t == nil: // null is no entry
		return err
	case t != json.Delim('['):
		return errGrammar
	}
	for dec.More() {
		var one T
		if err := dec.Decode(&one); err != nil {
			return err
		}
		if *l = append(*l, one); len(*l) > maxList {
			return fmt.Errorf("%w: a list of more than %d entries", errGrammar, maxList)
		}
	}
	return nil
}

type bucketDoc struct {
	ID             string `json:"id"`
	OrgID          string `json:"orgID"`
	Name           string `json:"name"`
	RetentionRules list[struct {
		EverySeconds              int64 `json:"everySeconds"`
		ShardGroupDurationSeconds int64 `json:"shardGroupDurationSeconds"`
	}] `json:"retentionRules"`
}

func (c *Client) bucket(ctx context.Context, p *mirror.Probe) error {
	var list struct {
		Buckets list[bucketDoc] `json:"buckets"`
	}
	op := "find bucket " + strconv.Quote(c.o.Bucket)
	if err := c.wholeLogin(op); err != nil {
		return err
	}
	a, err := c.json(ctx, op, "/api/v2/buckets", url.Values{"name": {c.o.Bucket}, "org": {c.o.Org}}, &list)
	if e := (*mirror.Error)(nil); errors.As(err, &e) {
		switch e.Kind {
		case mirror.Rights:
			e.Err = fmt.Errorf("the token is refused (%w); check the token of this endpoint", e.Err)
		case mirror.Missing:
			e.Err = fmt.Errorf("%w; check org: %s", e.Err, c.o.Org)
		}
	}
	if err != nil {
		return err
	}
	if len(list.Buckets) == 0 || list.Buckets[0].Name != c.o.Bucket {
		return &mirror.Error{Kind: mirror.Missing, Side: c.o.Side, URL: c.URL(), Op: op, Err: fmt.Errorf(
			"not found in organisation %s, or not visible to this token; check the name, and that the token may read this bucket", strconv.Quote(c.o.Org))}
	}
	b := list.Buckets[0]
	if !isID(b.ID) || !isID(b.OrgID) {
		return &mirror.Error{Kind: mirror.Foreign, Side: c.o.Side, URL: c.URL(), Op: op, Err: errors.New("not an InfluxDB answer: ids are letters and digits")}
	}
	p.Bucket, p.BucketID, p.OrgID = b.Name, b.ID, b.OrgID
	p.Identity = "influxdb2:" + b.OrgID + ":" + b.ID
	p.ShardGroup = int64(7 * 24 * time.Hour)
	if len(b.RetentionRules) > 0 {
		p.Retention = b.RetentionRules[0].EverySeconds * int64(time.Second)
		if s := b.RetentionRules[0].ShardGroupDurationSeconds; s > 0 {
			p.ShardGroup = s * int64(time.Second)
		}
	}
	c.clock(p, a)
	return nil
}

// isID reports whether s can be an id of 2.x, which are sixteen hexadecimal digits. They go into addresses and into commands that people are told.
func isID(s string) bool {
	return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool { return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') })
}

// reaches makes sure that /query, which knows names only, reads the bucket that was found by name (facts 11 and 12).
func (c *Client) reaches(ctx context.Context, p *mirror.Probe) error {
	d := databaseOf(c.o.Bucket)
	var rows struct {
		Content list[struct {
			Database        string `json:"database"`
			RetentionPolicy string `json:"retention_policy"`
			BucketID        string `json:"bucketID"`
			Default         bool   `json:"default"`
		}] `json:"content"`
	}
	if _, err := c.json(ctx, "read DBRP mappings", "/api/v2/dbrps", url.Values{"orgID": {p.OrgID}, "db": {d.name}}, &rows); err != nil {
		return err
	}
	for _, row := range rows.Content {
		if row.Database == d.name && (row.RetentionPolicy == d.policy || d.policy == "" && row.Default) && row.BucketID != p.BucketID {
			return &mirror.Error{Kind: mirror.Blocked, Side: c.o.Side, URL: c.URL(), Op: "read DBRP mappings", Err: fmt.Errorf(
				"reads of %s reach bucket %q, not bucket %s: a DBRP mapping points elsewhere; remove it (influx v1 dbrp list) or make %s its default",
				strconv.Quote(c.o.Bucket), row.BucketID, p.BucketID, p.BucketID)}
		}
	}
	// An operator token sees other organisations' buckets, but /query always uses the token's own organisation.
	var auths struct {
		Authorizations list[struct {
			Token string `json:"token"`
			OrgID string `json:"orgID"`
			Org   string `json:"org"`
		}] `json:"authorizations"`
	}
	if _, err := c.json(ctx, "read the token's organisation", "/api/v2/authorizations", nil, &auths); err != nil {
		if k := mirror.KindOf(err); k != mirror.Rights && k != mirror.Missing {
			return err
		}
	}
	var token string
	if c.o.Login != nil {
		login, _ := c.o.Login()
		token = login.Token
	}
	for _, au := range auths.Authorizations {
		if au.Token == token && token != "" && au.OrgID != p.OrgID {
			return &mirror.Error{Kind: mirror.Blocked, Side: c.o.Side, URL: c.URL(), Op: "read the token's organisation", Err: fmt.Errorf(
				"reads of %s reach organisation %s: the token belongs there, not to %s; use a token made in that organisation",
				strconv.Quote(c.o.Bucket), strconv.Quote(au.Org), strconv.Quote(c.o.Org))}
		}
	}
	_, err := c.ask(ctx, "read bucket "+strconv.Quote(c.o.Bucket), showMeasurements(d)+" LIMIT 1",
		"SELECT * FROM "+ident("influxmirror probe")+" WHERE time >= 0 AND time < 1")
	if e := (*mirror.Error)(nil); errors.As(err, &e) && (e.Kind == mirror.Missing || e.Kind == mirror.Rights) {
		e.Kind = mirror.Rights
		e.Err = fmt.Errorf("%w; the token may not read this bucket", e.Err)
	}
	return err
}

func (c *Client) clock(p *mirror.Probe, a *answer) {
	if a.date != 0 {
		p.Date = a.date
		p.Offset = time.Unix(0, a.date).Sub(time.Now()).Round(time.Second)
	}
}

// counters reads storage_shard_write_count of the bucket's shards (facts 23). A server that does not tell them is no error.
func (c *Client) counters(ctx context.Context, p *mirror.Probe) error {
	if p.Product == product1 {
		return c.countersV1(ctx, p)
	}
	p.Counters = mirror.Counters{}
	r := &request{op: "read write counters", method: http.MethodGet, path: "/metrics"}
	a, err := c.do(ctx, r)
	if err != nil {
		switch mirror.KindOf(err) {
		case mirror.Missing, mirror.Rights, mirror.Rejected:
			p.Counters.Started, err = c.started(ctx, p)
		}
		return err
	}
	defer a.body.Close()
	c.clock(p, a)
	shards := map[string]uint64{}
	started := ""
	lines := bufio.NewScanner(a.body)
	lines.Buffer(make([]byte, 8<<10), 1<<20)
	want := `bucket="` + p.BucketID + `"`
	for lines.Scan() {
		line := lines.Text()
		if v, ok := strings.CutPrefix(line, `influxdb_uptime_seconds{id="`); ok {
			started, _, _ = strings.Cut(v, `"`) // drawn anew at each start
		}
		labels, ok := strings.CutPrefix(line, "storage_shard_write_count{")
		if !ok || !strings.Contains(labels, want) {
			continue
		}
		end := strings.LastIndexByte(labels, '}')
		_, id, ok := strings.Cut(labels, `,id="`)
		if end < 0 || !ok {
			continue
		}
		id, _, _ = strings.Cut(id, `"`)
		n, err := strconv.ParseFloat(strings.TrimSpace(labels[end+1:]), 64)
		if err != nil || !(n >= 0 && n < 1<<63) {
			continue
		}
		shards[id] = uint64(n)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil // not what InfluxDB writes: as if it told nothing
	case err != nil:
		return err
	}
	if started == "" {
		if started, err = c.started(ctx, p); err != nil {
			return err
		}
	}
	if started != "" {
		p.Counters = mirror.Counters{Started: started, Shards: maps.Clone(shards)}
	}
	return nil
}

// started asks a server that tells no counters when it was started; "" where it does not tell that either.
func (c *Client) started(ctx context.Context, p *mirror.Probe) (string, error) {
	var ready struct {
		Started string `json:"started"`
	}
	a, err := c.json(ctx, "ask when the server started", "/ready", nil, &ready)
	switch mirror.KindOf(err) {
	case mirror.Missing, mirror.Rights, mirror.Rejected:
		return "", c.ping(ctx, p)
	}
	if err != nil {
		return "", err
	}
	c.clock(p, a)
	return ready.Started, nil
}

// ping asks for nothing but the time.
func (c *Client) ping(ctx context.Context, p *mirror.Probe) error {
	a, err := c.do(ctx, &request{op: "ping", method: http.MethodGet, path: "/ping"})
	if err != nil {
		return err
	}
	a.body.Close()
	c.clock(p, a)
	return nil
}
