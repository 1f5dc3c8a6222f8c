package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"influxmirror/internal/archive"
	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
)

// reader is what commands need of a bucket that is read, whatever keeps it.
type reader interface {
	engine.Source
	engine.Locator
	engine.Inspector
	URL() string // the address, without secrets
	Close()
}

// writer is what commands need of a bucket that is written.
type writer interface {
	reader
	Open(ctx context.Context, c mirror.Chunk) (engine.Writer, error)
	// CreateBucket makes the bucket; zero durations: kept for ever, and shard groups as the keeper chooses.
	CreateBucket(ctx context.Context, retention, shardGroup time.Duration) error
}

// namer is an end that can tell the present name of a bucket by its id.
type namer interface {
	BucketName(ctx context.Context, id string) (string, error)
}

// openSource opens what is read of m, or what gives when m goes back.
func openSource(r config.Ref, m *config.Mirror, back bool) reader {
	if r.Endpoint.Dir != "" {
		return openArchive(mirror.SourceSide, r)
	}
	return influx.New(mapped(options(mirror.SourceSide, r), m, !back))
}

// openTarget opens what is written of m, or what receives when m goes back.
func openTarget(r config.Ref, m *config.Mirror, back bool) writer {
	if r.Endpoint.Dir != "" {
		return openArchive(mirror.TargetSide, r)
	}
	return influx.NewTarget(mapped(options(mirror.TargetSide, r), m, back))
}

// mapped says what of a bucket belongs to m: the series of the end that m copies from come with the tags that m adds, and of the other end, which several
// may share, only what has them is seen.
func mapped(o influx.Options, m *config.Mirror, from bool) influx.Options {
	if from {
		o.AddTags, o.Wants = m.AddTags, m.Includes
	} else {
		o.Only = m.AddTags
	}
	return o
}

// directory is an archive as an end.
type directory struct{ *archive.Bucket }

func openArchive(side mirror.Side, r config.Ref) directory {
	return directory{archive.New(archive.Options{Side: side, Dir: r.Endpoint.Dir, Name: r.Bucket})}
}

// Close gives up the archive. What it could not clean up is cleaned up by the next who writes there.
func (d directory) Close() { _ = d.Bucket.Close() }

// sourceEnd is a source whose Probe is remembered for the target, and which looks for a bucket that was renamed.
type sourceEnd struct {
	reader
	wired *wired

	mu   sync.Mutex
	last mirror.Probe // guarded by mu
}

func (s *sourceEnd) Probe(ctx context.Context) (mirror.Probe, error) {
	p, err := s.reader.Probe(ctx)
	if mirror.KindOf(err) == mirror.Missing {
		err = s.wired.renamed(ctx, s.reader, mirror.SourceSide, err)
	}
	if id := s.wired.usedBucket(ctx, mirror.SourceSide); mirror.KindOf(err) == mirror.Missing && id != "" && !s.wired.back && s.wired.cfg.Pattern == "" {
		return p, &engine.Blocked{Reason: fmt.Sprintf("source %s: bucket %s (%s) is gone, or the token does not see it any more; to make it anew and give it back what it lost: influxmirror recover %s",
			s.URL(), s.wired.cfg.From.Bucket, id, pasted(s.wired.cfg))}
	}
	if e := (*mirror.Error)(nil); s.wired.cfg.Pattern != "" && errors.As(err, &e) && e.Kind == mirror.Missing {
		e.Err = fmt.Errorf("%w; to stop mirroring it: exclude_buckets: [%s]", e.Err, s.wired.cfg.From.Bucket)
	}
	if err == nil {
		s.mu.Lock()
		s.last = p
		s.mu.Unlock()
	}
	return p, err
}

func (s *sourceEnd) probed() mirror.Probe {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// targetEnd is a target that is made where it is missing, and whose retention and shard groups are compared with the source's.
type targetEnd struct {
	writer
	wired  *wired
	how    mode
	log    *slog.Logger
	said   map[string]bool // warnings; only Probe uses it, which no two goroutines call at once
	absent bool            // set by Probe: the bucket does not exist and is shown as an empty one
}

func (t *targetEnd) Probe(ctx context.Context) (mirror.Probe, error) {
	p, err := t.writer.Probe(ctx)
	if mirror.KindOf(err) == mirror.Missing {
		err = t.wired.renamed(ctx, t.writer, mirror.TargetSide, err)
	}
	if id := t.wired.usedBucket(ctx, mirror.TargetSide); mirror.KindOf(err) == mirror.Missing && id != "" && !t.how.force {
		return p, &engine.Blocked{Reason: fmt.Sprintf("target %s: bucket %s (%s) is gone, or the token does not see it any more; nothing is made anew by itself; to copy everything into a new one: influxmirror accept %s",
			t.URL(), t.wired.cfg.To.Bucket, id, pasted(t.wired.cfg))}
	}
	if mirror.KindOf(err) == mirror.Missing && t.how.create {
		if err = t.make(ctx); err == nil {
			p, err = t.writer.Probe(ctx)
		}
	}
	if t.absent = mirror.KindOf(err) == mirror.Missing && t.how.plan; t.absent {
		t.once(fmt.Sprintf("target %s: bucket %s does not exist, or the token does not see it; %s creates it", t.URL(), t.wired.cfg.To.Bucket, map[bool]string{false: "sync", true: "recover"}[t.wired.back]))
		src := t.wired.source.probed()
		return mirror.Probe{Identity: "none", Bucket: t.wired.cfg.To.Bucket, ShardGroup: src.ShardGroup, Date: src.Date}, nil
	}
	if err == nil {
		t.compare(p)
	}
	return p, err
}

// Survey of a bucket that does not exist finds nothing.
func (t *targetEnd) Survey(ctx context.Context, req mirror.SurveyRequest, fn func(mirror.Count) error) error {
	if t.absent {
		return nil
	}
	return t.writer.Survey(ctx, req, fn)
}

// Locate in a bucket that does not exist finds nothing.
func (t *targetEnd) Locate(ctx context.Context, at map[mirror.Window][]string) (map[string]mirror.Window, error) {
	if t.absent {
		return nil, nil
	}
	return t.writer.Locate(ctx, at)
}

// make creates the bucket as the config and the source say.
func (t *targetEnd) make(ctx context.Context) error {
	src, want := t.wired.source.probed(), t.wired.cfg.Create
	retention := want.Retention
	if want.AsSource {
		retention = time.Duration(src.Retention)
	}
	group := time.Duration(src.ShardGroup)
	if retention > 0 && group > retention {
		group = 0 // a server takes no shard group longer than the retention
	}
	if err := t.CreateBucket(ctx, retention, group); err != nil {
		return err
	}
	if t.wired.cfg.To.Endpoint.Dir != "" {
		t.log.Info(fmt.Sprintf("target %s was missing and is made an archive, with the source's shard groups of %s", t.URL(), span(time.Duration(src.ShardGroup))))
		return nil
	}
	keeps := "for ever"
	if retention > 0 {
		keeps = span(retention)
	}
	t.log.Info(fmt.Sprintf("target %s: bucket %s was missing and is created; it keeps data %s, with the source's shard groups of %s", t.URL(), t.wired.cfg.To.Bucket, keeps, span(time.Duration(src.ShardGroup))))
	return nil
}

// compare says before it hurts what the target's bucket will not hold or will hold slowly.
func (t *targetEnd) compare(p mirror.Probe) {
	src := t.wired.source.probed()
	if t.wired.cfg.To.Endpoint.Dir != "" {
		return // it keeps all, in groups as it was made
	}
	if p.Retention > 0 && (src.Retention == 0 || p.Retention < src.Retention) {
		t.once(fmt.Sprintf("target %s: bucket %s keeps data for %s, the source %s: older samples are not mirrored, and the target drops what it has; to keep all: %s",
			t.URL(), p.Bucket, span(time.Duration(p.Retention)), forHowLong(src.Retention), keepAs(p, src.Retention)))
	}
	if src.ShardGroup > 0 && p.ShardGroup != src.ShardGroup {
		t.once(fmt.Sprintf("target %s: bucket %s has shard groups of %s, the source's have %s: correct, but slower%s",
			t.URL(), p.Bucket, span(time.Duration(p.ShardGroup)), span(time.Duration(src.ShardGroup)), cutAs(p, src.ShardGroup)))
	}
}

func (t *targetEnd) once(text string) {
	if !t.said[text] {
		t.said[text] = true
		t.log.Warn(text)
	}
}

func forHowLong(retention int64) string {
	if retention == 0 {
		return "for ever"
	}
	return "for " + span(time.Duration(retention))
}

// keepAs is how the owner of a bucket changes how long it is kept.
func keepAs(p mirror.Probe, retention int64) string {
	long := fmt.Sprintf("%ds", retention/int64(time.Second))
	if p.BucketID != "" {
		if retention == 0 {
			long = "0"
		}
		return fmt.Sprintf("influx bucket update --id %s --retention %s", p.BucketID, long)
	}
	if retention == 0 {
		long = "INF"
	}
	db, policy, _ := strings.Cut(p.Bucket, "/")
	return fmt.Sprintf("ALTER RETENTION POLICY %q ON %q DURATION %s", policy, db, long)
}

// cutAs is how the owner changes the shard groups of data to come. On 1.x nothing is advised: old servers would let them overlap.
func cutAs(p mirror.Probe, group int64) string {
	if p.BucketID == "" {
		return ""
	}
	return fmt.Sprintf("; for new data: influx bucket update --id %s --shard-group-duration %ds", p.BucketID, group/int64(time.Second))
}

// renamed looks for the bucket that this mirror used before, by its id, when its name is not found.
func (w *wired) renamed(ctx context.Context, end reader, side mirror.Side, missing error) error {
	id := w.usedBucket(ctx, side)
	n, can := end.(namer)
	if id == "" || !can {
		return missing
	}
	name, err := n.BucketName(ctx, id)
	if err != nil || name == "" || ctx.Err() != nil {
		return missing
	}
	key, bucket, endpoint := "from", w.cfg.From.Bucket, w.cfg.From.Endpoint.Name
	if side == mirror.TargetSide {
		key, bucket, endpoint = "to", w.cfg.To.Bucket, w.cfg.To.Endpoint.Name
	}
	if w.back { // the config has it the other way round
		key = map[string]string{"from": "to", "to": "from"}[key]
	}
	if name == bucket {
		return missing
	}
	e := (*mirror.Error)(nil)
	if !errors.As(missing, &e) {
		return missing
	}
	return &engine.Blocked{Reason: fmt.Sprintf("%s %s: bucket %s is now called %s (same id); nothing has to be copied again; set %s: %s:%s", side, e.URL, bucket, name, key, endpoint, name)}
}
