package influx

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"influxmirror/internal/mirror"
)

// Limits of a listing.
const (
	bucketPage = 100 // the most a server gives at once
	maxBuckets = 100_000
)

// Listed is a bucket that this login sees.
type Listed struct {
	Name string
	Also string // its other name: DATABASE/POLICY of a default policy of 1.x; or ""
}

// Buckets lists what this login sees, by name: buckets of the organisation, system buckets too; on 1.x DATABASE for each default retention policy and
// DATABASE/POLICY for each other one, without _internal. What a token does not see cannot be told from what is not there.
func (c *Client) Buckets(ctx context.Context) ([]Listed, error) {
	var p mirror.Probe
	if err := c.identify(ctx, &p); err != nil {
		return nil, err
	}
	list := c.listV2
	if p.Product == product1 {
		list = c.listV1
	}
	all, err := list(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Listed) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

const listOp = "list buckets"

func (c *Client) listV2(ctx context.Context) (all []Listed, err error) {
	if err := c.wholeLogin(listOp); err != nil {
		return nil, err
	}
	seen := map[string]bool{} // by id
	for {
		var page struct {
			Buckets list[bucketDoc] `json:"buckets"`
		}
		query := url.Values{"org": {c.o.Org}, "limit": {strconv.Itoa(bucketPage)}, "offset": {strconv.Itoa(len(seen))}}
		_, err := c.json(ctx, listOp, "/api/v2/buckets", query, &page)
		if e := (*mirror.Error)(nil); errors.As(err, &e) && e.Kind == mirror.Missing {
			e.Err = fmt.Errorf("%w; check org: %s", e.Err, c.o.Org)
		}
		if err != nil {
			return nil, err
		}
		before := len(seen)
		for _, b := range page.Buckets {
			if !seen[b.ID] && b.Name != "" {
				seen[b.ID] = true
				all = append(all, Listed{Name: b.Name})
			}
		}
		if len(page.Buckets) < bucketPage || len(seen) == before || len(seen) > maxBuckets { // not every server heeds the offset
			return all, nil
		}
	}
}

func (c *Client) listV1(ctx context.Context) (all []Listed, err error) {
	tables, err := c.ask(ctx, listOp, "SHOW DATABASES")
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		for _, row := range t.Rows {
			if len(row) != 1 || row[0].Text == "_internal" || row[0].Text == "" {
				continue
			}
			name := row[0].Text
			shown, err := c.ask(ctx, listOp, "SHOW RETENTION POLICIES ON "+ident(name))
			switch mirror.KindOf(err) {
			case mirror.Rights, mirror.Missing:
				continue // not for this user, or gone meanwhile
			}
			if err != nil {
				return nil, err
			}
			policies, err := parsePolicies(shown)
			if err != nil {
				return nil, &mirror.Error{Kind: mirror.Foreign, Side: c.o.Side, URL: c.URL(), Op: listOp, Err: err}
			}
			for _, p := range policies {
				l := Listed{Name: name + "/" + p.name}
				if p.isDefault {
					l = Listed{Name: name, Also: l.Name}
				}
				all = append(all, l)
			}
		}
	}
	return all, nil
}

// wholeLogin says what InfluxDB 2 needs and the config does not have: whether a server is 2.x or 1.x shows only when it answers.
func (c *Client) wholeLogin(op string) error {
	var login Login
	if c.o.Login != nil {
		login, _ = c.o.Login()
	}
	var why string
	switch {
	case login.User != "":
		why = "this is InfluxDB 2, which knows no username and password: give org and token_file"
	case c.o.Org == "" && login.Token == "":
		why = "this is InfluxDB 2: org and token_file are missing"
	case c.o.Org == "":
		why = "this is InfluxDB 2: org is missing"
	default:
		return nil
	}
	return &mirror.Error{Kind: mirror.Rights, Side: c.o.Side, URL: c.URL(), Op: op, Err: errors.New(why)}
}
