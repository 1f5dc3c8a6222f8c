package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// A diff holds at most so many Samples of one side in memory, and so many bytes of their lines.
const (
	settleAt    = 100_000
	settleBytes = 16 << 20
)

// share is the part of a Chunk's series that a diff holds at a time: those whose hash modulo of is i. The zero value is all.
type share struct{ i, of uint64 }

// split cuts a share in two.
func (s share) split() []share {
	of := max(s.of, 1)
	return []share{{s.i, 2 * of}, {s.i + of, 2 * of}}
}

// maxShares is how often one instant is cut before it is given up.
const maxShares = 1 << 20

// holds reports whether a line of one field belongs to the share: it depends on series, field and time.
func (s share) holds(line []byte) bool {
	if s.of <= 1 {
		return true
	}
	_, lo := lineproto.Hash([]byte(position(string(line))))
	return lo%s.of == s.i
}

// keeps returns the places, series, field and time, at which the target has another value than the source and is to keep it, of whatever type.
func (m *Mirror) keeps(src, dst *lines) map[string]bool {
	if m.Prefer != mirror.TargetSide {
		return nil
	}
	at := map[string]bool{}
	for line := range dst.set {
		if _, same := src.set[line]; !same {
			at[position(line)] = true
		}
	}
	return at
}

// keepsOwn is the reason of what is Kept.
const keepsOwn = "the target has another value there and keeps it"

// settlement is what a diff of one Cell came to.
type settlement struct {
	source, target, excepted, extra mirror.Fingerprint
	exceptions                      []mirror.Exception
	asOf, checkedAt                 int64
	written                         int64
	differing                       uint64
	live                            bool
}

func (s settlement) proof(w mirror.Window) mirror.Proof {
	return mirror.Proof{Window: w, Source: s.source, Target: s.target, Excepted: s.excepted, Extra: s.extra, AsOf: s.asOf, CheckedAt: s.checkedAt}
}

// settle brings one Cell in line sample by sample: missing Samples are written, different ones too unless the target is preferred, and what stays
// different is enumerated as excepted or extra with its reason. refused is what a write of this Cell just refused.
func (m *Mirror) settle(ctx context.Context, c mirror.Chunk, refused mirror.Refusals) (settlement, error) {
	s, over, err := m.settleShare(ctx, c, share{}, refused)
	if err != nil || !over {
		return s, err
	}
	if c.Window.Width() < 2 {
		return m.settleInstant(ctx, c, refused)
	}
	at := c.Window.Middle()
	var all settlement
	for i, w := range []mirror.Window{{Start: c.Window.Start, Stop: at}, {Start: at, Stop: c.Window.Stop}} {
		s, err := m.settle(ctx, mirror.Chunk{Measurement: c.Measurement, Window: w, Width: int64(w.Width())}, refused)
		if err != nil {
			return all, err
		}
		for j := range s.exceptions {
			s.exceptions[j].Window = c.Window
		}
		if i == 0 {
			all = s
			continue
		}
		all = settlement{all.source.Add(s.source), all.target.Add(s.target), all.excepted.Add(s.excepted), all.extra.Add(s.extra),
			append(all.exceptions, s.exceptions...), min(all.asOf, s.asOf), min(all.checkedAt, s.checkedAt),
			all.written + s.written, all.differing + s.differing, all.live || s.live}
	}
	return all, nil
}

// settleInstant settles one instant that holds too many Samples for one diff: share by share, until a round over all shares has
// nothing to write and finds the same on both sides each time.
func (m *Mirror) settleInstant(ctx context.Context, c mirror.Chunk, refused mirror.Refusals) (settlement, error) {
	var written int64
	var differing uint64
	for range 3 {
		var all settlement
		todo := share{}.split()
		first, sent := true, false
		for len(todo) > 0 {
			s, over, err := m.settleShare(ctx, c, todo[0], refused)
			written += s.written
			differing += s.differing
			if err != nil {
				return settlement{written: written, differing: differing}, err
			}
			if over {
				if todo[0].of > maxShares {
					return s, &mirror.Error{Kind: mirror.Rejected, Op: "compare", Err: fmt.Errorf("%s holds too much of %q at one instant", c.Window, c.Measurement)}
				}
				todo = append(todo[0].split(), todo[1:]...)
				continue
			}
			todo = todo[1:]
			sent = sent || s.written > 0
			if first {
				all, first = s, false
				continue
			}
			all.live = all.live || s.live || s.source != all.source || s.target != all.target
			all.excepted, all.extra = all.excepted.Add(s.excepted), all.extra.Add(s.extra)
			all.exceptions = append(all.exceptions, s.exceptions...)
			all.asOf, all.checkedAt = min(all.asOf, s.asOf), min(all.checkedAt, s.checkedAt)
		}
		all.written, all.differing = written, differing
		if !sent {
			return all, nil
		}
	}
	return settlement{written: written, differing: differing, live: true}, nil
}

// settleShare settles a share of one Cell. The sums of both sides are of the whole Cell, the exceptions of the share; over means that it
// holds too much and nothing was done.
func (m *Mirror) settleShare(ctx context.Context, c mirror.Chunk, sh share, refused mirror.Refusals) (_ settlement, over bool, _ error) {
	src, dst, err := m.both(ctx, c, sh)
	if err != nil {
		return settlement{}, false, err
	}
	if src.over || dst.over {
		return settlement{}, true, nil
	}
	if src.reading.Live || dst.reading.Live {
		return settlement{live: true}, false, nil
	}
	missing, kept := src.without(dst), m.keeps(src, dst)
	if len(kept) > 0 {
		missing = slices.DeleteFunc(missing, func(line string) bool { return kept[position(line)] })
	}
	out := settlement{differing: uint64(len(missing))}
	// What was refused a moment ago is not sent once more.
	send := slices.DeleteFunc(slices.Clone(missing), func(line string) bool { return reason(refused, line) != "" })
	if len(send) > 0 {
		again, err := m.send(ctx, c, send)
		if err != nil {
			return out, false, err
		}
		refused = merge(refused, again)
		out.written = int64(len(send))
	}
	// The source is read again as well: what was written is what it held before, and it may have changed since.
	if len(send) > 0 {
		if src, dst, err = m.both(ctx, c, sh); err != nil {
			return out, false, err
		}
		if src.reading.Live || dst.reading.Live || src.over || dst.over {
			out.live = true
			return out, false, nil
		}
		kept = m.keeps(src, dst)
	}
	out.source, out.target = src.reading.Total(), dst.reading.Total()
	out.asOf, out.checkedAt = src.reading.Date, dst.reading.Date
	if sh.i == 0 {
		out.unwritable(c, src.reading.Unwritable, dst.reading.Unwritable)
	}
	for _, line := range src.without(dst) {
		if len(kept) > 0 && kept[position(line)] {
			if err := out.except(c, mirror.Kept, keepsOwn, line, &out.excepted); err != nil {
				return out, false, err
			}
			continue
		}
		why := reason(refused, line)
		if why == "" {
			if out.live = true; !slices.Contains(missing, line) {
				return out, false, nil // written at the source meanwhile
			}
			return out, false, &mirror.Error{Kind: mirror.Broken, Side: mirror.TargetSide, Op: "read back",
				Err: fmt.Errorf("a sample that was acknowledged is not there: %s", strings.TrimSpace(clip(line)))}
		}
		if err := out.except(c, mirror.Refused, why, line, &out.excepted); err != nil {
			return out, false, err
		}
	}
	for _, line := range dst.without(src) {
		if err := out.except(c, mirror.Extra, "only on the target", line, &out.extra); err != nil {
			return out, false, err
		}
	}
	return out, false, nil
}

// unwritable enumerates what no line can carry; what the target holds all the same, put there by other means, is the same on both sides.
func (s *settlement) unwritable(c mirror.Chunk, src, dst []mirror.Exception) {
	same := func(x mirror.Exception) func(mirror.Exception) bool {
		return func(y mirror.Exception) bool {
			return x.Field == y.Field && x.Type == y.Type && x.Reason == y.Reason && x.Samples == y.Samples
		}
	}
	for _, x := range src {
		if !slices.ContainsFunc(dst, same(x)) {
			x.Window = c.Window
			s.exceptions = append(s.exceptions, x)
			s.excepted = s.excepted.Add(x.Samples)
		}
	}
	for _, x := range dst {
		if !slices.ContainsFunc(src, same(x)) {
			x.Window, x.Class, x.Reason = c.Window, mirror.Extra, "only on the target"
			s.exceptions = append(s.exceptions, x)
			s.extra = s.extra.Add(x.Samples)
		}
	}
}

// except enumerates one Sample.
func (s *settlement) except(c mirror.Chunk, class mirror.Class, why, line string, total *mirror.Fingerprint) error {
	sample, err := lineproto.Parse([]byte(line))
	if err != nil {
		return err
	}
	hi, lo := lineproto.HashSample(nil, &sample)
	total.AddHash(hi, lo)
	for i := range s.exceptions {
		x := &s.exceptions[i]
		if x.Class == class && x.Field == sample.Field && x.Type == sample.Type && x.Reason == why {
			x.Samples.AddHash(hi, lo)
			return nil
		}
	}
	x := mirror.Exception{Class: class, Window: c.Window, Field: sample.Field, Type: sample.Type, Reason: why, Example: strings.TrimSpace(clip(line))}
	x.Samples.AddHash(hi, lo)
	s.exceptions = append(s.exceptions, x)
	return nil
}

func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// lines are all Samples of a small Chunk on one side, one canonical line each.
type lines struct {
	set     map[string]struct{}
	reading mirror.Reading
	over    bool
}

func (l *lines) without(o *lines) (out []string) {
	for line := range l.set {
		if _, ok := o.set[line]; !ok {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// both reads all Samples of a Chunk on both sides and keeps those of the share.
func (m *Mirror) both(ctx context.Context, c mirror.Chunk, sh share) (src, dst *lines, err error) {
	g, sub := errgroup.WithContext(ctx)
	g.Go(func() error {
		return mirror.Caught(func() (err error) { src, err = collect(sub, m.source, c, sh); return err })
	})
	g.Go(func() error {
		return mirror.Caught(func() (err error) { dst, err = collect(sub, m.target, c, sh); return err })
	})
	err = g.Wait()
	return src, dst, err
}

var errOver = errors.New("more than one diff can hold")

func collect(ctx context.Context, s Source, c mirror.Chunk, sh share) (*lines, error) {
	l := &lines{set: map[string]struct{}{}}
	c.Width = int64(min(uint64(1<<63-1), c.Window.Width()))
	size := 0
	r, err := s.Read(ctx, c, func(b []byte) error {
		for rest := b; len(rest) > 0; {
			var line []byte
			line, rest = lineproto.Next(rest)
			lineproto.Fields(line, func(_, single []byte) {
				if sh.holds(single) {
					l.set[string(single)] = struct{}{}
					size += len(single)
				}
			})
		}
		if l.over = len(l.set) > settleAt || size > settleBytes && len(l.set) > 1; l.over {
			return errOver
		}
		return nil
	})
	if l.over {
		return &lines{over: true}, nil
	}
	if err != nil {
		return nil, err
	}
	l.reading = r
	return l, nil
}

// send writes single lines and waits for them.
func (m *Mirror) send(ctx context.Context, c mirror.Chunk, list []string) (mirror.Refusals, error) {
	w, err := m.target.Open(ctx, c)
	if err != nil {
		return mirror.Refusals{}, err
	}
	var b bytes.Buffer
	for _, line := range list {
		b.WriteString(line)
		if b.Len() > 256<<10 {
			if err := w.Write(b.Bytes()); err != nil {
				w.Abort()
				return mirror.Refusals{}, err
			}
			b.Reset()
		}
	}
	if err := w.Write(b.Bytes()); err != nil {
		w.Abort()
		return mirror.Refusals{}, err
	}
	return w.Close()
}

func merge(a, b mirror.Refusals) mirror.Refusals {
	out := mirror.Refusals{Lines: map[string]string{}, Fields: map[mirror.RefusedField]string{}, Grid: b.Grid}
	for _, r := range []mirror.Refusals{a, b} {
		maps.Copy(out.Lines, r.Lines)
		maps.Copy(out.Fields, r.Fields)
		out.Unsigned = cmp.Or(r.Unsigned, out.Unsigned)
	}
	return out
}

// reason returns why a line of one field was refused, or "".
func reason(r mirror.Refusals, line string) string {
	if r.Unsigned != "" && lineproto.Unsigned([]byte(line)) {
		return r.Unsigned
	}
	if len(r.Lines)+len(r.Fields) == 0 {
		return ""
	}
	field, t := lineproto.Place([]byte(line))
	return r.Reason(field, t, line)
}
