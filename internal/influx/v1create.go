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

// whichServer finds out where the bucket is on a 1.x server, asking what the server is if that is not known yet. No rights are needed.
func (c *Client) whichServer(ctx context.Context) (d database, old bool, err error) {
	c.mu.Lock()
	known := c.known
	c.mu.Unlock()
	if !known {
		if err := c.identify(ctx, &mirror.Probe{}); err != nil {
			return database{}, false, err
		}
	}
	d, old = c.database()
	return d, old, nil
}

// createV1 makes the database, or the retention policy where the database is there. A policy becomes its database's default only with it.
func (t *Target) createV1(ctx context.Context, op string, d database, retention, shardGroup time.Duration) error {
	rule := " DURATION " + inSeconds(retention) + " REPLICATION 1"
	if retention == 0 {
		rule = " DURATION INF REPLICATION 1"
	}
	if shardGroup > 0 {
		rule += " SHARD DURATION " + inSeconds(shardGroup)
	}
	tables, err := t.ask(ctx, op, "SHOW DATABASES")
	if err != nil {
		return err
	}
	there := slices.ContainsFunc(tables, func(list table) bool {
		return slices.ContainsFunc(list.Rows, func(row []cell) bool { return len(row) == 1 && row[0].Text == d.name })
	})
	policy := d.policy
	if policy == "" {
		policy = "autogen" // as the server calls it where nothing is said
	}
	statement := "CREATE DATABASE " + ident(d.name) + " WITH" + rule + " NAME " + ident(policy)
	if there {
		statement = "CREATE RETENTION POLICY " + ident(policy) + " ON " + ident(d.name) + rule
	}
	_, err = t.ask(ctx, op, statement)
	if e := (*mirror.Error)(nil); errors.As(err, &e) {
		switch {
		case e.Kind == mirror.Rights && e.Status == http.StatusForbidden:
			return &mirror.Error{Kind: mirror.Rights, Side: e.Side, URL: e.URL, Op: op, Status: e.Status, Err: fmt.Errorf(
				"it does not exist, or user %s does not see it, and only an admin may create it, with: %s", strconv.Quote(t.user()), statement)}
		case strings.Contains(e.Err.Error(), "retention policy"), strings.Contains(e.Err.Error(), "invalid name"):
			e.Kind = mirror.Rejected
			e.Err = fmt.Errorf("%w (%s)", e.Err, statement)
		}
	}
	return err
}

// inSeconds writes a duration as InfluxQL reads it; servers keep whole seconds at least and round nothing.
func inSeconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

// byName is a write by the bucket's name, for which no probe is needed.
func (c *Client) byName(ctx context.Context, op string, body []byte) (*request, error) {
	_, old, err := c.whichServer(ctx)
	if err != nil {
		return nil, err
	}
	r := &request{op: op, method: http.MethodPost, path: "/api/v2/write", write: true, body: body,
		query: url.Values{"org": {c.o.Org}, "bucket": {c.o.Bucket}, "precision": {"ns"}}}
	if old {
		r.path, r.query = "/write", url.Values{}
		c.address(r.query)
	}
	return r, nil
}

// CanWrite reports whether this login may write to the bucket, without writing anything: it sends an empty body (facts 21).
// An error says that it could not be found out.
func (c *Client) CanWrite(ctx context.Context) (bool, error) {
	r, err := c.byName(ctx, "ask whether bucket "+strconv.Quote(c.o.Bucket)+" may be written", nil)
	if err != nil {
		return false, err
	}
	a, err := c.do(ctx, r)
	if err != nil {
		if e := (*mirror.Error)(nil); errors.As(err, &e) && e.Status == http.StatusForbidden {
			return false, nil
		}
		return false, err
	}
	a.body.Close()
	if a.status != http.StatusNoContent {
		return false, c.fail(r, mirror.Foreign, a.status, errors.New("not the answer InfluxDB gives to a write"))
	}
	return true, nil
}
