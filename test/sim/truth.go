package sim

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"sort"
	"strconv"

	"influxmirror/influxtest"
	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// sum is a Fingerprint by other means than the product's: only the hash of a Sample is shared.
type sum struct{ n, hi, lo uint64 }

func (s sum) add(o sum) sum {
	lo, c := bits.Add64(s.lo, o.lo, 0)
	hi, _ := bits.Add64(s.hi, o.hi, c)
	return sum{s.n + o.n, hi, lo}
}

func (s sum) sub(o sum) sum {
	lo, b := bits.Sub64(s.lo, o.lo, 0)
	hi, _ := bits.Sub64(s.hi, o.hi, b)
	return sum{s.n - o.n, hi, lo}
}

func sumOf(f mirror.Fingerprint) sum { return sum{f.Count, f.Hi, f.Lo} }

func (s sum) String() string { return fmt.Sprintf("%d:%016x%016x", s.n, s.hi, s.lo) }

// state is what a bucket holds at one time, ready to be asked for any window.
type state struct {
	all     []influxtest.Sample
	times   map[string][]int64 // by measurement, in order
	hashes  map[string][]sum   // each the sum of all before it
	ordered map[string][]influxtest.Sample
	placed  map[string]string // by place, once asked for
}

func stateOf(all []influxtest.Sample) *state {
	s := &state{all: all, times: map[string][]int64{}, hashes: map[string][]sum{}, ordered: map[string][]influxtest.Sample{}}
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].Measurement == all[i].Measurement {
			j++
		}
		list := slices.Clone(all[i:j])
		slices.SortStableFunc(list, func(a, b influxtest.Sample) int { return cmp.Compare(a.Time, b.Time) })
		times, sums := make([]int64, len(list)), make([]sum, len(list)+1)
		for k := range list {
			m := sample(list[k])
			hi, lo := lineproto.HashSample(nil, &m)
			times[k], sums[k+1] = list[k].Time, sums[k].add(sum{1, hi, lo})
		}
		name := all[i].Measurement
		s.times[name], s.hashes[name], s.ordered[name] = times, sums, list
		i = j
	}
	return s
}

// in is the sum of a window of a measurement.
func (s *state) in(measurement string, w mirror.Window) sum {
	times := s.times[measurement]
	if len(times) == 0 {
		return sum{}
	}
	i, _ := slices.BinarySearch(times, w.Start)
	j, _ := slices.BinarySearch(times, w.Stop)
	if w.Stop == math.MaxInt64 { // nothing is that late
		j = len(times)
	}
	h := s.hashes[measurement]
	return h[j].sub(h[i])
}

// place is where a Sample is: everything but its value.
func place(s influxtest.Sample) string {
	b := strconv.AppendQuote(make([]byte, 0, 64), s.Measurement)
	for _, t := range s.Tags {
		b = strconv.AppendQuote(append(b, ','), t.Key)
		b = strconv.AppendQuote(append(b, '='), t.Value)
	}
	b = strconv.AppendQuote(append(b, ' '), s.Field)
	return string(strconv.AppendInt(append(b, ' '), s.Time, 10))
}

// value is a value with its type, exactly.
func value(v any) string {
	switch v := v.(type) {
	case float64:
		return "float64 " + strconv.FormatUint(math.Float64bits(v), 16)
	case int64:
		return "int64 " + strconv.FormatInt(v, 10)
	case string:
		return "string " + v
	}
	return fmt.Sprintf("%T %v", v, v)
}

// values lists a state by place.
func (s *state) values() map[string]string {
	if s.placed == nil {
		s.placed = make(map[string]string, len(s.all))
		for _, x := range s.all {
			s.placed[place(x)] = value(x.Value)
		}
	}
	return s.placed
}

// moment is what both sides held at a time of a Pass.
type moment struct{ src, dst *state }

// check returns every Proof recorded since the last check that says something that was not so at any of the moments: its own part of
// the window has to be what a moment shows, and the rest what Proofs said that were checked before.
func (w *world) check(moments []moment, since int64) (lies []string) {
	w.book.mu.Lock()
	defer w.book.mu.Unlock()
	before := map[string][]mirror.Proof{} // by measurement: a changed duration of groups moves Proofs between them
	for k, proofs := range w.checked {
		before[k.measurement] = append(before[k.measurement], proofs...)
	}
	judge := func(k slot, g mirror.Group) {
		old := before[k.measurement]
		for _, p := range g.Proofs {
			if why := enumerated(g, p); why != "" {
				lies = append(lies, fmt.Sprintf("a proof that does not say what it leaves out: %q %s: %s", k.measurement, p.Window, why))
			}
			if slices.ContainsFunc(old, func(o mirror.Proof) bool {
				return o.Window == p.Window && o.Source == p.Source && o.Target == p.Target && o.Excepted == p.Excepted && o.Extra == p.Extra && o.AsOf == p.AsOf
			}) {
				continue
			}
			w.proofs++
			if p.Window.Start < w.keptFrom() {
				continue // a server may drop it at any time
			}
			if why := explain(k.measurement, p, old, moments, since); why != "" {
				lies = append(lies, fmt.Sprintf("a proof that is not true: %q %s as of %s: %s", k.measurement, p.Window, mirror.FormatTime(p.AsOf), why))
			}
		}
	}
	for k := range w.book.changed {
		g := w.book.groups[k]
		judge(k, g)
		if w.checked[k] = slices.Clone(g.Proofs); len(g.Proofs) == 0 {
			delete(w.checked, k)
		}
	}
	for _, g := range w.book.claims { // a ledger may hold what it did not acknowledge
		judge(slot{g.Measurement, g.Window.Start}, g)
	}
	w.book.claims = nil
	clear(w.book.changed)
	sort.Strings(lies)
	return lies
}

// explain says why a Proof is not true, "" if it is.
func explain(measurement string, p mirror.Proof, old []mirror.Proof, moments []moment, since int64) string {
	if !p.Holds() {
		return "it does not hold"
	}
	var parts []mirror.Proof // that it may have been joined from
	for _, o := range old {
		if p.Window.Covers(o.Window) && o.Window != p.Window {
			parts = append(parts, o)
		}
	}
	parts = parts[:min(len(parts), 12)]
	for kept := range 1 << len(parts) {
		var src, dst sum
		rest, asOf := []mirror.Window{p.Window}, int64(math.MaxInt64)
		for i, o := range parts {
			if kept&(1<<i) == 0 {
				continue
			}
			src, dst, asOf = src.add(sumOf(o.Source)), dst.add(sumOf(o.Target)), min(asOf, o.AsOf)
			rest = without(rest, o.Window)
		}
		if len(rest) > 0 {
			asOf = min(asOf, max(since, p.AsOf)) // its own reads began in this Pass
		}
		if p.AsOf > asOf || kept == 0 && p.AsOf < since {
			continue
		}
		a, b := false, false
		for _, m := range moments {
			s, t := src, dst
			for _, w := range rest {
				s, t = s.add(m.src.in(measurement, w)), t.add(m.dst.in(measurement, w))
			}
			a, b = a || s == sumOf(p.Source), b || t == sumOf(p.Target)
		}
		if a && b {
			return ""
		}
	}
	last := moments[len(moments)-1]
	return fmt.Sprintf("it says %s / %s, and it was %s / %s", sumOf(p.Source), sumOf(p.Target), last.src.in(measurement, p.Window), last.dst.in(measurement, p.Window))
}

// without takes w out of disjoint windows.
func without(from []mirror.Window, w mirror.Window) (out []mirror.Window) {
	for _, f := range from {
		if !f.Overlaps(w) {
			out = append(out, f)
			continue
		}
		for _, part := range []mirror.Window{{Start: f.Start, Stop: w.Start}, {Start: w.Stop, Stop: f.Stop}} {
			if part.Start < part.Stop {
				out = append(out, part)
			}
		}
	}
	return out
}

// enumerated says what is missing in the list of what a Proof leaves out, "" if nothing is.
func enumerated(g mirror.Group, p mirror.Proof) string {
	var excepted, extra sum
	for _, x := range g.Exceptions {
		switch {
		case !p.Window.Covers(x.Window):
		case x.Class == mirror.Extra:
			extra = extra.add(sumOf(x.Samples))
		default:
			excepted = excepted.add(sumOf(x.Samples))
		}
	}
	if excepted != sumOf(p.Excepted) || extra != sumOf(p.Extra) {
		return fmt.Sprintf("excepted %s, listed %s; extra %s, listed %s", sumOf(p.Excepted), excepted, sumOf(p.Extra), extra)
	}
	return ""
}

// digest is the Fingerprint of a window of a dump.
func digest(all []influxtest.Sample, measurement string, in mirror.Window) mirror.Fingerprint {
	s := stateOf(all).in(measurement, in)
	return mirror.Fingerprint{Count: s.n, Hi: s.hi, Lo: s.lo}
}

// lineOf is the canonical line of a sample.
func lineOf(s influxtest.Sample) string {
	m := sample(s)
	return string(lineproto.AppendLine(nil, &m))
}
