package sim

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/mirror"
)

// tell writes lines to a server as a client would that does not care for refusals; it reports whether all were taken.
func tell(s *influxtest.Server, lines string) (ok bool) {
	defer func() {
		if r := recover(); r != nil && !strings.HasPrefix(fmt.Sprint(r), "influxtest: write to") {
			panic(r)
		}
	}()
	s.Write(bucket, lines)
	return true
}

// measure puts a few samples into the source: now, late, long ago, ahead, at one instant, or over what is there.
func (w *world) measure() {
	kinds := []string{"live", "live", "live", "late", "old", "old", "future", "overwrite", "overwrite", "instant", "odd values", "edge"}
	kind := kinds[w.rnd.IntN(len(kinds))]
	if kind == "edge" && !w.odd || w.hidden != nil {
		kind = "live"
	}
	have := w.src.Dump(bucket)
	if len(have) > 1200 && w.rnd.IntN(4) > 0 {
		kind = "overwrite"
	}
	if kind == "overwrite" && len(have) == 0 || w.hidden != nil {
		kind = "live"
	}
	now, n := w.clock(0), 1+w.rnd.IntN(8)
	era := w.eras[w.rnd.IntN(len(w.eras))]
	var b strings.Builder
	for i := range n {
		t := now - int64(i)*int64(time.Second)
		switch kind {
		case "late":
			t = now - w.rnd.Int64N(int64(48*time.Hour))
		case "old":
			t = era + w.rnd.Int64N(int64(30*time.Hour))
		case "future":
			t = now + w.rnd.Int64N(int64([]time.Duration{time.Minute, day, 40 * day}[w.rnd.IntN(3)]))
		case "edge":
			t = []int64{mirror.MinTime + int64(200*week), mirror.MaxTime, mirror.MaxTime - 1, 0, -1}[w.rnd.IntN(5)]
		case "instant":
			t = now - now%int64(time.Minute)
		case "overwrite":
			b.WriteString(w.other(have[w.rnd.IntN(len(have))]))
			continue
		}
		b.WriteString(w.reading(t, i, kind == "odd values"))
	}
	w.count("write: "+kind, 1)
	w.note("write %s: %d lines", kind, n)
	tell(w.src, b.String())
}

// reading makes a line at t. The type of a field is one for a day, and other ones on other days.
func (w *world) reading(t int64, i int, odd bool) string {
	m := w.rnd.IntN(3)
	k := (t/int64(day) + int64(m)) & 3
	fields := fmt.Sprintf("v=%v,w=%d", w.rnd.NormFloat64(), w.rnd.IntN(100))
	if m == 2 {
		fields = []string{fmt.Sprintf("v=%di,ok=true", w.rnd.Int64()), fmt.Sprintf("v=%q", fmt.Sprint("s", w.rnd.IntN(9))), fmt.Sprintf("v=%t", i%2 == 0), fmt.Sprintf("v=%v", w.rnd.ExpFloat64())}[k]
	}
	if odd {
		w.count("odd values", 1)
		fields = []string{
			"z=-0", "z=0", "z=5e-324", "z=1.7976931348623157e+308", "z=0.1", "z=1",
			fmt.Sprintf("i=%di", int64(math.MaxInt64)), fmt.Sprintf("i=%di", int64(math.MinInt64)), "i=9007199254740993i", "i=1i",
			`t="a\"b\\c"`, "t=\"two\nlines\"", `t=""`, `t="ü€😀"`, `t="` + strings.Repeat("x", 3000) + `"`, `sp\ ace=1,c\,omma=2,eq\=ual=3`,
		}[w.rnd.IntN(16)]
		if !w.old[0] && w.rnd.IntN(4) == 0 {
			fields = []string{"u=18446744073709551615u", "u=5u"}[w.rnd.IntN(2)]
		}
		if w.rnd.IntN(5) == 0 {
			return fmt.Sprintf("odd\\ name\\,%d,ho\\ st=a\\,b %s %d\n", m, fields, t)
		}
	}
	if w.rnd.IntN(6) == 0 {
		return fmt.Sprintf("m%d %s %d\n", m, fields, t) // without a tag
	}
	return fmt.Sprintf("m%d,host=h%d %s %d\n", m, (i+w.rnd.IntN(2))%4, fields, t)
}

// other returns a line that gives a sample another value of the same type.
func (w *world) other(s influxtest.Sample) string {
	switch v := s.Value.(type) {
	case float64:
		if s.Value = w.rnd.NormFloat64(); w.rnd.IntN(3) == 0 {
			s.Value = math.Nextafter(v, 2*v) // by one in the last place
		}
	case int64:
		s.Value = v + 1
	case uint64:
		s.Value = v - 1
	case bool:
		s.Value = !v
	case string:
		s.Value = fmt.Sprint("o", w.rnd.IntN(1000))
	}
	if f, ok := s.Value.(float64); ok && (math.IsInf(f, 0) || math.IsNaN(f)) {
		s.Value = 1.5
	}
	return lineOf(s)
}

// tamper is another hand on the target: it changes, adds and deletes.
func (w *world) tamper() {
	all := w.dst.Dump(bucket)
	if len(all) == 0 {
		return
	}
	s := all[w.rnd.IntN(len(all))]
	if s.Time > mirror.MaxTime-int64(time.Hour) {
		return // an hour later is no time
	}
	w.blind = true
	switch w.rnd.IntN(5) {
	case 0, 1:
		w.count("target: changed", 1)
		w.note("another hand changes %s %d", s.Field, s.Time)
		tell(w.dst, w.other(s))
	case 2:
		w.count("target: added", 1)
		s.Time, s.Tags = s.Time+w.rnd.Int64N(int64(time.Hour)), []influxtest.Tag{{Key: "by", Value: "hand"}}
		w.note("another hand adds %s %d", s.Field, s.Time)
		tell(w.dst, lineOf(s))
	case 3:
		w.count("target: another type", 1)
		t := w.clock(1) + int64(2*day) // a shard that the source will write to later
		w.note("another hand takes v of m1 for a text on %s", mirror.FormatTime(t))
		if tell(w.dst, fmt.Sprintf("m1,by=hand v=\"text\" %d", t)) {
			w.texts = append(w.texts, t)
		}
	case 4:
		w.count("target: deleted", 1)
		w.note("another hand deletes %s from %d on", s.Measurement, s.Time)
		w.dst.Delete(bucket, s.Measurement, s.Time, s.Time+w.rnd.Int64N(int64(time.Hour)))
		w.earlier = nil
	}
}

// forget is a delete at the source, never of most of it.
func (w *world) forget() {
	all := w.src.Dump(bucket)
	if len(all) < 20 || w.hidden != nil {
		return
	}
	s := all[w.rnd.IntN(len(all))]
	to := s.Time + w.rnd.Int64N(int64(time.Hour))
	n := 0
	for _, x := range all {
		if x.Measurement == s.Measurement && x.Time >= s.Time && x.Time <= to {
			n++
		}
	}
	if to < s.Time || n > len(all)/4 {
		return
	}
	w.count("source: deleted", 1)
	w.note("%d samples of %s are deleted at the source", n, s.Measurement)
	w.src.Delete(bucket, s.Measurement, s.Time, to)
}

// duplicate is an old write that a proxy brings to the target once more.
func (w *world) duplicate() {
	if len(w.earlier) == 0 {
		return
	}
	var b strings.Builder
	from := w.rnd.IntN(len(w.earlier))
	for _, s := range w.earlier[from:min(len(w.earlier), from+5)] {
		b.WriteString(lineOf(s))
	}
	w.blind = true
	w.count("delayed duplicate", 1)
	w.note("an old write comes once more")
	tell(w.dst, b.String())
	w.earlier = nil
}

// restart does so with one of the servers; the target may lose what it acknowledged last, the source may come back without its older shards.
func (w *world) restart() {
	i := w.rnd.IntN(2)
	s, name := w.side(i)
	switch {
	case i == 1 && len(w.earlier) > 0 && w.rnd.IntN(2) == 0:
		n := w.rollBack()
		w.note("the target loses its last writes: %d samples", n)
		if n > 0 {
			w.count("target: lost unsynced writes", 1)
		}
		s.Restart()
	case i == 0 && w.hidden == nil && !w.old[0] && w.rnd.IntN(3) == 0 && w.book.remembers():
		before := stateOf(s.Dump(bucket))
		s.Restart()
		at := time.Now().Add(-time.Duration(8+w.rnd.IntN(30)) * day).UnixNano() // what is written to now is there
		load := s.UnloadBefore(bucket, at)
		shown := stateOf(s.Dump(bucket)).values()
		w.hidden = &hiddenShards{load: load, until: time.Now().Add(40 * time.Minute)}
		for _, x := range before.all {
			if _, ok := shown[place(x)]; !ok {
				w.hidden.samples = append(w.hidden.samples, x)
			}
		}
		w.count("source: shards hidden", 1)
		w.note("the source comes back without %d older samples", len(w.hidden.samples))
	default:
		s.Restart()
	}
	w.blind = w.blind || i == 0
	w.count(name+": restarted", 1)
	w.note("%s restarted", name)
}

// hiddenShards are what a restarted source has not loaded yet.
type hiddenShards struct {
	samples []influxtest.Sample
	load    func()
	until   time.Time
}

// show loads them.
func (w *world) show() {
	if w.hidden != nil {
		w.hidden.load()
		w.hidden = nil
		w.note("the source has loaded all shards")
	}
}

// rollBack makes the target hold what it held earlier where it has been written since. What somebody else deleted stays so.
func (w *world) rollBack() (n int) {
	was := stateOf(w.earlier).values()
	again := map[string][]influxtest.Sample{}
	at := func(s influxtest.Sample) string { return fmt.Sprint(s.Time, " ", s.Measurement) }
	for _, s := range w.earlier {
		again[at(s)] = append(again[at(s)], s)
	}
	undone := map[string]bool{}
	for _, s := range w.dst.Dump(bucket) {
		if was[place(s)] == value(s.Value) || undone[at(s)] {
			continue
		}
		undone[at(s)] = true
		n++
		w.dst.Delete(bucket, s.Measurement, s.Time, s.Time)
		for _, o := range again[at(s)] {
			tell(w.dst, lineOf(o))
		}
	}
	w.earlier = nil
	return n
}

// pass lets time go by, as a rule not much.
func (w *world) wait() {
	d := time.Duration(w.rnd.Int64N(int64([]time.Duration{time.Minute, time.Minute, time.Hour, time.Hour, 48 * time.Hour}[w.rnd.IntN(5)])))
	if w.hidden != nil && time.Now().Add(d).After(w.hidden.until) {
		w.show()
	}
	time.Sleep(d)
	w.count("time passed", 1)
	w.note("%s pass by", d)
}

// alter changes what one of the buckets is like.
func (w *world) alter() {
	i := w.rnd.IntN(2)
	s, name := w.side(i)
	group := []time.Duration{week, day}[w.rnd.IntN(2)]
	w.count(name+": groups altered", 1)
	w.note("shard groups of the %s are %s from now on", name, group)
	s.UpdateBucket(bucket, w.kept[i], group)
}

// expire takes a token from influxmirror. It gets another one at the next call, or when all is mended.
func (w *world) expire() {
	i := w.rnd.IntN(2)
	s, name := w.side(i)
	if w.old[i] {
		return
	}
	held := *w.tokens[i].Load()
	fresh := s.CreateToken([]string{bucket}, []string{bucket})
	if i == 0 {
		fresh = s.CreateToken([]string{bucket}, nil)
	}
	s.RevokeToken(held)
	w.count(name+": token expired", 1)
	w.note("the token of the %s is revoked", name)
	if w.rnd.IntN(2) == 0 {
		w.tokens[i].Store(&fresh) // it is read again when it is refused
		return
	}
	w.pending[i] = fresh
}

// renew gives influxmirror the tokens it should have had.
func (w *world) renew() {
	for i, token := range w.pending {
		if token != "" {
			w.tokens[i].Store(&token)
			w.pending[i] = ""
		}
	}
}

// backup is a copy of the ledger.
type backup struct {
	files map[string][]byte
	book  *book
}

var ledgerFiles = []string{"ledger.db", "ledger.db-wal"}

// process ends the process and starts another one, whose ledger may be lost, or an older one.
func (w *world) process() error {
	k := w.rnd.IntN(8)
	if k >= 6 && w.dir != "" {
		power := k == 7
		what := map[bool]string{false: "killed between two passes", true: "power lost between two passes"}[power]
		w.count(what, 1)
		w.note("%s", what)
		o := w.outageIn(math.MaxInt, power, nil)
		return w.over(o)
	}
	w.stop()
	what := "a new process"
	switch {
	case k == 0 && w.hidden == nil:
		what = "a new process, the ledger is lost"
		if w.dir != "" {
			for _, name := range ledgerFiles {
				if err := os.RemoveAll(w.dir + "/" + name); err != nil {
					return err
				}
			}
		}
		w.book = newBook()
		clear(w.checked)
		w.backup = nil
	case k == 1:
		what = "a new process, and a backup of the ledger"
		w.backup = &backup{files: map[string][]byte{}, book: w.book.copied()}
		if w.dir != "" {
			for _, name := range ledgerFiles {
				if b, err := os.ReadFile(w.dir + "/" + name); err == nil {
					w.backup.files[name] = b
				}
			}
		}
	case k <= 3 && w.backup != nil && w.hidden == nil:
		what = "a new process, an older ledger is put back"
		w.book = w.backup.book.copied()
		delete(w.book.notes, "seen") // as the command does, which is told so
		if w.dir != "" {
			for _, name := range ledgerFiles {
				if err := os.RemoveAll(w.dir + "/" + name); err != nil {
					return err
				}
				if b, ok := w.backup.files[name]; ok {
					if err := os.WriteFile(w.dir+"/"+name, b, 0o600); err != nil {
						return err
					}
				}
			}
		}
		clear(w.checked)
		for k, g := range w.book.groups {
			w.checked[k] = slices.Clone(g.Proofs)
		}
	}
	if what != "a new process" && w.disk != nil {
		w.disk.reset()
	}
	w.count(what, 1)
	w.note("%s", what)
	return w.start()
}

// remembers reports whether anything was recorded.
func (b *book) remembers() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.groups) > 0
}
