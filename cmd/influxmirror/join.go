package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"influxmirror/internal/config"
	"influxmirror/internal/mirror"
)

// How often a service asks its sources which buckets they have.
const (
	listEvery = 5 * time.Minute // of patterns
	listRest  = time.Hour       // where only status wants to know
)

// joiner starts the mirrors of buckets that come to be while the service runs. One goroutine uses it.
type joiner struct {
	*site
	outages *outages
	start   func(m *config.Mirror) error
	running map[string]bool // by name
	said    map[string]bool // what is left out, and why
	due     map[*config.Endpoint]time.Time
}

// run asks until ctx ends; an error is one of the state directory.
func (j *joiner) run(ctx context.Context) error {
	j.due = map[*config.Endpoint]time.Time{}
	for {
		next := time.Now().Add(listRest)
		for _, e := range sources(j.cfg) {
			if !time.Now().Before(j.due[e]) {
				if err := j.ask(ctx, e); err != nil {
					return err
				}
			}
			if j.due[e].Before(next) {
				next = j.due[e]
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(next)):
		}
	}
}

// ask lists the buckets of one source, starts what is new, and says when to ask again.
func (j *joiner) ask(ctx context.Context, e *config.Endpoint) error {
	patterns := slices.DeleteFunc(slices.Clone(j.cfg.Mirrors), func(m *config.Mirror) bool { return !m.IsPattern() || !m.From.Endpoint.Same(e) })
	list, err := j.listBuckets(ctx, e)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil && codeOf(err) == exitState && !errors.Is(err, mirror.ErrFull):
		return err
	case len(patterns) == 0:
		if j.due[e] = time.Now().Add(listRest); err != nil {
			j.log.Debug(fmt.Sprintf("which buckets there are is not known: %v", err))
		}
		return nil
	case err != nil:
		pause := max(patterns[0].Wait, listTimeout)
		j.due[e] = time.Now().Add(pause)
		j.outages.begin(patterns[0].Name, err, pause, 0)
		return nil
	}
	j.due[e] = time.Now().Add(listEvery)
	j.outages.end(patterns[0].Name)
	return j.join(ctx, patterns, list)
}

// join starts the mirrors of the patterns that do not run yet.
func (j *joiner) join(ctx context.Context, patterns []*config.Mirror, list []config.Listing) error {
	listed := map[*config.Mirror][]config.Listing{}
	for _, m := range j.cfg.Mirrors {
		if !m.IsPattern() {
			continue
		}
		known, err := j.rememberedBuckets(ctx, m)
		if err != nil {
			return withCode(exitState, err)
		}
		if listed[m] = known; slices.Contains(patterns, m) {
			listed[m] = append(known, list...)
		}
	}
	all, left := j.cfg.Expand(listed)
	for _, l := range left {
		text := leftOut(l)
		switch {
		case j.said[text]:
		case l.Quiet:
			j.log.Debug(text)
		default:
			j.log.Warn(text)
		}
		j.said[text] = true
	}
	for _, m := range all {
		if m.Pattern == "" || j.running[m.Name] {
			continue
		}
		j.log.Info(fmt.Sprintf("bucket %s of %s joins", clean(m.From.Bucket), m.From.Endpoint.Name), "mirror", m.Name)
		if err := j.start(m); err != nil {
			return err
		}
		j.running[m.Name] = true
	}
	for _, m := range patterns {
		if !slices.ContainsFunc(all, func(o *config.Mirror) bool { return o.Pattern == m.Name }) && !j.said[m.Name] {
			j.said[m.Name] = true
			j.log.Warn(j.nothingFits(m, list))
		}
	}
	return nil
}
