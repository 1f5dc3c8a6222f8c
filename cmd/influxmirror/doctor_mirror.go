package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"influxmirror/internal/archive"
	"influxmirror/internal/config"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// maxSkew is how far the two servers' clocks may be apart: Cells close by the source's.
const maxSkew = 10 * time.Second

// wholeProbes is how often a day a service asks more than whether the counters moved.
const wholeProbes = 24 * 60 / 5

// mirrors looks at each mirror's two buckets.
func (d *doctor) mirrors(ctx context.Context, chosen []*config.Mirror) {
	for _, m := range chosen {
		if k := d.contacts[m.From.Endpoint]; m.IsPattern() && (k == nil || k.err != nil) {
			d.chapter(chapter{title: mirrorTitle(m), mirror: m.Name}).skip("buckets", "not listed: endpoint %s has to be reached first", m.From.Endpoint.Name)
			continue
		}
		each, err := d.expand(ctx, []*config.Mirror{m})
		if err != nil || len(each) == 0 {
			c := d.chapter(chapter{title: mirrorTitle(m), mirror: m.Name})
			if err != nil {
				c.failed("buckets", err)
			} else {
				c.fail(exitUsage, "buckets", fmt.Sprintf("no bucket of %s that this login sees fits", m.From.Endpoint.Name), fmt.Sprintf("correct buckets: of mirror %s in %s", m.Name, d.cfg.Path))
			}
			continue
		}
		for _, one := range each {
			x := &pair{doctor: d, m: one, chapter: d.chapter(chapter{title: mirrorTitle(one), mirror: one.Name})}
			x.examine(ctx)
		}
	}
}

func mirrorTitle(m *config.Mirror) string {
	return fmt.Sprintf("mirror %s  %s → %s", clean(m.Name), clean(m.From.String()), clean(m.To.String()))
}

// pair is a mirror under examination.
type pair struct {
	*doctor
	*chapter
	m *config.Mirror
}

// end is one bucket of it, and what was found.
type end struct {
	side   mirror.Side
	ref    config.Ref
	client *influx.Client
	count  *counter
	probe  mirror.Probe
	err    error
	whole  int64 // bytes of a whole probe, both ways
	idle   int64 // bytes of a probe that finds nothing new
}

func (x *pair) examine(ctx context.Context) {
	source := x.open(ctx, mirror.SourceSide, x.m.From)
	target := x.open(ctx, mirror.TargetSide, x.m.To)
	defer source.close()
	defer target.close()
	x.sourceBucket(ctx, source)
	x.targetBucket(ctx, target, source)
	if source.known() && target.known() {
		x.compare(source.probe, target)
	}
	x.clocks()
	x.logBucket(ctx)
	x.cost(source, target)
}

// open probes a bucket of a server that was reached, twice, to see what that costs.
func (x *pair) open(ctx context.Context, side mirror.Side, r config.Ref) *end {
	e := &end{side: side, ref: r}
	if r.Endpoint.Dir != "" || x.contacts[r.Endpoint].err != nil {
		return e
	}
	o := options(side, r)
	e.count = &counter{}
	o.Dial = e.count.dial
	e.client = influx.New(o)
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	e.probe, e.err = e.client.Probe(ctx)
	if e.whole = e.count.n.Load(); e.err != nil {
		return e
	}
	if _, err := e.client.Probe(ctx); err == nil {
		e.idle = e.count.n.Load() - e.whole
	}
	return e
}

func (e *end) close() {
	if e.client != nil {
		e.client.Close()
	}
}

// known reports whether the bucket of a server was probed.
func (e *end) known() bool { return e.client != nil && e.err == nil }

// old reports whether the bucket is InfluxDB 1.x's.
func (e *end) old() bool {
	return e.probe.Product == "InfluxDB 1" || e.probe.Product == "" && e.ref.Endpoint.Org == ""
}

// login is who asks, in words.
func (e *end) login() string {
	user, secret := e.ref.Endpoint.Login()
	switch {
	case user != "":
		return "user " + user
	case secret.IsZero():
		return "everybody"
	}
	return "the token"
}

// canWrite asks with an empty body, which stores nothing. missing means that the server says there is no such bucket, whoever asks.
func (e *end) canWrite(ctx context.Context) (can, missing bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	can, err = e.client.CanWrite(ctx)
	if mirror.KindOf(err) == mirror.Missing {
		return false, true, nil
	}
	return can, false, err
}

func (x *pair) sourceBucket(ctx context.Context, e *end) {
	switch {
	case e.ref.Endpoint.Dir != "":
		x.directory(ctx, e)
		return
	case e.client == nil:
		x.skip("source", "endpoint %s has to be reached first", e.ref.Endpoint.Name)
		return
	case e.err != nil:
		x.unseen(ctx, e)
		return
	}
	x.ok("source", "bucket %s%s can be read, and /query by its name reaches it", clean(e.probe.Bucket), idOf(e.probe))
	can, _, err := e.canWrite(ctx)
	switch {
	case err != nil:
		x.failed("source", err)
	case can:
		x.warn("source", e.login()+" can write to the source, which influxmirror never does: give it one that can only read", x.readOnlyCommand(e)...)
	default:
		x.ok("source", "%s cannot write there (asked with an empty body)", e.login())
	}
}

func idOf(p mirror.Probe) string {
	if p.BucketID == "" || p.BucketID == p.Bucket {
		return ""
	}
	return " (" + p.BucketID + ")"
}

// readOnlyCommand makes a login for the source that can only read.
func (x *pair) readOnlyCommand(e *end) []string {
	if e.old() {
		db, _, _ := strings.Cut(e.probe.Bucket, "/")
		if user, _ := e.ref.Endpoint.Login(); user == "" {
			return []string{"influxdb.conf: [http] auth-enabled = true, and then a user: " + grantRead(db)}
		}
		return []string{grantRead(db)}
	}
	return []string{x.authCommand(e, "--read-bucket "+e.probe.BucketID)}
}

// authCommand is the command that makes a token, run by somebody who may.
func (x *pair) authCommand(e *end, rights string) string {
	return fmt.Sprintf("influx auth create --host %s --org %s --description %s %s", e.ref.Endpoint.Address(), shellWord(e.ref.Endpoint.Org), shellWord("influxmirror "+string(e.side)), rights)
}

func grantRead(db string) string {
	return fmt.Sprintf(`CREATE USER influxmirror WITH PASSWORD '…'; GRANT READ ON %s TO influxmirror`, strconv.Quote(db))
}

// unseen says what is wrong with a bucket that could not be probed.
func (x *pair) unseen(ctx context.Context, e *end) {
	check := string(e.side)
	if mirror.KindOf(e.err) != mirror.Missing || e.old() {
		x.failed(check, e.err, x.loginHint(e)...)
		return
	}
	// A bucket that a token does not see is not listed, but a write says whether it exists.
	_, missing, err := e.canWrite(ctx)
	name := strconv.Quote(e.ref.Bucket)
	switch {
	case err != nil:
		x.failed(check, e.err)
	case missing:
		next := fmt.Sprintf("influx bucket list --host %s --org %s; then in %s: %s: %s:BUCKET", e.ref.Endpoint.Address(), shellWord(e.ref.Endpoint.Org), x.cfg.Path,
			map[mirror.Side]string{mirror.SourceSide: "from", mirror.TargetSide: "to"}[e.side], e.ref.Endpoint.Name)
		x.fail(exitUsage, check, "there is no bucket "+name, next)
	default:
		rights := "--read-bucket ID"
		if e.side == mirror.TargetSide {
			rights += " --write-bucket ID"
		}
		x.fail(exitRights, check, "bucket "+name+" exists, and the token may not read it", x.authCommand(e, rights)+" (ID: influx bucket list --name "+shellWord(e.ref.Bucket)+")")
	}
}

// loginHint is the next step for errors that have none of their own.
func (x *pair) loginHint(e *end) []string {
	fault := (*mirror.Error)(nil)
	if !errors.As(e.err, &fault) {
		return nil
	}
	name, end := shellWord(e.ref.Bucket), e.ref.Endpoint
	switch {
	case fault.Kind == mirror.Rights && fault.Status == http.StatusUnauthorized:
		user, _ := end.Login()
		if user != "" {
			return []string{fmt.Sprintf("username and password_file of endpoint %s in %s", end.Name, x.cfg.Path)}
		}
		return []string{fmt.Sprintf("token_file of endpoint %s in %s: a token that this server knows (influx auth list --host %s)", end.Name, x.cfg.Path, end.Address())}
	case fault.Kind == mirror.Rights && strings.Contains(fault.Error(), "database not found"): // 2.x: the bucket is there, its name does not lead to it
		return []string{
			fmt.Sprintf("influx v1 dbrp list --host %s --org %s; a row that leads from %s to another bucket has to go", end.Address(), shellWord(end.Org), name),
			fmt.Sprintf("InfluxDB before 2.4 needs a row: influx v1 dbrp create --host %s --org %s --db %s --rp autogen --default --bucket-id ID", end.Address(), shellWord(end.Org), name),
		}
	}
	return unreachableHint(e.err, e.client.URL())
}

func (x *pair) targetBucket(ctx context.Context, e, source *end) {
	switch {
	case e.ref.Endpoint.Dir != "":
		x.directory(ctx, e)
		return
	case e.client == nil:
		x.skip("target", "endpoint %s has to be reached first", e.ref.Endpoint.Name)
		return
	case mirror.KindOf(e.err) == mirror.Missing:
		if _, missing, err := e.canWrite(ctx); err == nil && missing || e.old() {
			x.toBeMade(ctx, e, source)
			return
		}
		x.unseen(ctx, e)
		return
	case e.err != nil:
		x.unseen(ctx, e)
		return
	}
	can, _, err := e.canWrite(ctx)
	switch {
	case err != nil:
		x.failed("target", err)
	case !can && e.old():
		db, _, _ := strings.Cut(e.probe.Bucket, "/")
		user, _ := e.ref.Endpoint.Login()
		x.fail(exitRights, "target", fmt.Sprintf("bucket %s can be read, but user %s may not write it", clean(e.probe.Bucket), user), fmt.Sprintf("GRANT ALL ON %s TO %s", strconv.Quote(db), strconv.Quote(user)))
	case !can:
		x.fail(exitRights, "target", fmt.Sprintf("bucket %s%s can be read, but the token may not write it", clean(e.probe.Bucket), idOf(e.probe)),
			x.authCommand(e, "--read-bucket "+e.probe.BucketID+" --write-bucket "+e.probe.BucketID))
	default:
		x.ok("target", "bucket %s%s can be read and written, and /query by its name reaches it", clean(e.probe.Bucket), idOf(e.probe))
	}
}

// toBeMade looks at a target bucket that does not exist.
func (x *pair) toBeMade(ctx context.Context, e, source *end) {
	ctx, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	may, err := e.client.MayCreate(ctx)
	name := clean(e.ref.Bucket)
	switch {
	case err != nil:
		x.failed("target", err)
	case may && e.old():
		x.ok("target", "bucket %s does not exist; sync makes it", name)
	case may:
		x.ok("target", "bucket %s does not exist; sync makes it, if the token may: that shows only when it is tried", name)
	default:
		x.fail(exitRights, "target", fmt.Sprintf("bucket %s does not exist, and %s may not make it", name, e.login()), x.createCommand(e, source))
	}
}

// createCommand makes the target bucket as sync would.
func (x *pair) createCommand(e, source *end) string {
	retention, group := x.m.Create.Retention, time.Duration(source.probe.ShardGroup)
	if x.m.Create.AsSource {
		retention = time.Duration(source.probe.Retention)
	}
	if retention > 0 && group > retention {
		group = 0
	}
	if e.old() {
		db, policy, _ := strings.Cut(e.ref.Bucket, "/")
		if policy == "" {
			policy = "autogen"
		}
		return fmt.Sprintf("CREATE DATABASE %s WITH%s NAME %s", strconv.Quote(db), policyTerms(retention, group), strconv.Quote(policy))
	}
	text := fmt.Sprintf("influx bucket create --host %s --org %s --name %s", e.ref.Endpoint.Address(), shellWord(e.ref.Endpoint.Org), shellWord(e.ref.Bucket))
	if retention > 0 {
		text += fmt.Sprintf(" --retention %ds", int64(retention/time.Second))
	}
	if group > 0 {
		text += fmt.Sprintf(" --shard-group-duration %ds", int64(group/time.Second))
	}
	return text
}

func policyTerms(retention, group time.Duration) string {
	text := " DURATION INF REPLICATION 1"
	if retention > 0 {
		text = fmt.Sprintf(" DURATION %ds REPLICATION 1", int64(retention/time.Second))
	}
	if group > 0 {
		text += fmt.Sprintf(" SHARD DURATION %ds", int64(group/time.Second))
	}
	return text
}

// compare says before it hurts what the target's bucket will not hold, or will hold slowly.
func (x *pair) compare(src mirror.Probe, e *end) {
	dst := e.probe
	if dst.Retention > 0 && (src.Retention == 0 || dst.Retention < src.Retention) {
		x.warn("retention", fmt.Sprintf("the target keeps data %s, the source %s: older samples are not mirrored, and the target drops what it has",
			forHowLong(dst.Retention), forHowLong(src.Retention)), keepAs(dst, src.Retention))
	} else {
		x.ok("retention", "source %s, target %s", forHowLong(src.Retention), forHowLong(dst.Retention))
	}
	switch group := span(time.Duration(dst.ShardGroup)); {
	case src.ShardGroup == 0 || src.ShardGroup == dst.ShardGroup:
		x.ok("shard groups", "%s on both sides", group)
	case e.old(): // nothing is advised: servers of that age would let groups overlap
		x.ok("shard groups", "source %s, target %s: correct, but slower", span(time.Duration(src.ShardGroup)), group)
	default:
		x.warn("shard groups", fmt.Sprintf("source %s, target %s: correct, but slower, and a field that changed its type may not fit", span(time.Duration(src.ShardGroup)), group),
			fmt.Sprintf("influx bucket update --id %s --shard-group-duration %ds (for new data)", dst.BucketID, src.ShardGroup/int64(time.Second)))
	}
}

// clocks compares the two servers' clocks.
func (x *pair) clocks() {
	a, b := x.contacts[x.m.From.Endpoint], x.contacts[x.m.To.Endpoint]
	if a == nil || b == nil || a == b || a.err != nil || b.err != nil {
		return
	}
	if skew := (a.offset - b.offset).Abs(); skew > maxSkew {
		ahead := a
		if b.offset > a.offset {
			ahead = b
		}
		x.warn("clocks", fmt.Sprintf("%s apart, %s is ahead: what is settled, and what retention drops, goes by the servers' clocks", span(skew), ahead.end.Name), "on the machine whose clock is wrong: timedatectl set-ntp true")
		return
	}
	x.ok("clocks", "source and target agree to %s", span(max(2*time.Second, (a.offset-b.offset).Abs()+time.Second)))
}

// logBucket looks at where the log of this mirror goes. Mirroring never waits for it, so nothing there is a failure.
func (x *pair) logBucket(ctx context.Context) {
	r := x.m.Log
	if r.IsZero() || r.Endpoint.Dir != "" || x.contacts[r.Endpoint].err != nil {
		return
	}
	e := &end{side: mirror.TargetSide, ref: r, client: influx.New(options(mirror.TargetSide, r))}
	defer e.close()
	can, missing, err := e.canWrite(ctx)
	const silent = "log_bucket: none"
	switch {
	case err != nil:
		found, _ := cutHint(err.Error())
		x.warn("log bucket", found, silent)
	case can:
		x.ok("log bucket", "%s can be written", clean(r.String()))
	case !missing:
		next := x.authCommand(e, "--write-bucket ID") + " (ID: influx bucket list --name " + shellWord(r.Bucket) + ")"
		if user, _ := r.Endpoint.Login(); user != "" {
			db, _, _ := strings.Cut(r.Bucket, "/")
			next = fmt.Sprintf("GRANT WRITE ON %s TO %s", strconv.Quote(db), strconv.Quote(user))
		}
		x.warn("log bucket", fmt.Sprintf("%s may not be written by %s: mirroring goes on, its actions are not logged there", clean(r.String()), e.login()), next+"; or "+silent)
	default:
		if may, err := e.client.MayCreate(ctx); err == nil && may {
			x.ok("log bucket", "%s does not exist; it is made if %s may", clean(r.String()), e.login())
			return
		}
		x.warn("log bucket", fmt.Sprintf("%s does not exist, and %s may not make it: mirroring goes on, its actions are not logged there", clean(r.String()), e.login()),
			(&pair{doctor: x.doctor, m: &config.Mirror{}}).createCommand(e, &end{})+"; or "+silent)
	}
}

// cost says what looking costs while nothing changes.
func (x *pair) cost(source, target *end) {
	if !source.known() {
		return
	}
	if !source.probe.Counters.Known() {
		x.ok("idle cost", "not measured: the source tells no write counters, so that each look counts the bucket")
		return
	}
	text := fmt.Sprintf("%s a day at the source", bytesOf(aDay(source, x.m.Wait)))
	if target.known() && target.probe.Counters.Known() {
		text += fmt.Sprintf(", %s at the target", bytesOf(aDay(target, x.m.Wait)))
	}
	text += fmt.Sprintf(" while nothing changes: %s a look, every %s", bytesOf(source.idle), span(x.m.Wait))
	if lower := 5 * time.Minute; x.m.Wait < lower {
		text += fmt.Sprintf("; wait: 5m makes it %s", bytesOf(aDay(source, lower)))
	}
	x.ok("idle cost", "%s", text)
}

// aDay is how many bytes an end costs a day, both ways, in a service that finds nothing new.
func aDay(e *end, wait time.Duration) int64 {
	looks := int64(24 * time.Hour / max(wait, time.Second))
	whole := min(looks, wholeProbes)
	return whole*e.whole + (looks-whole)*e.idle
}

// directory looks at an archive.
func (x *pair) directory(ctx context.Context, e *end) {
	check := string(e.side)
	dir := e.ref.Endpoint.Dir
	p, err := ledger.Look(dir)
	switch {
	case err != nil:
		x.failed(check, withCode(exitState, err))
		return
	case e.side == mirror.SourceSide && !p.Exists:
		x.fail(exitUsage, check, "there is no directory "+dir, fmt.Sprintf("in %s: from: dir:/where/the/archive/is", x.cfg.Path))
		return
	case e.side == mirror.TargetSide && !p.Writable:
		x.fail(exitState, check, fmt.Sprintf("%s cannot be written by user %s", p.At, userName(selfID())), fmt.Sprintf("sudo install -d -m 0700 -o %s %s", userName(selfID()), shellWord(dir)))
		return
	}
	b := archive.New(archive.Options{Side: e.side, Dir: dir, Name: e.ref.Bucket})
	defer b.Close()
	_, err = b.Probe(ctx)
	switch {
	case mirror.KindOf(err) == mirror.Missing && e.side == mirror.TargetSide:
		x.ok(check, "%s holds no archive yet; sync makes one", dir)
	case err != nil:
		x.failed(check, err)
		return
	default:
		x.ok(check, "%s holds an archive", dir)
	}
	if e.side == mirror.TargetSide && p.Free >= 0 {
		if p.Free < littleFree {
			x.warn("free space", bytesOf(p.Free)+" left in "+p.At, "df -h "+shellWord(p.At))
		} else {
			x.ok("free space", "%s in %s", bytesOf(p.Free), p.At)
		}
	}
	if err == nil && x.full {
		x.damage(ctx, b, check)
	}
}

// damage reads a whole archive.
func (x *pair) damage(ctx context.Context, b *archive.Bucket, check string) {
	list, err := b.Check(ctx)
	if err != nil {
		x.failed(check, err)
		return
	}
	if len(list) == 0 {
		x.ok(check, "every file is as it was written")
		return
	}
	found := fmt.Sprintf("%s: %s", count(len(list), "damaged file"), clean(list[0].String()))
	if n := len(list) - 1; n > 0 {
		found += fmt.Sprintf(" and %d more", n)
	}
	next := "influxmirror verify " + pasted(x.m) + ", then influxmirror sync " + pasted(x.m) + " (reads what is missing from the source again)"
	if check == string(mirror.SourceSide) {
		next = "put these files back from another copy of the archive"
	}
	x.fail(exitDifferent, check, found, next)
}
