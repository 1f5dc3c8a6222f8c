package sim

import (
	"context"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// onlooker is a Ledger for verify beside a process that mirrors: it sees what is recorded, and records nothing.
type onlooker struct {
	*ledger.Pair
	*book // of notes
}

func (o onlooker) Summaries(ctx context.Context) ([]mirror.Summary, error) {
	return o.Pair.Summaries(ctx)
}
func (o onlooker) Group(ctx context.Context, m string, w mirror.Window) (mirror.Group, error) {
	return o.Pair.Group(ctx, m, w)
}
func (o onlooker) Record(context.Context, mirror.Group) error { return nil }
func (o onlooker) State(ctx context.Context, name string, into any) (bool, error) {
	return o.book.State(ctx, name, into)
}
func (o onlooker) SetState(ctx context.Context, name string, v any) error {
	return o.book.SetState(ctx, name, v)
}

// slowly is a link on which each request takes a while.
type slowly struct {
	net.Conn
	takes func() time.Duration
}

func (s slowly) Write(b []byte) (int, error) {
	time.Sleep(s.takes())
	return s.Conn.Write(b)
}

// beside is another process, which only verifies, over a link of its own.
func (s *scene) beside(takes func() time.Duration) *engine.Mirror {
	options := func(side mirror.Side, server *influxtest.Server, p *pipe) influx.Options {
		u, _ := url.Parse(server.URL)
		u.Host = string(side) + ":8086"
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := p.dial(ctx, network, address)
			return slowly{c, takes}, err
		}
		return influx.Options{Side: side, URL: u, Org: server.Org, Bucket: bucket, Dial: dial,
			Login: func() (influx.Login, error) { return influx.Login{Token: server.Token}, nil }}
	}
	source, target := influx.New(options(mirror.SourceSide, s.src, s.srcPipe)), influx.NewTarget(options(mirror.TargetSide, s.dst, s.dstPipe))
	s.clients = append(s.clients, source, target.Client)
	open := func(ctx context.Context, key, from, to string) (engine.Ledger, error) {
		p, err := s.ledger.PairFrom(ctx, key, from, to)
		return onlooker{p, newBook()}, err
	}
	return engine.New(s.settings, source, target, open, slog.New(slog.DiscardHandler))
}

// TestNoFalseAlarm: while an instrument writes and the service mirrors, verify never says that samples differ, however long it takes and however late some of it comes (L7, D13).
func TestNoFalseAlarm(t *testing.T) {
	for _, c := range []struct {
		name    string
		group   time.Duration
		request time.Duration // of verify, at most
		wait    time.Duration
		samples int
		times   int
		late    bool // some of what is written is of the last days
	}{
		{"quick", week, 20 * time.Millisecond, 10 * time.Second, 30, 45, false},
		{"late samples", day, 50 * time.Millisecond, 10 * time.Second, 30, 30, true},
		{"for longer than a cell of an hour's group", time.Hour, 10 * time.Second, 10 * time.Second, 30, 2, false},
		{"for longer than a cell of a day's group", day, 25 * time.Second, 30 * time.Second, 60, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			direct(t, buckets{srcGroup: c.group, settings: engine.Settings{Wait: c.wait}}, func(s *scene) {
				for i := range c.samples {
					s.put("m%d v=%di %d", i%3, i, now()-int64(i)*int64(c.group)/2-int64(time.Minute))
				}
				s.sync()
				for i := range s.wrap { // for connections to come
					s.wrap[i] = func(c net.Conn) net.Conn {
						return slowly{c, func() time.Duration { return 200 * time.Millisecond }}
					}
				}
				s.stop()
				if err := s.start(); err != nil {
					s.t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(s.t.Context())
				var others sync.WaitGroup
				others.Go(func() { _ = s.mirror.Run(ctx) })
				others.Go(func() {
					for n := 0; ctx.Err() == nil; n++ { // an instrument, and what it says takes up to two seconds
						time.Sleep(time.Duration(s.draw(3000)+200) * time.Millisecond)
						at := now() - int64(s.draw(2000))*int64(time.Millisecond)
						if c.late && n%8 == 0 {
							at -= int64(s.draw(int(2 * day)))
						}
						s.put("m%d v=%di %d", n%4, n, at)
						if n%50 == 0 { // something new, of which nothing is proven yet
							s.put("new%d v=%di %d", n, n, at)
						}
					}
				})
				verify := s.beside(func() time.Duration { return time.Duration(s.draw(int(c.request))) })
				verify.Beside = c.late // what comes in time is no difference to anybody
				open := 0
				for i := range c.times {
					time.Sleep(time.Duration(s.draw(90_000)) * time.Millisecond)
					if i%2 == 0 { // when a Cell has just closed, and the Pass that brings the last of it has not come yet
						closes := now() - int64(c.wait)
						time.Sleep(time.Duration(mirror.TailWidth - closes%mirror.TailWidth + int64(s.draw(int(time.Second)))))
					}
					s.src.ForgetRequests()
					s.dst.ForgetRequests()
					full := i%3 != 2
					v, err := verify.Verify(ctx, full)
					if err != nil {
						s.t.Errorf("verify: %v", err)
						break
					}
					if word, code := v.Result(); code != 0 && (full || code == 4 || !c.late) || v.Rows[engine.Different].Windows > 0 || !v.AddsUp() {
						s.t.Errorf("verify %d at %s: %s: %+v, %v", i, time.Unix(0, v.Date).UTC(), word, v.Rows, v.Differences[:min(3, len(v.Differences))])
						break
					}
					if v.Rows[engine.OpenRow].Samples > 0 {
						open++
					}
				}
				cancel()
				others.Wait()
				if open == 0 && !s.t.Failed() {
					s.t.Error("void: nothing was being written while verify read")
				}
			})
		})
	}
}
