package influxtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"time"

	"github.com/influxdata/influxql"
)

func (ses *session) showDatabases() []rows {
	out := rows{name: "databases", columns: []string{"name"}}
	seen := map[string]bool{}
	add := func(db string) {
		if !seen[db] {
			seen[db] = true
			out.values = append(out.values, []any{db})
		}
	}
	if ses.s.version == V2 {
		for _, d := range ses.s.rows("", ses.grant) {
			add(d.db)
		}
	} else {
		for _, b := range ses.s.buckets {
			if ses.user == nil || ses.user.mayRead(b.db) || ses.user.mayWrite(b.db) {
				add(b.db)
			}
		}
	}
	return []rows{out}
}

// names returns the measurements of a bucket by name, those of one statement's sources when it has any.
func (b *bucket) names(sources influxql.Sources) []string {
	all := map[string]bool{}
	for _, g := range b.groups {
		for name := range g.measurements {
			if len(sources) == 0 || matchesSource(sources, name) {
				all[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func matchesSource(sources influxql.Sources, name string) bool {
	for _, src := range sources {
		if m, ok := src.(*influxql.Measurement); ok && (m.Regex != nil && m.Regex.Val.MatchString(name) || m.Regex == nil && m.Name == name) {
			return true
		}
	}
	return false
}

// sourceDB is the database and policy that the sources name.
func sourceDB(db string, sources influxql.Sources) (string, string) {
	for _, src := range sources {
		if m, ok := src.(*influxql.Measurement); ok && m.Database != "" {
			return m.Database, m.RetentionPolicy
		}
	}
	return db, ""
}

func (ses *session) showMeasurements(st *influxql.ShowMeasurementsStatement) ([]rows, error) {
	if ses.db == "" && st.Database == "" {
		return nil, errors.New("database name required")
	}
	b := ses.index(or(st.Database, ses.db))
	if ses.s.version == V2 {
		var err error
		if b, err = ses.bucket(st.Database, ""); err != nil {
			return nil, nil // a database that is not there, or hidden, has no measurements
		}
	}
	var sources influxql.Sources
	if st.Source != nil {
		sources = influxql.Sources{st.Source}
	}
	out := rows{name: "measurements", columns: []string{"name"}}
	for _, n := range page(b.names(sources), st.Limit, st.Offset) {
		out.values = append(out.values, []any{n})
	}
	if len(out.values) == 0 {
		return nil, nil
	}
	return []rows{out}, nil
}

func page[T any](list []T, limit, offset int) []T {
	list = list[min(max(offset, 0), len(list)):]
	if limit > 0 {
		list = list[:min(limit, len(list))]
	}
	return list
}

func (ses *session) showFieldKeys(st *influxql.ShowFieldKeysStatement) ([]rows, error) {
	b, err := ses.bucket(sourceDB(st.Database, st.Sources))
	if err != nil {
		return nil, err
	}
	var out []rows
	for _, name := range b.names(st.Sources) {
		kinds := map[[2]string]bool{}
		for _, g := range b.groups {
			if m := g.measurements[name]; m != nil {
				for f, t := range m.fields {
					kinds[[2]string{f, t.String()}] = true
				}
			}
		}
		keys := slices.SortedFunc(maps.Keys(kinds), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
		r := rows{name: name, columns: []string{"fieldKey", "fieldType"}, chunks: true}
		for _, k := range page(keys, st.Limit, st.Offset) {
			r.values = append(r.values, []any{k[0], k[1]})
		}
		out = append(out, r)
	}
	return out, nil
}

// allSeries returns the series of a measurement in all shards, by key.
func (b *bucket) allSeries(name string) []*series {
	all := map[string]*series{}
	for _, g := range b.groups {
		if m := g.measurements[name]; m != nil {
			maps.Copy(all, m.series)
		}
	}
	list := slices.Collect(maps.Values(all))
	sort.Slice(list, func(i, j int) bool { return list[i].key < list[j].key })
	return list
}

func (b *bucket) tagKeys(name string) []string {
	all := map[string]bool{}
	for _, g := range b.groups {
		if m := g.measurements[name]; m != nil {
			for _, k := range m.tagKeys() {
				all[k] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// index is what 1.x as shipped knows of measurements, tags and series: it does not tell the policies of a database apart.
func (ses *session) index(db string) *bucket {
	all := &bucket{db: db}
	for _, b := range ses.s.buckets {
		if b.db == db {
			all.groups = append(all.groups, b.groups...)
		}
	}
	return all
}

// tagBucket is bucket, with the other words that 2.x has for an unknown database in statements about tags.
func (ses *session) tagBucket(db string, sources influxql.Sources) (*bucket, error) {
	db, rp := sourceDB(db, sources)
	if name := or(db, ses.db); ses.s.version == V1 && ses.s.databaseExists(name) {
		return ses.index(name), nil
	}
	b, err := ses.bucket(db, rp)
	if err != nil && ses.s.version == V2 && (db != "" || ses.db != "") {
		return nil, fmt.Errorf("default retention policy not set for: %s", or(db, ses.db))
	}
	return b, err
}

func (ses *session) showTagKeys(st *influxql.ShowTagKeysStatement) ([]rows, error) {
	b, err := ses.tagBucket(st.Database, st.Sources)
	if err != nil {
		return nil, err
	}
	var out []rows
	for _, name := range b.names(st.Sources) {
		r := rows{name: name, columns: []string{"tagKey"}}
		for _, k := range page(b.tagKeys(name), st.Limit, st.Offset) {
			r.values = append(r.values, []any{k})
		}
		if len(r.values) > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

func (ses *session) showTagValues(st *influxql.ShowTagValuesStatement) ([]rows, error) {
	b, err := ses.tagBucket(st.Database, st.Sources)
	if err != nil {
		return nil, err
	}
	wanted := func(key string) bool {
		switch k := st.TagKeyExpr.(type) {
		case *influxql.StringLiteral:
			return k.Val == key
		case *influxql.ListLiteral:
			return slices.Contains(k.Vals, key)
		case *influxql.RegexLiteral:
			return k.Val.MatchString(key)
		}
		return false
	}
	var out []rows
	for _, name := range b.names(st.Sources) {
		pairs := map[[2]string]bool{}
		for _, se := range b.allSeries(name) {
			for _, t := range se.tags {
				if wanted(t.Key) {
					pairs[[2]string{t.Key, t.Value}] = true
				}
			}
		}
		r := rows{name: name, columns: []string{"key", "value"}}
		for _, p := range slices.SortedFunc(maps.Keys(pairs), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
			r.values = append(r.values, []any{p[0], p[1]})
		}
		if len(r.values) > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

func (ses *session) showSeries(st *influxql.ShowSeriesStatement) ([]rows, error) {
	b, err := ses.bucket(sourceDB(st.Database, st.Sources))
	if err != nil {
		return nil, err
	}
	if ses.s.version == V1 {
		b = ses.index(b.db)
	}
	var keys []string
	for _, name := range b.names(st.Sources) {
		for _, se := range b.allSeries(name) {
			ok, err := holds(st.Condition, se.tags)
			if err != nil {
				return nil, err
			}
			if ok {
				keys = append(keys, se.key)
			}
		}
	}
	slices.Sort(keys)
	out := rows{columns: []string{"key"}, chunks: true}
	for _, k := range page(keys, st.Limit, st.Offset) {
		out.values = append(out.values, []any{k})
	}
	if len(out.values) == 0 {
		return nil, nil
	}
	return []rows{out}, nil
}

func (ses *session) showRetentionPolicies(st *influxql.ShowRetentionPoliciesStatement) ([]rows, error) {
	db := or(st.Database, ses.db)
	if ses.s.version == V2 {
		// 2.x prints the same durations for every bucket, whatever it has.
		out := rows{columns: []string{"name", "duration", "shardGroupDuration", "replicaN", "default"}}
		for _, d := range ses.s.rows(db, ses.grant) {
			out.values = append(out.values, []any{d.rp, "0s", "168h0m0s", int64(1), d.isDefault})
		}
		return []rows{out}, nil
	}
	if !ses.s.databaseExists(db) {
		return nil, errors.New("database not found: " + db)
	}
	out := rows{columns: []string{"name", "duration", "shardGroupDuration", "replicaN", "futureWriteLimit", "pastWriteLimit", "default"}}
	for _, b := range ses.s.buckets {
		if b.db == db {
			out.values = append(out.values, []any{b.rp, b.retention.String(), b.shardDuration.String(), int64(1), "0s", "0s", b.isDefault})
		}
	}
	return []rows{out}, nil
}

func (ses *session) showShards() []rows {
	var out []rows
	for _, b := range ses.s.buckets {
		at := slices.IndexFunc(out, func(r rows) bool { return r.name == b.db })
		if at < 0 {
			at = len(out)
			out = append(out, rows{name: b.db, columns: []string{"id", "database", "retention_policy", "shard_group", "start_time", "end_time", "expiry_time", "owners"}})
		}
		for _, g := range b.groups {
			expiry := ""
			if b.retention > 0 {
				expiry = time.Unix(0, g.end).Add(b.retention).UTC().Format(time.RFC3339)
			}
			out[at].values = append(out[at].values, []any{int64(g.id), b.db, b.rp, int64(g.id),
				time.Unix(0, g.start).UTC().Format(time.RFC3339), time.Unix(0, g.end).UTC().Format(time.RFC3339), expiry, ""})
		}
	}
	return out
}
