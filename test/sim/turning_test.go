package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// turning is a world whose ends change places: forth from src to dst, back as a recovery.
type turning struct {
	*world
	back   bool
	prefer mirror.Side // of a recovery
	unseen bool        // a recovery ended without handing over: texts and booleans written over since leave no trace
}

// begin is a new process, as the commands wire it.
func (w *turning) begin(back bool) error {
	l, err := ledger.Open(w.dir)
	if err != nil {
		return err
	}
	w.ledger, w.back = l, back
	options := func(side mirror.Side, s *influxtest.Server, p *pipe) influx.Options {
		u, _ := url.Parse(s.URL)
		turns := w.trace.takeTurns(string(side))
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := p.dial(ctx, network, address)
			if err == nil {
				c = turns(c)
			}
			return c, err
		}
		return influx.Options{Side: side, URL: u, Org: s.Org, Bucket: bucket, Dial: dial, Login: func() (influx.Login, error) { return influx.Login{Token: s.Token}, nil }}
	}
	from, to, fromPipe, toPipe, set := w.src, w.dst, w.srcPipe, w.dstPipe, w.settings
	if back {
		from, to, fromPipe, toPipe = to, from, toPipe, fromPipe
		set.Recover, set.Prefer = true, w.prefer
	}
	source, target := influx.New(options(mirror.SourceSide, from, fromPipe)), influx.NewTarget(options(mirror.TargetSide, to, toPipe))
	w.clients = []interface{ Close() }{source, target.Client}
	open := func(ctx context.Context, key, source, target string) (engine.Ledger, error) {
		p, err := l.PairFrom(ctx, key, source, target)
		if err != nil {
			return nil, err
		}
		w.pair = p
		if back {
			if w.mirror.Other, err = l.PairFrom(ctx, key, target, source); err != nil {
				return nil, err
			}
		}
		turned, err := p.Turned(ctx)
		if err == nil && turned && back {
			err = p.SetState(ctx, "seen", nil)
		} else if err == nil && turned {
			err = engine.LookAgain(ctx, p)
		}
		if err != nil {
			return nil, err
		}
		return p, p.Face(ctx)
	}
	w.mirror = engine.New(set, source, target, open, slog.New(slog.DiscardHandler))
	return nil
}

// turn ends the process and begins one in a direction.
func (w *turning) turn(back bool) error {
	w.stop()
	return w.begin(back)
}

// handOver ends a recovery, as the command does.
func (w *turning) handOver(ctx context.Context) error {
	ids := strings.Split(w.pair.Key(), "|")
	for i := range ids {
		p, err := w.ledger.PairFrom(ctx, w.pair.Key(), ids[i], ids[1-i])
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(p, w.pair) {
			return w.mirror.HandOver(ctx, p)
		}
	}
	return errors.New("no other direction")
}

// ends returns giver and receiver in the present direction.
func (w *turning) ends() (giver, receiver *influxtest.Server) {
	if w.back {
		return w.dst, w.src
	}
	return w.src, w.dst
}

// untrue returns what is shown of the pair, in both directions, of Proofs made since a time, and is not true. Nobody wrote meanwhile.
func (w *turning) untrue(ctx context.Context, since int64) ([]string, error) {
	if w.pair == nil {
		return nil, nil
	}
	key := w.pair.Key()
	ids := strings.Split(key, "|")
	var out []string
	giver, receiver := w.ends()
	var other *ledger.Pair
	for i := range ids {
		p, err := w.ledger.PairFrom(ctx, key, ids[i], ids[1-i])
		if err != nil {
			return nil, err
		}
		if reflect.DeepEqual(p, w.pair) {
			continue
		}
		other = p
	}
	for i, p := range []*ledger.Pair{w.pair, other} {
		from, to := giver.Dump(bucket), receiver.Dump(bucket)
		if i == 1 {
			from, to = to, from
		}
		sums, err := p.Summaries(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range sums {
			g, err := p.Group(ctx, s.Measurement, s.Window)
			if err != nil {
				return nil, err
			}
			for _, q := range g.Proofs {
				if min(q.AsOf, q.CheckedAt) < since {
					continue
				}
				if a, b := digest(from, s.Measurement, q.Window), digest(to, s.Measurement, q.Window); a != q.Source || b != q.Target || !q.Holds() {
					out = append(out, fmt.Sprintf("%s %s, turned %t: proof %v / %v, truth %v / %v", s.Measurement, q.Window, i == 1, q.Source, q.Target, a, b))
				}
				// What the target lacks is excepted, with reasons; nothing of it is only claimed to be there.
				var listed uint64
				for _, x := range g.Exceptions {
					if x.Class != mirror.Extra && q.Window.Covers(x.Window) {
						listed += x.Samples.Count
					}
				}
				lacking := uint64(0)
				for _, s := range lost(from, to) {
					if s.Measurement == g.Measurement && q.Window.Contains(s.Time) {
						lacking++
					}
				}
				if lacking != q.Excepted.Count || listed != lacking {
					out = append(out, fmt.Sprintf("%s %s, turned %t: %d samples are lacking, %d excepted, %d listed", s.Measurement, q.Window, i == 1, lacking, q.Excepted.Count, listed))
				}
			}
		}
	}
	return out, nil
}

func line(s influxtest.Sample) string {
	m := sample(s)
	return string(lineproto.AppendLine(nil, &m))
}

// lost returns the samples of before that after does not hold, exactly as they were.
func lost(before, after []influxtest.Sample) (out []influxtest.Sample) {
	have := map[string]bool{}
	for _, s := range after {
		have[line(s)] = true
	}
	for _, s := range before {
		if !have[line(s)] {
			out = append(out, s)
		}
	}
	return out
}

// places returns the samples without their values.
func places(all []influxtest.Sample) map[string]bool {
	out := map[string]bool{}
	for _, s := range all {
		s.Value = int64(0)
		out[line(s)] = true
	}
	return out
}

// TestTurningHistories: a source is lost and built anew, emptied, written to all the time, given back what it had and mirrored again, in any order, with
// faults. Whatever is shown of the pair in either direction is true; nothing is deleted; a receiver that is preferred keeps what it has; the giver sees no write.
func TestTurningHistories(t *testing.T) {
	fired := 0
	histories := max(1, *seeds/2) // twice as much happens in one
	for seed := *first; seed < *first+histories; seed++ {
		dir, err := os.MkdirTemp(t.TempDir(), "state")
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) { fired += turningHistory(t, seed, dir) })
		if t.Failed() {
			t.Fatalf("live through it again: go test ./test/sim -run Turning -seed %d -seeds 1 -v", seed)
		}
	}
	if fired < int(histories)/4 {
		t.Errorf("void: only %d faults fired in %d histories", fired, histories)
	}
}

func turningHistory(t *testing.T, seed uint64, dir string) (fired int) {
	w := &turning{world: &world{rnd: rand.New(rand.NewPCG(seed, 7)), dir: dir, srcPipe: newPipe(), dstPipe: newPipe(), settings: engine.Settings{Name: "m", Wait: margin}}}
	w.src = influxtest.NewServer(influxtest.Options{Listener: w.srcPipe, Seed: seed*2 + 1})
	w.dst = influxtest.NewServer(influxtest.Options{Listener: w.dstPipe, Seed: seed*2 + 2})
	shards := []time.Duration{week, 24 * time.Hour}
	w.src.CreateBucket(bucket, 0, shards[w.rnd.IntN(2)])
	w.dst.CreateBucket(bucket, 0, shards[w.rnd.IntN(2)])
	if err := w.begin(false); err != nil {
		t.Fatal(err)
	}
	defer w.close()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d:\n%s", seed, strings.Join(w.log, "\n"))
		}
	}()
	ctx := context.Background()
	pass := func(insist bool) (engine.Report, error) {
		w.unseen = w.unseen || w.back
		within, cancel := context.WithTimeout(ctx, settling+time.Duration(1+w.rnd.IntN(600))*time.Second+time.Nanosecond)
		defer cancel()
		if insist {
			within = ctx
		}
		time.Sleep(settling)
		since := time.Now().UnixNano() / int64(time.Second) * int64(time.Second)
		giver, receiver := w.ends()
		gave, had := giver.Dump(bucket), receiver.Dump(bucket)
		giver.ForgetRequests()
		r, failed := w.mirror.Pass(within, engine.Goal{Insist: insist})
		w.note("pass back=%t prefer=%q insist=%t: %v done %d left %d live %d read %d written %d errors %v: %v", w.back, w.prefer, insist, r.Reasons, r.Done, r.Left, r.Live, r.Samples, r.Written, r.Errors, failed)
		lies, err := w.untrue(ctx, since)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range lies {
			t.Errorf("not true: %s", l)
		}
		for _, q := range giver.Requests() {
			if q.Wrote {
				t.Errorf("the giver was written: %+v", q)
			}
		}
		if l := lost(gave, giver.Dump(bucket)); len(l) > 0 {
			t.Errorf("the giver lost %v", l)
		}
		after := receiver.Dump(bucket)
		if l := lost(had, after); len(l) > 0 && w.back && w.prefer == mirror.TargetSide {
			t.Errorf("the receiver was to keep %v", l)
		}
		now := places(after)
		for p := range places(had) {
			if !now[p] {
				t.Errorf("deleted at the receiver: %q", p)
			}
		}
		return r, failed
	}
	for range *steps {
		switch w.rnd.IntN(16) {
		case 0, 1, 2, 3:
			w.write()
		case 4: // somebody else at the mirror
			w.src, w.dst = w.dst, w.src
			w.write()
			w.src, w.dst = w.dst, w.src
		case 5, 6, 7:
			_, _ = pass(false)
		case 8, 9:
			_, _ = pass(true)
		case 10:
			if w.rnd.IntN(3) == 0 {
				w.breakLink()
			}
		case 11:
			d := time.Duration(w.rnd.Int64N(int64([]time.Duration{time.Minute, time.Hour, 48 * time.Hour}[w.rnd.IntN(3)])))
			time.Sleep(d)
			w.note("%s pass by", d)
		case 12, 13:
			w.prefer = []mirror.Side{mirror.TargetSide, mirror.TargetSide, ""}[w.rnd.IntN(3)]
			if err := w.turn(w.rnd.IntN(2) == 0); err != nil {
				t.Fatal(err)
			}
			w.note("a new process, back=%t", w.back)
		case 14:
			s, name := w.src, "source"
			if w.rnd.IntN(2) == 0 {
				s, name = w.dst, "target"
			}
			s.Restart()
			w.restarted = w.restarted || s == w.src
			w.note("%s restarted", name)
		case 15:
			switch w.rnd.IntN(4) {
			case 0:
				w.src.DeleteBucket(bucket)
				w.src.CreateBucket(bucket, 0, shards[w.rnd.IntN(2)])
				w.src.Restart() // built anew
				w.note("the source was lost and built anew")
			case 1:
				w.src.Delete(bucket, "", -1<<62, 1<<62)
				w.note("the source was emptied")
			}
			if err := w.turn(w.back); err != nil { // whoever does that does it before a recovery, not in the middle
				t.Fatal(err)
			}
		}
		if t.Failed() {
			return fired
		}
	}
	fired = w.mend()
	// The worst is over: back, and then forth for good.
	complete := func(back bool) {
		t.Helper()
		if err := w.turn(back); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour) // the last Cells close, and no server loads shards any more
		for range 3 {
			r, err := pass(true)
			if b := (*engine.Blocked)(nil); errors.As(err, &b) {
				w.note("accepted: %v", err)
				if err := w.mirror.Accept(ctx); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err == nil && r.Complete() {
				if back {
					err = w.handOver(ctx)
				}
				if err != nil {
					t.Fatal(err)
				}
				return
			}
		}
		t.Errorf("not complete, back=%t", back)
	}
	w.prefer = mirror.TargetSide
	if len(w.dst.Dump(bucket)) > 0 {
		complete(true)
		if n := len(w.src.Dump(bucket)); n < len(w.dst.Dump(bucket)) {
			t.Errorf("the receiver holds %d samples, the giver %d", n, len(w.dst.Dump(bucket)))
		}
	}
	complete(false)
	if v, err := w.mirror.Verify(ctx, true); err != nil {
		t.Fatal(err)
	} else if _, code := v.Result(); code == 4 && (w.restarted || w.unseen) {
		// Strings and booleans overwritten between the last look and a restart leave no trace, as in TestHistories.
		w.note("verify found %v", v.Differences)
		_, _ = pass(true)
		complete(true)
		complete(false)
	}
	if a, b := w.src.Dump(bucket), w.dst.Dump(bucket); !reflect.DeepEqual(a, b) {
		t.Errorf("%d and %d samples, of the source's %q are missing", len(a), len(b), w.missing())
	}
	// Nothing is copied twice, whichever way.
	for _, back := range []bool{false, true, false} {
		if len(w.dst.Dump(bucket)) == 0 {
			break
		}
		if err := w.turn(back); err != nil {
			t.Fatal(err)
		}
		r, err := pass(true)
		if err != nil || !r.Complete() || r.Written > 0 {
			t.Errorf("back=%t, with nothing to do: %v, wrote %d lines", back, err, r.Written)
		}
		if v, err := w.mirror.Verify(ctx, true); err != nil {
			t.Fatal(err)
		} else if word, code := v.Result(); code != 0 {
			t.Errorf("back=%t: verify: %s %+v", back, word, v)
		}
	}
	return fired
}
