package influxtest

import (
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/influxdata/influxql"
)

// validName is what 1.x allows as the name of a database or a policy.
func validName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, `/\`) &&
		strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// policyDurations are what 1.x makes of the durations asked for, or why it refuses them.
func policyDurations(retention, shards time.Duration) (time.Duration, error) {
	switch {
	case retention != 0 && retention < time.Hour:
		return 0, errors.New("retention policy duration must be at least 1h0m0s")
	case shards == 0:
		shards = defaultShardDuration(retention)
	case shards < time.Hour:
		shards = time.Hour
	}
	if retention != 0 && shards > retention {
		return 0, errors.New("retention policy duration must be greater than the shard duration")
	}
	return shards, nil
}

func (ses *session) createDatabase(st *influxql.CreateDatabaseStatement) error {
	if !validName(st.Name) || st.RetentionPolicyName != "" && !validName(st.RetentionPolicyName) {
		return errors.New("invalid name")
	}
	exists := ses.s.databaseExists(st.Name)
	if exists && !st.RetentionPolicyCreate {
		return nil
	}
	var retention time.Duration
	if st.RetentionPolicyDuration != nil {
		retention = *st.RetentionPolicyDuration
	}
	shards, err := policyDurations(retention, st.RetentionPolicyShardGroupDuration)
	name := or(st.RetentionPolicyName, "autogen")
	if exists {
		if b := ses.s.bucketOf(st.Name, name); err != nil || b == nil || b.retention != retention || b.shardDuration != shards {
			return errors.New("retention policy conflicts with an existing policy")
		}
		return nil
	}
	if err != nil {
		return err
	}
	ses.s.createBucket(st.Name+"/"+name, retention, shards)
	return nil
}

func (ses *session) createPolicy(st *influxql.CreateRetentionPolicyStatement) error {
	if !validName(st.Name) {
		return errors.New("invalid name")
	}
	if !ses.s.databaseExists(st.Database) {
		return errors.New("database not found: " + st.Database)
	}
	shards, err := policyDurations(st.Duration, st.ShardGroupDuration)
	if err != nil {
		return err
	}
	if b := ses.s.bucketOf(st.Database, st.Name); b != nil {
		if b.retention != st.Duration || b.shardDuration != shards {
			return errors.New("retention policy already exists")
		}
		return nil
	}
	b := ses.s.createBucket(st.Database+"/"+st.Name, st.Duration, shards)
	if st.Default {
		ses.makeDefault(b)
	}
	return nil
}

func (ses *session) makeDefault(b *bucket) {
	for _, o := range ses.s.buckets {
		if o.db == b.db {
			o.isDefault = o == b
		}
	}
}

func (ses *session) alterPolicy(st *influxql.AlterRetentionPolicyStatement) error {
	b := ses.s.bucketOf(st.Database, st.Name)
	if b == nil {
		return errors.New("retention policy not found: " + st.Name)
	}
	if st.Duration != nil {
		b.retention = *st.Duration
	}
	if st.ShardGroupDuration != nil && *st.ShardGroupDuration != 0 {
		b.shardDuration = *st.ShardGroupDuration
	}
	if st.Default {
		ses.makeDefault(b)
	}
	return nil
}
