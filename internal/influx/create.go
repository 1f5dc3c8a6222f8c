package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"influxmirror/internal/mirror"
)

// CreateBucket makes the bucket of this Target. Zero durations: kept for ever, and the server's own choice of shard groups. A token that
// may not is told by an error of kind Rights that holds the command for somebody who may.
func (t *Target) CreateBucket(ctx context.Context, retention, shardGroup time.Duration) error {
	op := "create bucket " + strconv.Quote(t.o.Bucket)
	d, old, err := t.whichServer(ctx)
	if err != nil {
		return err
	}
	if old {
		return t.createV1(ctx, op, d, retention, shardGroup)
	}
	org, err := t.orgID(ctx)
	if err == nil {
		type rule struct {
			Type  string `json:"type"`
			Every int64  `json:"everySeconds"`
			Group int64  `json:"shardGroupDurationSeconds,omitempty"`
		}
		doc := struct {
			Org   string `json:"orgID"`
			Name  string `json:"name"`
			Rules []rule `json:"retentionRules"`
		}{org, t.o.Bucket, []rule{{"expire", int64(retention / time.Second), int64(shardGroup / time.Second)}}}
		var body []byte
		if body, err = json.Marshal(doc); err != nil {
			return err
		}
		var a *answer
		if a, err = t.do(ctx, &request{op: op, method: http.MethodPost, path: "/api/v2/buckets", body: body, write: true}); err == nil {
			return a.body.Close()
		}
	}
	if e := (*mirror.Error)(nil); errors.As(err, &e) && e.Kind == mirror.Rights {
		hint := "influx bucket create --org " + shellQuote(t.o.Org) + " --name " + shellQuote(t.o.Bucket)
		if retention > 0 {
			hint += " --retention " + strconv.FormatInt(int64(retention/time.Second), 10) + "s"
		}
		if shardGroup > 0 {
			hint += " --shard-group-duration " + strconv.FormatInt(int64(shardGroup/time.Second), 10) + "s"
		}
		return &mirror.Error{Kind: mirror.Rights, Side: e.Side, URL: e.URL, Op: op, Status: e.Status,
			Err: fmt.Errorf("the bucket does not exist, or the token does not see it, and the token may not create it; with one that may: %s", hint)}
	}
	return err
}

// orgID looks up the organisation by its name. A token for buckets alone sees no organisation.
func (c *Client) orgID(ctx context.Context) (string, error) {
	var list struct {
		Orgs list[struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		}] `json:"orgs"`
	}
	op := "find organisation " + strconv.Quote(c.o.Org)
	if _, err := c.json(ctx, op, "/api/v2/orgs", url.Values{"org": {c.o.Org}}, &list); err != nil {
		return "", err
	}
	for _, o := range list.Orgs {
		if o.Name == c.o.Org {
			return o.ID, nil
		}
	}
	return "", &mirror.Error{Kind: mirror.Rights, Side: c.o.Side, URL: c.URL(), Op: op, Err: errors.New("not visible to this token")}
}

// BucketName returns the name that a bucket has now, by its id; an error of kind Missing if the token sees none, or the server knows no ids.
func (c *Client) BucketName(ctx context.Context, id string) (string, error) {
	if _, old := c.database(); old || id == "" {
		return "", &mirror.Error{Kind: mirror.Missing, Side: c.o.Side, URL: c.URL(), Op: "find bucket by id", Err: errors.New("InfluxDB 1 has no ids")}
	}
	var b bucketDoc
	if _, err := c.json(ctx, "find bucket "+id, "/api/v2/buckets/"+url.PathEscape(id), nil, &b); err != nil {
		return "", err
	}
	return b.Name, nil
}

// Append writes lines by the names of organisation and bucket, in one attempt and without a whole probe: a token that may only write is enough.
func (t *Target) Append(ctx context.Context, lines []byte) error {
	r, err := t.byName(ctx, "write to bucket "+strconv.Quote(t.o.Bucket), lines)
	if err != nil {
		return err
	}
	a, err := t.do(ctx, r)
	if err != nil {
		if mirror.KindOf(err) == mirror.Missing {
			t.forget() // another server may have taken its place
		}
		return t.refusedV1(err)
	}
	a.body.Close()
	if a.status != http.StatusNoContent {
		return t.fail(r, mirror.Unknown, a.status, errors.New("not the answer InfluxDB gives to a write"))
	}
	return nil
}

// shellQuote makes s one word of a POSIX shell.
func shellQuote(s string) string {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.') {
			return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
		}
	}
	if s == "" {
		return "''"
	}
	return s
}
