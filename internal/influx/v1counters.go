package influx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"influxmirror/internal/mirror"
)

// way is how a 1.x server tells its write counters: to an admin in SHOW STATS, to everybody in /debug/vars, or not at all. It is found out
// anew by each whole probe, except that what was too much for the link stays so.
type way int

const (
	byStats way = iota
	byVars
	byNothing
	tooMuch
)

// maxVars bounds an answer of /debug/vars, which is about 5 kB a shard of any database and never compressed. Where bytes matter a server
// with more than some 200 shards is taken for one that tells no counters.
const (
	maxVars     = 16 << 20
	maxVarsLink = 1 << 20
)

// shardStats are the counters of one shard that move with every write. 1.x counts a request before its points can be read and the points
// after, so that their sum moves at least once after a survey that missed them.
type shardStats struct {
	WriteReq       uint64 `json:"writeReq"`
	WritePointsOk  uint64 `json:"writePointsOk"`
	WritePointsErr uint64 `json:"writePointsErr"`
}

func (s shardStats) sum() uint64 { return s.WriteReq + s.WritePointsOk + s.WritePointsErr }

// countersV1 reads the write counters of the policy's shards. A server or a user that may not tell them is no error.
func (c *Client) countersV1(ctx context.Context, p *mirror.Probe) error {
	p.Counters = mirror.Counters{}
	d, _ := c.database()
	c.mu.Lock()
	how := c.tells
	c.mu.Unlock()
	for how < byNothing {
		read := c.stats
		if how == byVars {
			read = c.vars
		}
		err := read(ctx, p, d)
		kind := mirror.KindOf(err)
		switch {
		case kind == mirror.Rights || kind == mirror.Missing || kind == mirror.Rejected:
			how++
		case kind == mirror.TooLarge:
			how = tooMuch
		case kind == mirror.Foreign && how == byVars: // of a proxy; /query has just shown what the server is
			return c.ping(ctx, p)
		default:
			return err
		}
		c.mu.Lock()
		c.tells = how
		c.mu.Unlock()
	}
	return c.ping(ctx, p)
}

// stats is for an admin, and for everybody where there are no users.
func (c *Client) stats(ctx context.Context, p *mirror.Probe, d database) error {
	shards, started := map[string]uint64{}, ""
	err := c.query(ctx, "read write counters", []string{"SHOW STATS FOR 'shard'", "SHOW DIAGNOSTICS FOR 'system'"}, maxSmallAnswer, func(dec *decoder, n int, a *answer) error {
		c.clock(p, a)
		tables, err := dec.tables(n)
		for _, t := range tables {
			tags := map[string]string{}
			for _, tag := range t.Tags {
				tags[tag.Key] = tag.Value
			}
			for i, column := range t.Columns {
				switch {
				case len(t.Rows) != 1:
				case t.Statement == 1 && column == "started":
					started = t.Rows[0][i].Text
				case t.Statement == 0 && tags["database"] == d.name && tags["retentionPolicy"] == d.policy && tags["id"] != "" &&
					(column == "writeReq" || column == "writePointsOk" || column == "writePointsErr"):
					shards[tags["id"]] += t.Rows[0][i].Bits
				}
			}
		}
		return err
	})
	if err == nil && started != "" {
		p.Counters = mirror.Counters{Started: started, Shards: shards}
	}
	return err
}

// vars is for everybody, unless the server's owner closed it.
func (c *Client) vars(ctx context.Context, p *mirror.Probe, d database) error {
	r := &request{op: "read write counters", method: http.MethodGet, path: "/debug/vars", limit: maxVars}
	if c.o.Compress {
		r.limit = maxVarsLink
	}
	a, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer a.body.Close()
	c.clock(p, a)
	shards, started := map[string]uint64{}, ""
	dec := json.NewDecoder(a.body)
	foreign := func(err error) error {
		if mirror.KindOf(err) != "" || ctx.Err() != nil {
			return err
		}
		return c.fail(r, mirror.Foreign, a.status, errors.New("not an InfluxDB answer"))
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return foreign(err)
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return foreign(err)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return foreign(err)
		}
		name, _ := key.(string)
		switch {
		case name == "system":
			var system struct {
				Started string `json:"started"`
			}
			if json.Unmarshal(v, &system) == nil {
				started = system.Started
			}
		case strings.HasPrefix(name, "shard:") && bytes.Contains(v, []byte(strconv.Quote("writeReq"))):
			var s struct {
				Tags struct {
					Database string `json:"database"`
					Policy   string `json:"retentionPolicy"`
					ID       string `json:"id"`
				} `json:"tags"`
				Values shardStats `json:"values"`
			}
			if json.Unmarshal(v, &s) == nil && s.Tags.Database == d.name && s.Tags.Policy == d.policy && s.Tags.ID != "" {
				shards[s.Tags.ID] = s.Values.sum()
			}
		}
	}
	if _, err := dec.Token(); err != nil {
		return foreign(err)
	}
	if started != "" {
		p.Counters = mirror.Counters{Started: started, Shards: shards}
	}
	return nil
}
