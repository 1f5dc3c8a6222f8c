package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
	"influxmirror/internal/plan"
)

// newWorld draws a world: what kind of servers, how long they keep what, whose clock is wrong, and where influxmirror remembers.
func newWorld(seed uint64, dir string) (*world, error) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	one := func(in int) bool { return rnd.IntN(in) == 0 }
	w := &world{rnd: rnd, dir: dir, srcPipe: newPipe(), dstPipe: newPipe(), checked: map[slot][]mirror.Proof{}, counts: map[string]int{}, settings: engine.Settings{Name: "m", Wait: margin}}
	w.wrap = [2]func(net.Conn) net.Conn{w.trace.takeTurns("source"), w.trace.takeTurns("target")}
	w.srcPipe.turns, w.dstPipe.turns = w.trace.takeTurns(""), w.trace.takeTurns("")
	w.compress, w.odd = one(3), one(3)
	if one(4) {
		w.settings.Scrub = engine.Scrub{Target: week}
	}
	w.old = [2]bool{one(6), one(6)}
	for i := range w.offset {
		if one(4) {
			w.offset[i] = time.Duration(rnd.Int64N(int64(6*time.Hour))) - 3*time.Hour
		}
		if one(6) {
			w.kept[i] = time.Duration(30+rnd.IntN(30)) * day
		}
	}
	for range 4 {
		w.eras = append(w.eras, time.Now().Add(-time.Duration(rnd.Int64N(int64(3*365*day)))).UnixNano())
	}
	w.eras = append(w.eras, time.Now().Add(-20*day).UnixNano())
	group := []time.Duration{week, day}[rnd.IntN(2)]
	for i, p := range []*pipe{w.srcPipe, w.dstPipe} {
		o := influxtest.Options{Listener: p, Seed: seed*2 + uint64(i) + 1, Now: func() time.Time { return time.Now().Add(w.offset[i]) }}
		if w.old[i] {
			o.Version = influxtest.V1
		}
		o.Between = w.between(i)
		s := influxtest.NewServer(o)
		s.CreateBucket(bucket, w.kept[i], group)
		if i == 0 {
			w.src = s
		} else {
			w.dst = s
		}
		if one(3) {
			group = []time.Duration{week, day}[rnd.IntN(2)]
		}
	}
	for what, is := range map[string]bool{"source 1.x": w.old[0], "target 1.x": w.old[1], "source retention": w.kept[0] > 0, "target retention": w.kept[1] > 0,
		"source clock wrong": w.offset[0] != 0, "target clock wrong": w.offset[1] != 0, "packed answers": w.compress, "a ledger on disk": dir != "", "scrub": w.settings.Scrub.Target > 0} {
		if is {
			w.count(what, 1)
		}
	}
	return w, w.start()
}

// between lets somebody write while a request is answered.
func (w *world) between(side int) func(*http.Request, int) {
	return func(*http.Request, int) {
		w.mu.Lock()
		meddle := w.meddle
		w.mu.Unlock()
		if meddle != nil {
			meddle(side)
		}
	}
}

// history is one life. say is told everything that is not as it should be.
type history struct {
	*world
	say func(format string, args ...any)
}

// live goes through a history and ends it with all faults off: then everything has to arrive.
func (h *history) live(steps int) error {
	type deed struct {
		weight int
		do     func() error
	}
	plain := func(fn func()) func() error { return func() error { fn(); return nil } }
	deeds := []deed{
		{80, plain(h.measure)}, {30, func() error { return h.pass(false) }}, {9, func() error { return h.pass(true) }}, {26, plain(h.harm)}, {14, plain(h.wait)},
		{8, h.process}, {6, plain(h.restart)}, {5, plain(h.tamper)}, {4, plain(h.forget)}, {3, plain(h.duplicate)}, {2, plain(h.alter)},
		{3, plain(h.expire)}, {2, plain(h.renew)}, {3, h.verify}, {3, plain(func() { h.mend() })}, {4, plain(func() { h.earlier = h.dst.Dump(bucket) })},
	}
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	for range steps {
		n := h.rnd.IntN(total)
		for _, d := range deeds {
			if n -= d.weight; n < 0 {
				if err := d.do(); err != nil {
					return err
				}
				break
			}
		}
		if h.hidden != nil && time.Now().After(h.hidden.until) {
			h.show()
		}
	}
	return h.settle()
}

// pass does one Pass, in which somebody may write, and which may be the last of its process, and checks what it recorded.
func (h *history) pass(insist bool) error {
	limit := settling + time.Duration(1+h.rnd.IntN(600))*time.Second + time.Nanosecond // at no instant at which anything else happens
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	quiet := true
	moments := []moment{h.now()}
	var out *outage
	switch h.rnd.IntN(8) {
	case 0, 1:
		quiet = false
		left := 1 + h.rnd.IntN(2)
		in := h.rnd.IntN(40)
		h.meddle = func(side int) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if in--; in > 0 || left == 0 {
				return
			}
			left--
			in = h.chance.IntN(20)
			h.blind = h.blind || side == 1
			moments = append(moments, h.now())
			s, name := h.side(side)
			all := s.Dump(bucket)
			text := fmt.Sprintf("m1,host=h1 v=%v %d", h.chance.NormFloat64(), h.clock(side))
			if len(all) > 0 && h.chance.IntN(3) > 0 {
				x := all[h.chance.IntN(len(all))]
				rnd := h.rnd
				h.rnd = h.chance
				text = h.other(x)
				h.rnd = rnd
			}
			tell(s, text)
			h.counts[name+": written during a pass"]++
			moments = append(moments, h.now())
		}
	case 3:
		if h.dir != "" {
			out = h.outageIn(1+h.rnd.IntN(60), h.rnd.IntN(3) > 0, cancel)
		}
	case 2:
		at := h.book.calls + 1 + h.rnd.IntN(30)
		h.book.fail = func(n int, done bool) error {
			if n < at || n == at && !done {
				return nil
			}
			cancel()
			return errKilled
		}
	}
	h.draw(1)
	_, e := h.did(ctx, insist, quiet, moments, func() []moment { return moments })
	if out != nil {
		what := "killed in a file call"
		if out.power {
			what = "power lost in a file call"
		}
		if out.files == nil {
			what += " that did not come"
		}
		h.count(what, 1)
		h.note("%s", what)
		return h.over(out)
	}
	if h.book.fail != nil {
		killed := errors.Is(e, errKilled) || errors.Is(e, context.Canceled)
		if h.book.fail = nil; killed {
			h.count("killed during a pass", 1)
			h.note("the process was killed")
			return h.kill()
		}
	}
	return nil
}

// settling is before each Pass: clocks tell seconds, and what was read before is told apart from what is read now.
const settling = 2 * time.Second

// did does a Pass and checks what it says and what it recorded.
func (h *history) did(ctx context.Context, insist, quiet bool, before []moment, during func() []moment) (engine.Report, error) {
	time.Sleep(settling)
	since := h.clock(0) / int64(time.Second) * int64(time.Second)
	had := before[0].dst.values()
	r, e := h.mirror.Pass(ctx, engine.Goal{Insist: insist})
	h.mu.Lock()
	h.meddle = nil
	h.mu.Unlock()
	h.ended(ctx, fmt.Sprintf("pass insist=%t: %v done %d left %d live %d read %d written %d errors %v: %v", insist, r.Reasons, r.Done, r.Left, r.Live, r.Samples, r.Written, r.Errors, e))
	now := h.now()
	for _, l := range h.wrong {
		h.say("%s", l)
	}
	h.wrong = nil
	for _, l := range h.check(append(during(), now), since) {
		h.say("%s", l)
	}
	if quiet && insist && e == nil && r.Complete() {
		h.count("complete", 1)
		if owed := h.owed(r.Edge, true); len(owed) > 0 && !h.blind {
			h.say("the pass says that it is complete, and %d samples are missing, first %q; proven there: %s", len(owed), owed[0], h.about(owed[0]))
		}
	}
	if e == nil && r.Idle {
		h.count("idle", 1)
	}
	kept := now.dst.values()
	floor := h.keptFrom()
	for _, s := range before[0].dst.all {
		if _, ok := kept[place(s)]; !ok && s.Time >= floor {
			h.say("the target lost %s %s", place(s), had[place(s)])
			break
		}
	}
	h.witness()
	return r, e
}

// about says what is proven where a line is.
func (h *history) about(line string) string {
	s, err := lineproto.Parse([]byte(line))
	if err != nil {
		return err.Error()
	}
	now := h.now()
	for k, proofs := range h.checked {
		for _, p := range proofs {
			if k.measurement == s.Measurement && p.Window.Contains(s.Time) {
				var listed []mirror.Exception
				for _, x := range h.book.groups[k].Exceptions {
					if p.Window.Covers(x.Window) {
						listed = append(listed, x)
					}
				}
				return fmt.Sprintf("%s as of %s: %v / %v, excepted %d, extra %d, %+v; now it is %v / %v", p.Window, mirror.FormatTime(p.AsOf), p.Source, p.Target, p.Excepted.Count, p.Extra.Count,
					listed, now.src.in(s.Measurement, p.Window), now.dst.in(s.Measurement, p.Window))
			}
		}
	}
	return "nothing"
}

// witness looks at what the servers were asked: the source nothing that changes it, the target nothing that takes away (L8), and nobody else anything.
func (h *history) witness() {
	for i := range 2 {
		s, name := h.side(i)
		for _, q := range s.Requests() {
			switch {
			case i == 0 && (q.Wrote || writes(q)):
				h.say("the source was written: %s %s", q.Method, q.Path)
			case q.Method == "DELETE" || q.Method == "PATCH" || q.Method == "PUT" || q.Method == "POST" && q.Path != "/query" && !writes(q):
				h.say("the %s was asked %s %s", name, q.Method, q.Path)
			case q.Path == "/query":
				for _, st := range strings.Split(q.Form.Get("q"), ";\n") {
					if verb, _, _ := strings.Cut(st, " "); !slices.Contains([]string{"SELECT", "EXPLAIN", "SHOW"}, verb) {
						h.say("the %s was asked %q", name, st)
					}
				}
			}
		}
		s.ForgetRequests()
	}
	if n := h.strangers.Load(); n > 0 {
		h.say("another host was asked %d times", n)
	}
}

func writes(q influxtest.Request) bool { return q.Path == "/write" || q.Path == "/api/v2/write" }

// verify asks for the table at any time; it has to add up whatever happens (L7).
func (h *history) verify() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	full := h.rnd.IntN(2) == 0
	v, err := h.mirror.Verify(ctx, full)
	h.note("verify full=%t: %v %v", full, v.Rows, err)
	if err != nil {
		h.count("verify failed", 1)
		return nil
	}
	h.count("verify", 1)
	if !v.AddsUp() {
		h.say("the table does not add up: %v, %d samples", v.Rows, v.Union)
	}
	return nil
}

// settle takes all faults away: within two rounds everything has to be equal, proven and quiet.
func (h *history) settle() error {
	h.mend()
	h.renew()
	h.show()
	time.Sleep(4 * time.Hour) // the last Cells close, and a restarted source counts as loaded
	h.note("the faults are off")
	pass := func(insist bool) engine.Report {
		before := []moment{h.now()}
		r, err := h.did(context.Background(), insist, true, before, func() []moment { return before })
		if b := (*engine.Blocked)(nil); errors.As(err, &b) && (h.old[0] || h.old[1]) {
			// Where a bucket has no id its owner is asked when little of what was proven is left.
			h.count("accepted", 1)
			if err = h.mirror.Accept(context.Background()); err == nil {
				r, err = h.did(context.Background(), insist, true, before, func() []moment { return before })
			}
		}
		if err != nil {
			h.say("with the faults off: %v", err)
		}
		return r
	}
	unseen := h.blind
	waited := func() engine.Report {
		r := pass(true)
		if strings.Contains(strings.Join(r.Errors, " "), "waiting until") { // the restart is found only now
			time.Sleep(65 * time.Minute)
			r = pass(true)
		}
		return r
	}
	r := waited()
	if !r.Complete() {
		r = pass(true)
	}
	if !r.Complete() {
		h.say("not complete after the faults are off: %+v", r)
	}
	v, err := h.mirror.Verify(context.Background(), true)
	if err != nil {
		return err
	}
	if _, code := v.Result(); code == 4 && unseen {
		// What is overwritten at the source between the last look and its restart, or on the target by somebody else, leaves no trace in counts;
		// verify or the next scrub finds it.
		h.note("verify found %v", v.Differences)
		h.count("verify found what counts cannot show", 1)
		waited()
		if v, err = h.mirror.Verify(context.Background(), true); err != nil {
			return err
		}
	}
	h.note("verify: %v", v.Rows)
	if word, code := v.Result(); code != 0 {
		h.say("verify: %s %v", word, v.Rows)
		for _, d := range v.Differences {
			h.say("source %q, target %q; proven there: %s", d.Source, d.Target, h.about(cmp.Or(d.Source, d.Target)+"\n"))
		}
	}
	if m := h.owed(h.clock(0)-int64(time.Hour), true); len(m) > 0 {
		h.say("%d samples are missing, first %q; proven there: %s", len(m), m[0], h.about(m[0]))
	}
	held := stateOf(h.dst.Dump(bucket)).in("m1", mirror.Axis)
	if pass(true); stateOf(h.dst.Dump(bucket)).in("m1", mirror.Axis) != held {
		h.say("a pass with nothing to do changed the target")
	}
	idle := false
	for range 5 {
		time.Sleep(time.Minute)
		r := pass(false)
		idle = idle || r.Idle || r.Planned == r.Reasons[plan.Open] // what an open Cell holds is looked at until that closes
	}
	if !idle && !h.old[0] && !h.old[1] {
		h.say("nothing happens any more and no pass has nothing to do")
	}
	return nil
}
