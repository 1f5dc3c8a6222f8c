package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/archive"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/mirror"
)

// chain is a server that is mirrored into an archive, which is mirrored into another server: each by a process of its own.
type chain struct {
	*world // the servers, what is written to the first and goes wrong with both, the log
	legs   [2]*leg
	dir    string
	shelf  *shelf
	disk   *shelfDisk // below the archive, as the first leg uses it
	sight  *shelfDisk // the same, as the second one reads it
	copied map[string][]byte
	say    func(format string, args ...any)
}

// leg is one mirror of a chain.
type leg struct {
	c      *chain
	n      int
	judge  *world // what was recorded and found true
	mirror *engine.Mirror
	close  func()
	blind  bool // something changed in a way that counts do not show
}

func newChain(seed uint64, dir string, say func(string, ...any)) (*chain, error) {
	rnd := rand.New(rand.NewPCG(seed, 5))
	w := &world{rnd: rnd, dir: dir, srcPipe: newPipe(), dstPipe: newPipe(), counts: map[string]int{}}
	c := &chain{world: w, dir: filepath.Join(dir, "archive"), say: say}
	w.srcPipe.turns, w.dstPipe.turns = w.trace.takeTurns(""), w.trace.takeTurns("")
	c.shelf = &shelf{dir: c.dir, parts: map[string][]influxtest.Sample{}}
	for range 4 {
		w.eras = append(w.eras, time.Now().Add(-time.Duration(rnd.Int64N(int64(3*365*day)))).UnixNano())
	}
	w.odd = rnd.IntN(3) == 0
	group := []time.Duration{week, day}[rnd.IntN(2)]
	w.old = [2]bool{rnd.IntN(6) == 0, rnd.IntN(6) == 0}
	for i, p := range []*pipe{w.srcPipe, w.dstPipe} {
		o := influxtest.Options{Listener: p, Seed: seed*2 + uint64(i) + 1}
		if w.old[i] {
			o.Version = influxtest.V1
			w.old[0] = true // no unsigned numbers anywhere
		}
		o.Between = w.between(i)
		s := influxtest.NewServer(o)
		s.CreateBucket(bucket, 0, group)
		if i == 0 {
			w.src = s
		} else {
			w.dst = s
		}
	}
	a := archive.New(archive.Options{Side: mirror.TargetSide, Dir: c.dir})
	err := a.CreateBucket(context.Background(), 0, group)
	if err = errors.Join(err, a.Close()); err != nil {
		return nil, err
	}
	if c.disk, err = newShelfDisk(c.dir); err != nil {
		return nil, err
	}
	if c.sight, err = newShelfDisk(c.dir); err != nil {
		return nil, err
	}
	for n := range c.legs {
		c.legs[n] = &leg{c: c, n: n, judge: &world{book: newBook(), checked: map[slot][]mirror.Proof{}, counts: w.counts}}
		c.legs[n].start()
	}
	return c, nil
}

func (c *chain) end() {
	for _, l := range c.legs {
		l.close()
	}
	c.src.Close()
	c.dst.Close()
}

// start is a new process.
func (l *leg) start() {
	c := l.c
	options := func(side mirror.Side, s *influxtest.Server, p *pipe) influx.Options {
		u, _ := url.Parse(s.URL)
		u.Host = fmt.Sprintf("server%d:8086", l.n)
		turns := c.trace.takeTurns(u.Host)
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := p.dial(ctx, network, address)
			if err == nil {
				conn = turns(conn)
			}
			return conn, err
		}
		return influx.Options{Side: side, URL: u, Org: s.Org, Bucket: bucket, Dial: dial, Login: func() (influx.Login, error) { return influx.Login{Token: s.Token}, nil }}
	}
	open := func(context.Context, string, string, string) (engine.Ledger, error) { return l.judge.book, nil }
	l.judge.book.trace = &c.trace
	settings := engine.Settings{Name: fmt.Sprintf("m%d", l.n), Wait: margin}
	if l.n == 0 {
		source := influx.New(options(mirror.SourceSide, c.src, c.srcPipe))
		a := archive.New(archive.Options{Side: mirror.TargetSide, Dir: c.dir, Step: c.disk.step})
		l.mirror = engine.New(settings, source, queued{a}, open, slog.New(slog.DiscardHandler))
		l.close = func() { source.Close(); _ = a.Close() }
		return
	}
	a := archive.New(archive.Options{Side: mirror.SourceSide, Dir: c.dir, Step: c.sight.step})
	target := influx.NewTarget(options(mirror.TargetSide, c.dst, c.dstPipe))
	l.mirror = engine.New(settings, queued{a}, target, open, slog.New(slog.DiscardHandler))
	l.close = func() { target.Close(); _ = a.Close() }
}

func (l *leg) restart() {
	l.close()
	l.start()
}

// holds is what the chain holds at its nth place.
func (c *chain) holds(n int) []influxtest.Sample {
	switch n {
	case 0:
		return c.src.Dump(bucket)
	case 2:
		return c.dst.Dump(bucket)
	}
	all, err := c.shelf.dump()
	if err != nil {
		c.say("the archive cannot be read: %v", err)
	}
	return all
}

func (l *leg) now() moment { return moment{stateOf(l.c.holds(l.n)), stateOf(l.c.holds(l.n + 1))} }

// pass does one Pass of a leg and checks what it recorded and said. during may add moments; gone says that the target may lose what was there.
func (l *leg) pass(ctx context.Context, insist, quiet bool, during func() []moment) (engine.Report, error) {
	c := l.c
	time.Sleep(settling)
	since := time.Now().Unix() * int64(time.Second)
	before := l.now()
	digest := ""
	if l.n == 1 {
		digest, _ = tree(c.dir)
	}
	r, e := l.mirror.Pass(ctx, engine.Goal{Insist: insist})
	c.mu.Lock()
	c.meddle = nil
	c.mu.Unlock()
	c.ended(ctx, fmt.Sprintf("leg %d pass insist=%t: %v done %d left %d live %d read %d written %d errors %v: %v", l.n, insist, r.Reasons, r.Done, r.Left, r.Live, r.Samples, r.Written, r.Errors, e))
	moments := []moment{before}
	if during != nil {
		moments = append(moments, during()...)
	}
	after := l.now()
	for _, lie := range l.judge.check(append(moments, after), since) {
		c.say("leg %d: %s", l.n, lie)
	}
	if quiet && insist && e == nil && r.Complete() {
		c.count(fmt.Sprintf("leg %d: complete", l.n), 1)
		if m := l.lacking(after, r.Edge); len(m) > 0 && !l.blind {
			c.say("leg %d says that it is complete, and %d samples are missing, first %s", l.n, len(m), m[0])
		}
	}
	if quiet {
		had := after.dst.values()
		for place := range before.dst.values() {
			if _, ok := had[place]; !ok {
				c.say("leg %d: the target lost %s", l.n, place)
				break
			}
		}
	}
	if l.n == 1 {
		if now, err := tree(c.dir); err != nil || now != digest {
			c.say("the archive was written by who reads it: %v", err)
		}
	}
	for _, q := range c.src.Requests() {
		if q.Wrote || writes(q) {
			c.say("the source was written: %s", q.Path)
		}
	}
	c.src.ForgetRequests()
	c.dst.ForgetRequests()
	return r, e
}

// lacking lists what the source of a moment holds before a time and the target does not, but for what a server refuses for its type.
func (l *leg) lacking(m moment, before int64) (out []string) {
	have := m.dst.values()
	other := func(influxtest.Sample) bool { return false } // an archive takes every type
	if l.n == 1 {
		groups := l.c.dst.Shards(bucket)
		at := func(s influxtest.Sample) string {
			i := slices.IndexFunc(groups, func(g influxtest.Shard) bool {
				return !time.Unix(0, s.Time).Before(g.Start) && time.Unix(0, s.Time).Before(g.End)
			})
			return fmt.Sprintf("%d %q %q", i, s.Measurement, s.Field)
		}
		types := map[string]string{}
		for _, s := range m.dst.all {
			types[at(s)] = fmt.Sprintf("%T", s.Value)
		}
		other = func(s influxtest.Sample) bool {
			is, some := types[at(s)]
			return some && is != fmt.Sprintf("%T", s.Value)
		}
	}
	for _, s := range m.src.all {
		if s.Time < before && have[place(s)] != value(s.Value) && !other(s) {
			out = append(out, fmt.Sprintf("%s %s (%q)", place(s), value(s.Value), have[place(s)]))
		}
	}
	return out
}

// live goes through a history.
func (c *chain) live(steps int) error {
	type deed struct {
		weight int
		do     func() error
	}
	plain := func(fn func()) func() error { return func() error { fn(); return nil } }
	deeds := []deed{
		{50, plain(c.measure)}, {24, c.work}, {10, c.crash}, {8, c.fail}, {6, c.damage}, {14, plain(c.harm)}, {14, plain(c.wait)}, {4, plain(c.forget)},
		{6, plain(func() { c.count("a new process", 1); c.legs[c.rnd.IntN(2)].restart() })}, {4, plain(func() { c.mend() })}, {4, c.verify}, {2, c.copy}, {1, c.putBack},
	}
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	for range steps {
		n := c.rnd.IntN(total)
		for _, d := range deeds {
			if n -= d.weight; n < 0 {
				if err := d.do(); err != nil {
					return err
				}
				break
			}
		}
	}
	return c.settle()
}

// work is an ordinary Pass of one of the legs, in which somebody may write to the first server.
func (c *chain) work() error {
	l := c.legs[c.rnd.IntN(2)]
	ctx, cancel := context.WithTimeout(context.Background(), settling+time.Duration(1+c.rnd.IntN(600))*time.Second+time.Nanosecond)
	defer cancel()
	var moments []moment
	insist := c.rnd.IntN(3) == 0
	c.draw(1)
	if l.n == 0 && c.rnd.IntN(3) == 0 {
		in := c.rnd.IntN(30)
		c.meddle = func(side int) {
			c.mu.Lock()
			defer c.mu.Unlock()
			if in--; in != 0 || side != 0 {
				return
			}
			moments = append(moments, l.now())
			line := fmt.Sprintf("m1,host=h1 v=%v %d", c.chance.NormFloat64(), time.Now().UnixNano())
			c.trace.add(line)
			tell(c.src, line)
			c.counts["source: written during a pass"]++
			moments = append(moments, l.now())
		}
		_, _ = l.pass(ctx, insist, false, func() []moment { return moments })
		return nil
	}
	_, _ = l.pass(ctx, insist, true, nil)
	return nil
}

func (c *chain) verify() error {
	l := c.legs[c.rnd.IntN(2)]
	v, err := l.mirror.Verify(context.Background(), c.rnd.IntN(2) == 0)
	c.note("leg %d verify: %v %v", l.n, v.Rows, err)
	if err != nil {
		c.count("verify failed", 1)
		return nil
	}
	if c.count("verify", 1); !v.AddsUp() {
		c.say("leg %d: the table does not add up: %v, %d samples", l.n, v.Rows, v.Union)
	}
	return nil
}

// settle takes all faults away: within two rounds each leg is complete, and what the first server holds is everywhere.
func (c *chain) settle() error {
	c.mend()
	c.disk.lets(nil)
	time.Sleep(4 * time.Hour)
	c.note("the faults are off")
	for _, l := range c.legs {
		l.restart()
		unseen := l.blind
		l.blind = false
		var r engine.Report
		var err error
		for range 3 {
			r, err = l.pass(context.Background(), true, !unseen, nil)
			unseen = true // what is found damaged is replaced
			if b := (*engine.Blocked)(nil); errors.As(err, &b) {
				c.count("accepted", 1)
				if err = l.mirror.Accept(context.Background()); err == nil {
					continue
				}
			}
			if err == nil && r.Complete() || strings.Contains(strings.Join(r.Errors, " "), "waiting until") {
				break
			}
		}
		if strings.Contains(strings.Join(r.Errors, " "), "waiting until") {
			time.Sleep(65 * time.Minute)
			r, err = l.pass(context.Background(), true, false, nil)
		}
		// What the first server deleted and the archive alone held is lost with its file. Nobody says that it is not so.
		c.holds(1)
		lost := l.n == 1 && c.shelf.hurt > 0
		if lost {
			c.count("archive: damage that nothing can repair", 1)
		}
		if err != nil || r.Complete() == lost {
			c.say("leg %d is not as it should be after the faults are off, complete %t: %+v, %v", l.n, r.Complete(), r, err)
		}
		v, err := l.mirror.Verify(context.Background(), true)
		if lost && err != nil { // it names the file
			continue
		}
		if err != nil {
			return err
		}
		if word, code := v.Result(); code == 4 {
			c.count(fmt.Sprintf("leg %d: verify found what counts cannot show", l.n), 1)
			_, _ = l.pass(context.Background(), true, false, nil)
			if v, err = l.mirror.Verify(context.Background(), true); err != nil {
				return err
			}
			c.note("verify: %s, and then %v", word, v.Rows)
		}
		if word, code := v.Result(); (code != 0) != lost {
			c.say("leg %d: verify: %s %v", l.n, word, v.Rows)
		}
		if m := l.lacking(l.now(), time.Now().Add(-time.Hour).UnixNano()); len(m) > 0 {
			c.say("leg %d: %d samples are missing, first %s", l.n, len(m), m[0])
		}
	}
	aside, err := filepath.Glob(filepath.Join(c.dir, "data/*/*.damaged"))
	c.count("archive: damage set aside", len(aside))
	return err
}
