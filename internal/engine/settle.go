package engine

import (
	"bytes"
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

// settleAt is the most Samples of one side that a diff holds in memory; instantAt where time cannot be cut any finer.
const (
	settleAt  = 100_000
	instantAt = 1_000_000
)

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

// settle brings one Cell in line sample by sample: missing and different Samples are written again, and what stays different is
// enumerated as excepted or extra with its reason. refused is what a write of this Cell just refused.
func (m *Mirror) settle(ctx context.Context, c mirror.Chunk, refused mirror.Refusals) (settlement, error) {
	src, dst, err := m.both(ctx, c)
	if err != nil {
		return settlement{}, err
	}
	if src.over || dst.over {
		if c.Window.Width() < 2 {
			return settlement{}, fmt.Errorf("%s holds more than %d samples of %q at one instant", c.Window, instantAt, c.Measurement)
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
	if src.reading.Live || dst.reading.Live {
		return settlement{live: true}, nil
	}
	missing := src.without(dst)
	out := settlement{differing: uint64(len(missing))}
	// What was refused a moment ago is not sent once more.
	send := slices.DeleteFunc(slices.Clone(missing), func(line string) bool { return reason(refused, line) != "" })
	if len(send) > 0 {
		again, err := m.send(ctx, c, send)
		if err != nil {
			return out, err
		}
		refused = merge(refused, again)
		out.written = int64(len(send))
	}
	// The source is read again as well: what was written is what it held before, and it may have changed since.
	if len(send) > 0 {
		if src, dst, err = m.both(ctx, c); err != nil {
			return out, err
		}
		if src.reading.Live || dst.reading.Live || src.over || dst.over {
			out.live = true
			return out, nil
		}
	}
	out.source, out.target = src.reading.Total(), dst.reading.Total()
	out.asOf, out.checkedAt = src.reading.Date, dst.reading.Date
	for _, x := range src.reading.Unwritable {
		x.Window = c.Window
		out.exceptions = append(out.exceptions, x)
		out.excepted = out.excepted.Add(x.Samples)
	}
	for _, line := range src.without(dst) {
		why := reason(refused, line)
		if why == "" {
			if out.live = true; !slices.Contains(missing, line) {
				return out, nil // written at the source meanwhile
			}
			return out, &mirror.Error{Kind: mirror.Broken, Side: mirror.TargetSide, Op: "read back",
				Err: fmt.Errorf("a sample that was acknowledged is not there: %s", strings.TrimSpace(clip(line)))}
		}
		if err := out.except(c, mirror.Refused, why, line, &out.excepted); err != nil {
			return out, err
		}
	}
	for _, line := range dst.without(src) {
		if err := out.except(c, mirror.Extra, "only on the target", line, &out.extra); err != nil {
			return out, err
		}
	}
	return out, nil
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

// both reads all Samples of a Chunk on both sides.
func (m *Mirror) both(ctx context.Context, c mirror.Chunk) (src, dst *lines, err error) {
	g, sub := errgroup.WithContext(ctx)
	g.Go(func() (err error) { src, err = collect(sub, m.source, c); return err })
	g.Go(func() (err error) { dst, err = collect(sub, m.target, c); return err })
	err = g.Wait()
	return src, dst, err
}

var errOver = errors.New("too many samples for one diff")

func collect(ctx context.Context, s Source, c mirror.Chunk) (*lines, error) {
	l := &lines{set: map[string]struct{}{}}
	limit := settleAt
	if c.Window.Width() < 2 {
		limit = instantAt
	}
	c.Width = int64(min(uint64(1<<63-1), c.Window.Width()))
	r, err := s.Read(ctx, c, func(b []byte) error {
		for rest := b; len(rest) > 0; {
			var line []byte
			line, rest = lineproto.Next(rest)
			lineproto.Fields(line, func(_, single []byte) { l.set[string(single)] = struct{}{} })
		}
		if len(l.set) > limit {
			return errOver
		}
		return nil
	})
	if l.over = len(l.set) > limit; l.over {
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
	}
	return out
}

// reason returns why a line of one field was refused, or "".
func reason(r mirror.Refusals, line string) string {
	if len(r.Lines)+len(r.Fields) == 0 {
		return ""
	}
	field, t := lineproto.Place([]byte(line))
	return r.Reason(field, t, line)
}
