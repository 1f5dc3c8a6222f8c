package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"influxmirror/internal/config"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
)

// listTimeout bounds one listing of buckets.
const listTimeout = 20 * time.Second

// expand replaces the patterns among the chosen mirrors by a mirror for each of their buckets, which the source is asked for. Those that
// the ledger remembers stay, for a bucket that is not listed may only be hidden from the token; each one's own probe says so. A
// source that cannot be asked and of which nothing is remembered is said, and counts for the exit code.
func (s *site) expand(ctx context.Context, chosen []*config.Mirror) ([]*config.Mirror, error) {
	if !slices.ContainsFunc(chosen, (*config.Mirror).IsPattern) {
		return chosen, nil
	}
	listed := map[*config.Mirror][]config.Listing{}
	asked := map[*config.Endpoint][]config.Listing{}
	failed := map[*config.Endpoint]error{}
	for _, m := range s.cfg.Mirrors {
		if !m.IsPattern() || !slices.ContainsFunc(chosen, func(c *config.Mirror) bool { return c.From.Endpoint.Same(m.From.Endpoint) }) {
			continue // a bucket goes to the first pattern of its endpoint that takes it
		}
		known, err := s.rememberedBuckets(ctx, m)
		if err != nil {
			return nil, withCode(exitState, err)
		}
		e := m.From.Endpoint
		if _, done := asked[e]; !done && failed[e] == nil {
			if asked[e], err = s.listBuckets(ctx, e); err != nil {
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				delete(asked, e)
				failed[e] = err
			}
		}
		listed[m] = append(known, asked[e]...)
		if err := failed[e]; err != nil && len(known) == 0 && slices.Contains(chosen, m) {
			s.fail(fmt.Errorf("%s: %w", m.Name, err))
			s.begin = worst(s.begin, codeOf(err))
		}
	}
	all, left := s.cfg.Expand(listed)
	for _, l := range left {
		switch text := leftOut(l); {
		case !slices.Contains(chosen, l.Pattern):
		case !l.Quiet:
			s.warn("%s", text)
		case s.flags.verbose:
			s.note("%s", text)
		}
	}
	var out []*config.Mirror
	for _, m := range all {
		of := s.cfg.Mirror(m.Pattern)
		if slices.ContainsFunc(chosen, func(c *config.Mirror) bool { return c == of && of != nil || c.Name == m.Name }) {
			out = append(out, m)
		}
	}
	for _, m := range chosen {
		if m.IsPattern() && failed[m.From.Endpoint] == nil && !slices.ContainsFunc(out, func(o *config.Mirror) bool { return o.Pattern == m.Name }) {
			s.warn("%s", s.nothingFits(m, asked[m.From.Endpoint]))
			s.begin = worst(s.begin, exitUsage)
		}
	}
	return out, nil
}

func leftOut(l config.LeftOut) string {
	return fmt.Sprintf("%s: bucket %s is left out: %s", l.Pattern.Name, clean(l.Bucket), l.Why)
}

// nothingFits says what a pattern without buckets could have meant.
func (s *site) nothingFits(m *config.Mirror, listed []config.Listing) string {
	var names []string
	for _, l := range listed {
		names = append(names, clean(l.Bucket))
	}
	const most = 12
	if n := len(names) - most; n > 0 {
		names = append(names[:most], fmt.Sprintf("and %d more", n))
	}
	shows := "none"
	if len(names) > 0 {
		shows = strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s: no bucket fits its buckets; source %s shows this token: %s", m.Name, m.From.Endpoint.Address(), shows)
}

// listBuckets asks a server which buckets it has, and remembers the answer for status.
func (s *site) listBuckets(ctx context.Context, e *config.Endpoint) ([]config.Listing, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	c := influx.New(options(mirror.SourceSide, config.Ref{Endpoint: e}))
	defer c.Close()
	all, err := c.Buckets(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]config.Listing, len(all))
	for i, l := range all {
		list[i] = config.Listing{Bucket: l.Name, Also: l.Also}
	}
	s.listed[e] = list
	return list, s.keepListing(ctx, e, list)
}

// rememberedBuckets lists those that mirrors of a pattern were made for.
func (s *site) rememberedBuckets(ctx context.Context, m *config.Mirror) (list []config.Listing, err error) {
	if s.ledger == nil {
		return nil, nil
	}
	pairs, err := s.ledger.Pairs(ctx)
	for _, p := range pairs {
		for _, n := range p.Names {
			if bucket, ok := strings.CutPrefix(n.Mirror, m.Name+"/"); ok && n.Source == m.Of(bucket).From.String() {
				list = append(list, config.Listing{Bucket: bucket})
			}
		}
	}
	return list, err
}

// known returns the mirrors of the config, and those of patterns that the ledger remembers. A pattern without any stands for itself.
func (s *site) known(ctx context.Context) ([]*config.Mirror, error) {
	listed := map[*config.Mirror][]config.Listing{}
	for _, m := range s.cfg.Mirrors {
		if m.IsPattern() {
			var err error
			if listed[m], err = s.rememberedBuckets(ctx, m); err != nil {
				return nil, err
			}
		}
	}
	all, _ := s.cfg.Expand(listed)
	for i, m := range s.cfg.Mirrors {
		if m.IsPattern() && !slices.ContainsFunc(all, func(o *config.Mirror) bool { return o.Pattern == m.Name }) {
			at := slices.IndexFunc(all, func(o *config.Mirror) bool { return s.cfg.Rank(o) > i })
			if at < 0 {
				at = len(all)
			}
			all = slices.Insert(all, at, m)
		}
	}
	return all, nil
}

// members replaces the patterns among the chosen mirrors by those that the ledger remembers: recovery is for sources that cannot be asked any more.
func (a *app) members(ctx context.Context, cfg *config.Config, chosen []*config.Mirror) ([]*config.Mirror, error) {
	if !slices.ContainsFunc(chosen, (*config.Mirror).IsPattern) {
		return chosen, nil
	}
	s, err := a.open(cfg, reads)
	if err != nil {
		return nil, err
	}
	defer s.close()
	all, err := s.known(ctx)
	if err != nil {
		return nil, withCode(exitState, err)
	}
	var out []*config.Mirror
	for _, m := range all {
		if of := cfg.Mirror(m.Pattern); !slices.ContainsFunc(chosen, func(c *config.Mirror) bool { return c.Name == m.Name || c == of && of != nil }) {
			continue
		}
		if m.IsPattern() {
			return nil, withCode(exitUsage, fmt.Errorf("mirror %s stands for several buckets, and none is remembered here; name each, as in: %s/BUCKET", m.Name, m.Name))
		}
		out = append(out, m)
	}
	return out, nil
}

// bucketsNote is kept beside the proofs of a mirror: what its source listed last.
const bucketsNote = "buckets"

type bucketsDoc struct {
	At      int64
	Address string
	Buckets []config.Listing
}

// keepListing remembers what an endpoint listed with the first mirror that reads there and is remembered itself.
func (s *site) keepListing(ctx context.Context, e *config.Endpoint, list []config.Listing) error {
	if s.ledger == nil || s.lock == nil {
		return nil
	}
	mirrors, err := s.known(ctx)
	if err != nil {
		return err
	}
	for _, m := range mirrors {
		if !m.From.Endpoint.Same(e) {
			continue
		}
		if pair, _, err := s.ledger.Mirror(ctx, m.Name); err == nil {
			return pair.SetState(ctx, bucketsNote, bucketsDoc{time.Now().UnixNano(), e.Address(), list})
		}
	}
	return nil
}

// unmirroredAt are buckets of an endpoint that are in no mirror, and when that was seen.
type unmirroredAt struct {
	Endpoint string   `json:"endpoint"`
	Seen     string   `json:"seen"`
	Buckets  []string `json:"buckets"`
}

// unmirrored returns the buckets at the sources that are in no mirror and not ignored. ask asks the servers; otherwise what they listed last is taken,
// as the ledger remembers it. A server that cannot be asked is left out: that is somebody else's to report.
func (s *site) unmirrored(ctx context.Context, ask bool) (out []unmirroredAt, err error) {
	mirrors, err := s.known(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range sources(s.cfg) {
		var last bucketsDoc
		if ask {
			list, err := s.listBuckets(ctx, e)
			if err != nil {
				continue
			}
			last = bucketsDoc{time.Now().UnixNano(), e.Address(), list}
		}
		for _, m := range mirrors {
			if ask || s.ledger == nil || !m.From.Endpoint.Same(e) {
				continue
			}
			var d bucketsDoc
			if pair, _, err := s.ledger.Mirror(ctx, m.Name); err == nil {
				if found, err := pair.State(ctx, bucketsNote, &d); err == nil && found && d.Address == e.Address() && d.At > last.At {
					last = d
				}
			}
		}
		if names := s.cfg.Unmirrored(e, last.Buckets); len(names) > 0 {
			out = append(out, unmirroredAt{e.Name, seconds(last.At), names})
		}
	}
	return out, nil
}

// lookAround remembers for status which buckets the sources have, once their mirrors are remembered themselves, unless the round went too badly to
// ask for more. It is no matter if it fails.
func (s *site) lookAround(ctx context.Context, round error) {
	if code := codeOf(round); code != exitOK && code != exitIncomplete && code != exitDifferent {
		return
	}
	for _, e := range sources(s.cfg) {
		list, asked := s.listed[e]
		var err error
		if asked {
			err = s.keepListing(ctx, e, list)
		} else {
			_, err = s.listBuckets(ctx, e)
		}
		if err != nil {
			s.log.Debug(fmt.Sprintf("which buckets there are is not known: %v", err))
		}
	}
}

// sources lists the servers that are read, each once.
func sources(cfg *config.Config) (list []*config.Endpoint) {
	for _, m := range cfg.Mirrors {
		e := m.From.Endpoint
		if e.Dir == "" && !slices.ContainsFunc(list, e.Same) {
			list = append(list, e)
		}
	}
	return list
}
