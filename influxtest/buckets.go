package influxtest

import (
	"slices"
	"strings"
	"time"
)

// A dbrp says which bucket /query reads for a database and retention policy.
type dbrp struct {
	id, db, rp, bucket string
	isDefault, virtual bool
}

// CreateBucket makes a bucket and returns its id. Zero durations: kept for ever, and the server's own choice of shard groups.
// On 1.x name is "db" or "db/rp" ("autogen" when left out), and so is the id; the first policy of a database is its default.
func (s *Server) CreateBucket(name string, retention, shardGroupDuration time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.createBucket(name, retention, shardGroupDuration).id
}

func (s *Server) createBucket(name string, retention, shardGroupDuration time.Duration) *bucket {
	if shardGroupDuration == 0 {
		shardGroupDuration = defaultShardDuration(retention)
	}
	b := &bucket{name: name, retention: retention, shardDuration: shardGroupDuration, created: s.now(), updated: s.now()}
	b.db, b.rp = splitName(name)
	if s.version == V1 {
		b.isDefault = !s.databaseExists(b.db)
		b.name = b.db + "/" + b.rp
		b.id = b.name
	} else {
		b.id = s.newID(name)
	}
	s.buckets = append(s.buckets, b)
	return b
}

// splitName is the database and retention policy that a bucket's name stands for: it splits at the first slash.
func splitName(name string) (db, rp string) {
	db, rp, ok := strings.Cut(name, "/")
	if !ok {
		rp = "autogen"
	}
	return db, rp
}

func defaultShardDuration(retention time.Duration) time.Duration {
	switch {
	case retention == 0 || retention > 180*24*time.Hour:
		return 7 * 24 * time.Hour
	case retention >= 48*time.Hour:
		return 24 * time.Hour
	}
	return time.Hour
}

// UpdateBucket changes a bucket. Shard groups that exist keep their range; what a shorter retention makes expired can be read until
// EnforceRetention, the next restart or the next half hour of the server's clock.
func (s *Server) UpdateBucket(bucket string, retention, shardGroupDuration time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.mustBucket(bucket)
	b.retention, b.updated = retention, s.now()
	if shardGroupDuration != 0 {
		b.shardDuration = shardGroupDuration
	}
}

// RenameBucket gives a bucket of 2.x another name; its id stays.
func (s *Server) RenameBucket(bucket, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.mustBucket(bucket)
	b.name, b.updated = name, s.now()
	b.db, b.rp = splitName(name)
}

// DeleteBucket removes a bucket and what it holds.
func (s *Server) DeleteBucket(bucket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleteBucket(s.mustBucket(bucket))
}

func (s *Server) deleteBucket(b *bucket) {
	s.buckets = slices.DeleteFunc(s.buckets, func(o *bucket) bool { return o == b })
	s.dbrps = slices.DeleteFunc(s.dbrps, func(d *dbrp) bool { return d.bucket == b.id })
}

// CreateDBRP maps a database and retention policy of /query to a bucket of 2.x (name or id), as a row of /api/v2/dbrps does.
func (s *Server) CreateDBRP(db, rp, bucket string, isDefault bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.createDBRP(db, rp, s.mustBucket(bucket).id, isDefault)
}

func (s *Server) createDBRP(db, rp, bucket string, isDefault bool) *dbrp {
	for _, d := range s.dbrps {
		if d.db == db && isDefault {
			d.isDefault = false
		}
	}
	d := &dbrp{id: s.newID("dbrp"), db: db, rp: rp, bucket: bucket, isDefault: isDefault}
	s.dbrps = append(s.dbrps, d)
	return d
}

// rows returns the DBRP rows of the buckets that g may read: those made, then one for each bucket by its own name. db "" means all.
func (s *Server) rows(db string, g *grant) []dbrp {
	var out []dbrp
	has := map[string]bool{} // databases with a default row
	taken := map[string]bool{}
	for _, d := range s.dbrps {
		has[d.db] = has[d.db] || d.isDefault
		taken[d.db+"\x00"+d.rp] = true
		if (db == "" || d.db == db) && g.mayRead(d.bucket) {
			out = append(out, *d)
		}
	}
	if s.oldDBRP {
		return out
	}
	byName := slices.Clone(s.buckets)
	slices.SortStableFunc(byName, func(a, b *bucket) int { return strings.Compare(a.name, b.name) })
	for _, b := range byName {
		if (db == "" || b.db == db) && g.mayRead(b.id) && !taken[b.db+"\x00"+b.rp] {
			out = append(out, dbrp{id: b.id, db: b.db, rp: b.rp, bucket: b.id, virtual: true, isDefault: !strings.Contains(b.name, "/") && !has[b.db]})
		}
	}
	return out
}

// bucketFor finds the bucket that a statement on db and rp ("" for the default) reads, or says why there is none in the server's words.
func (s *Server) bucketFor(db, rp string, g *grant) (*bucket, string) {
	if db == "" {
		return nil, "database name required"
	}
	if s.version == V1 {
		if !s.databaseExists(db) {
			return nil, "database not found: " + db
		}
		if b := s.bucketOf(db, rp); b != nil {
			return b, ""
		}
		return nil, "retention policy not found: " + rp
	}
	rows := s.rows(db, g)
	if len(rows) == 0 {
		return nil, "database not found: " + db
	}
	for _, d := range rows {
		if rp == d.rp || rp == "" && d.isDefault {
			return s.bucketByID(d.bucket), ""
		}
	}
	if rp == "" {
		return nil, "default retention policy not set for: " + db
	}
	return nil, "retention policy not found: " + rp
}

func (s *Server) bucketByID(id string) *bucket {
	for _, b := range s.buckets {
		if b.id == id {
			return b
		}
	}
	return nil
}

func (s *Server) bucketNamed(name string) *bucket {
	for _, b := range s.buckets {
		if b.name == name {
			return b
		}
	}
	return nil
}

// bucketOf finds a retention policy of 1.x; rp "" is the default.
func (s *Server) bucketOf(db, rp string) *bucket {
	for _, b := range s.buckets {
		if b.db == db && (b.rp == rp || rp == "" && b.isDefault) {
			return b
		}
	}
	return nil
}

func (s *Server) databaseExists(db string) bool {
	return slices.ContainsFunc(s.buckets, func(b *bucket) bool { return b.db == db })
}

// mustBucket finds a bucket for a test, by name or id (1.x: db or db/rp).
func (s *Server) mustBucket(name string) *bucket {
	if b := s.bucketNamed(name); b != nil {
		return b
	}
	if b := s.bucketByID(name); b != nil {
		return b
	}
	if s.version == V1 {
		if b := s.bucketOf(name, ""); b != nil {
			return b
		}
	}
	panic("influxtest: no bucket " + name)
}
