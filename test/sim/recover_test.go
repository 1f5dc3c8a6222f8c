package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
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
		return influx.Options{Side: side, URL: u, Org: s.Org, Bucket: bucket, Dial: p.dial, Login: func() (influx.Login, error) { return influx.Login{Token: s.Token}, nil }}
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
		within, cancel := context.WithTimeout(ctx, time.Duration(1+w.rnd.IntN(600))*time.Second)
		defer cancel()
		if insist {
			within = ctx
		}
		time.Sleep(2 * time.Second)
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

// recovering is a story that begins with a mirrored source.
func recovering(t *testing.T, b buckets, story func(*turning, *scene)) {
	direct(t, b, func(s *scene) {
		w := &turning{world: s.world, prefer: mirror.TargetSide}
		if err := w.turn(false); err != nil {
			s.t.Fatal(err)
		}
		story(w, s)
	})
}

// recover does a recovery to its end and turns the direction again.
func (w *turning) recover(s *scene) (written int64) {
	s.t.Helper()
	if err := w.turn(true); err != nil {
		s.t.Fatal(err)
	}
	var r engine.Report
	for range 5 {
		r = s.sync()
		written += r.Written
		if r.Complete() {
			break
		}
		time.Sleep(time.Minute)
	}
	if !r.Complete() {
		s.t.Errorf("not complete: %+v", r)
	}
	lies, err := w.untrue(context.Background(), mirror.MinTime)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lies {
		s.t.Errorf("not true: %s", l)
	}
	if v, err := w.mirror.Verify(context.Background(), true); err != nil {
		s.t.Fatal(err)
	} else if word, code := v.Result(); code != 0 {
		s.t.Errorf("%s: %v", word, v.Rows)
	}
	if err := w.handOver(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	if err := w.turn(false); err != nil {
		s.t.Fatal(err)
	}
	return written
}

// TestReceiverKeepsItsOwn: where both have a value of one series, field and time the receiver's stays, of another type too and whatever came in between;
// both are listed. With the giver preferred its value is written over the receiver's.
func TestReceiverKeepsItsOwn(t *testing.T) {
	for _, prefer := range []mirror.Side{mirror.TargetSide, ""} {
		t.Run("prefer "+string(prefer), func(t *testing.T) {
			recovering(t, buckets{}, func(w *turning, s *scene) {
				w.prefer = prefer
				day := int64(24 * time.Hour)
				for i := range int64(40) {
					s.put("m v=%di,s=\"x\" %d\nother v=1.5 %d", i, now()-i*day, now()-i*day/2)
				}
				s.put("tail v=1i %d\ntail v=5i %d", now(), now()+int64(time.Second)) // of a Cell that is still open
				s.sync()
				w.src.DeleteBucket(bucket)
				w.src.CreateBucket(bucket, 0, week)
				w.src.Restart()
				s.put("tail v=2i %d", now())
				at := now() - 20*day
				s.put("m v=777i %d\nm v=778i %d\nm s=\"mine\" %d\nmore v=1 %d", at, at-day, at, at)
				s.put("other v=\"text\" %d", now()-30*day/2) // another type: the shard takes no float any more
				had := w.src.Dump(bucket)
				if err := w.turn(true); err != nil {
					t.Fatal(err)
				}
				once := false
				w.mirror.Observe = func(e engine.Event) {
					if e.Kind == "plan" && !once { // written after it was counted, where the receiver held nothing
						once = true
						s.put("m v=999i %d", now()-35*day)
					}
				}
				s.sync()
				if prefer == mirror.TargetSide {
					if l := lost(had, w.src.Dump(bucket)); len(l) > 0 {
						t.Errorf("lost: %v", l)
					}
					if !holds(w.src, "v=999i") {
						t.Error("what was written after the plan was made is lost")
					}
				}
				w.recover(s)
				var kept, refused uint64
				ids := strings.Split(w.pairKey(t), "|")
				for i := range ids {
					p, err := w.ledger.PairFrom(context.Background(), w.pairKey(t), ids[i], ids[1-i])
					if err != nil {
						t.Fatal(err)
					}
					for x, err := range p.Exceptions(context.Background()) {
						if err != nil {
							t.Fatal(err)
						}
						switch x.Class {
						case mirror.Kept:
							kept += x.Samples.Count
						case mirror.Refused:
							refused += x.Samples.Count
						}
					}
				}
				if prefer == mirror.TargetSide && kept != 5 {
					t.Errorf("%d values are listed as kept, %d as refused", kept, refused)
				}
				if prefer == "" && holds(w.src, "v=777i") {
					t.Error("the giver's value was to be written over the receiver's")
				}
				// In the mirror's own direction the source's value wins, and everything new at the source comes home.
				s.sync()
				time.Sleep(time.Hour)
				s.sync()
				a, b := w.src.Dump(bucket), w.dst.Dump(bucket)
				if l := lost(a, b); len(l) > 3 { // texts and numbers of one field in one shard go into no other
					t.Errorf("home lacks %v", l)
				}
			})
		})
	}
}

// holds reports whether a line of a server holds a text.
func holds(s *influxtest.Server, text string) bool {
	for _, x := range s.Dump(bucket) {
		if strings.Contains(line(x), text) {
			return true
		}
	}
	return false
}

func (w *turning) pairKey(t *testing.T) string {
	t.Helper()
	all, err := w.ledger.Pairs(context.Background())
	if err != nil || len(all) == 0 {
		t.Fatal(err)
	}
	return all[len(all)-1].Key
}

// TestHandOver: after a recovery the mirror goes on without reading again what was given back, and still finds what was written over at the source,
// before the recovery and after it.
func TestHandOver(t *testing.T) {
	recovering(t, buckets{}, func(w *turning, s *scene) {
		day := int64(24 * time.Hour)
		for i := range int64(300) {
			s.put("m v=\"x%d\" %d", i, now()-i*day)
		}
		s.sync()
		s.run(6, time.Minute)
		w.src.Delete(bucket, "m", now()-200*day, now()-100*day) // a part is lost
		s.put("m v=\"over\" %d", now()-50*day)                  // and nobody looked since this was written over
		n := w.recover(s)
		if n < 95 || n > 105 {
			t.Errorf("%d lines were written to give back 100", n)
		}
		var read, written uint64
		for range 6 {
			r := s.run(1, time.Minute)
			read += r.Samples
			written += uint64(r.Written)
		}
		s.equal()
		if written != 1 || read > 40 {
			t.Errorf("the mirror read %d samples and wrote %d lines for one that was written over", read, written)
		}
		s.put("m v=\"again\" %d", now()-150*day)
		s.run(6, time.Minute)
		s.equal()
	})
}

// TestInterruptedRecovery: what was proven before a process ended is not sent again.
func TestInterruptedRecovery(t *testing.T) {
	recovering(t, buckets{}, func(w *turning, s *scene) {
		for i := range int64(400) {
			s.put("m v=%di %d", i, now()-i*int64(24*time.Hour))
		}
		s.sync()
		w.src.DeleteBucket(bucket)
		w.src.CreateBucket(bucket, 0, 24*time.Hour) // cut otherwise
		w.src.Restart()
		if err := w.turn(true); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := 0
		w.mirror.Observe = func(e engine.Event) {
			if e.Kind == "transfer" {
				if done++; done == 10 {
					cancel()
				}
			}
		}
		if _, err := w.mirror.Pass(ctx, engine.Goal{Insist: true}); err == nil {
			t.Fatal("void: it was not interrupted")
		}
		first := len(w.src.Dump(bucket))
		if first == 0 || first == 400 {
			t.Fatalf("void: %d samples were given back", first)
		}
		if n := w.recover(s); n > 400-int64(first)+60 {
			t.Errorf("%d lines were sent after %d of 400", n, first)
		}
		if r := s.sync(); r.Written > 0 {
			t.Errorf("%d lines were copied again", r.Written)
		}
		s.equal()
	})
}

// TestWrittenBehindTheWrite: who writes another value behind what was given back, before that was read again, keeps it, in a Cell that is filled and in one that
// is compared.
func TestWrittenBehindTheWrite(t *testing.T) {
	for _, held := range []int{0, 2} {
		t.Run(fmt.Sprint(held, " held"), func(t *testing.T) {
			recovering(t, buckets{}, func(w *turning, s *scene) {
				at := now() - 10*int64(24*time.Hour)
				for i := range int64(3) {
					s.put("m v=%di %d", i, at+i)
				}
				s.sync()
				w.src.DeleteBucket(bucket)
				w.src.CreateBucket(bucket, 0, week)
				w.src.Restart()
				for i := range held {
					s.put("m v=%di %d", i, at+int64(i))
				}
				f := w.src.Fault(influxtest.Writes, influxtest.Rewrite(func(status int, _ http.Header, body []byte) (int, []byte) {
					w.src.Write(bucket, fmt.Sprintf("m v=555i %d", at+2))
					return status, body
				})).Times(1)
				w.recover(s)
				if f.Fired() != 1 || !holds(w.src, "v=555i") {
					t.Errorf("fired %d; the receiver holds %v", f.Fired(), w.src.Dump(bucket))
				}
				s.sync()
				s.equal()
			})
		})
	}
}
