package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"sync"

	"github.com/zeebo/xxh3"

	"influxmirror/internal/mirror"
)

// Survey calls fn with every step of req that holds anything, by measurement and time, from the manifests where a file lies in one step and
// else from the file. The Digest is of the step's Fingerprint, so that it misses nothing. Samples of a damaged file are absent where the
// archive is the target. To a source they are where the manifest says, as far as it can: spread over the steps of the file, so that none of these seems empty.
func (b *Bucket) Survey(ctx context.Context, req mirror.SurveyRequest, fn func(mirror.Count) error) error {
	_, top, err := b.root()
	if err != nil {
		return err
	}
	if req.Width <= 0 {
		return b.fail(mirror.Rejected, "survey", fmt.Errorf("steps of %d ns", req.Width))
	}
	wanted := map[string]bool{}
	for _, name := range req.Measurements {
		wanted[name] = true
	}
	for _, name := range top.names {
		if len(wanted) > 0 && !wanted[name] {
			continue
		}
		s := &surveying{b: b, ctx: ctx, req: req, name: name, fn: fn, from: req.Window.Start, op: "survey " + strconv.Quote(name)}
		err := s.run()
		for try := 1; errors.Is(err, errReplaced) && try < 100; try++ {
			err = s.run() // from the step on that was not told yet
		}
		if errors.Is(err, errReplaced) {
			err = b.fail(mirror.Broken, s.op, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// surveying is the survey of one measurement.
type surveying struct {
	b    *Bucket
	ctx  context.Context
	req  mirror.SurveyRequest
	name string
	op   string
	fn   func(mirror.Count) error
	from int64 // everything before was told
	cur  mirror.Count
	sum  mirror.Fingerprint
}

func (s *surveying) run() error {
	d, m, err := s.b.find(s.name, s.op)
	if err != nil || m == nil {
		return err
	}
	s.cur, s.sum = mirror.Count{}, mirror.Fingerprint{}
	window := mirror.Window{Start: s.from, Stop: s.req.Window.Stop}
	for i, files := 0, m.overlapping(window); i < len(files); i++ {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		f := &files[i]
		bad, err := s.b.look(d, m.dir, f)
		if err != nil {
			return err
		}
		if bad != "" && s.b.replaced(d, m) {
			return errReplaced
		}
		if bad != "" && s.b.o.Side == mirror.TargetSide {
			continue
		}
		at := s.req.Step(f.First)
		if window.Covers(f.window()) && at.Contains(f.Last) {
			if err := s.put(at, f.Print); err != nil {
				return err
			}
			continue
		}
		list, err := s.steps(d, m, f, f.window().Intersect(window), bad)
		if err != nil {
			return err
		}
		for _, st := range list {
			if err := s.put(s.req.Step(st.start), st.print); err != nil {
				return err
			}
		}
	}
	return s.tell()
}

// put adds to a step; steps come by time.
func (s *surveying) put(step mirror.Window, fp mirror.Fingerprint) error {
	step = step.Intersect(s.req.Window)
	if s.sum.Count > 0 && s.cur.Window != step {
		if err := s.tell(); err != nil {
			return err
		}
	}
	s.cur.Window, s.sum = step, s.sum.Add(fp)
	return nil
}

func (s *surveying) tell() error {
	if s.sum.Count == 0 {
		return nil
	}
	n := mirror.Count{Measurement: s.name, Window: s.cur.Window, Samples: s.sum.Count}
	if s.req.Sums {
		b, _ := s.sum.AppendBinary(nil)
		n.Digest = max(xxh3.Hash(b), 1)
	}
	s.from, s.sum = s.cur.Window.Stop, mirror.Fingerprint{}
	return s.fn(n)
}

// stepPrint is what one file holds of one step.
type stepPrint struct {
	start int64 // of the step, or of the part of it that was asked for
	print mirror.Fingerprint
}

// steps reads what a file holds of each step in w. bad says that it cannot be read.
func (s *surveying) steps(d *disk, m *manifest, f *file, w mirror.Window, bad string) ([]stepPrint, error) {
	key := stepKey{inData(m.dir, f.name()), f.SHA256, s.req.Width, s.req.Offset, w}
	if list, ok := s.b.steps.get(key); ok && bad == "" {
		return list, nil
	}
	if bad == "" {
		h, err := prove(d, m.dir, f)
		if errors.Is(err, fs.ErrNotExist) && s.b.replaced(d, m) {
			return nil, errReplaced
		}
		var list []stepPrint
		if err == nil {
			u, failed := unpack(h, f)
			if err = failed; err == nil {
				list, err = s.count(u, w)
				u.close()
			}
		}
		if err == nil {
			s.b.steps.put(key, list)
			return list, nil
		}
		if !isDamage(err) {
			return nil, s.b.failed(s.op, err)
		}
		s.b.note(d, m.dir, f, err)
		if s.b.o.Side == mirror.TargetSide {
			return nil, nil
		}
	}
	return s.spread(f, w), nil
}

func (s *surveying) count(u *unpacker, w mirror.Window) (list []stepPrint, _ error) {
	hasher := newHasher(s.name)
	var step mirror.Window
	for {
		ok, err := u.next()
		if err != nil {
			return nil, err
		}
		if !ok || u.line().Time >= w.Stop {
			return list, nil
		}
		l := u.line()
		if l.Time < w.Start {
			continue
		}
		if len(list) == 0 || !step.Contains(l.Time) {
			step = s.req.Step(l.Time)
			list = append(list, stepPrint{start: max(step.Start, w.Start)})
			if err := s.ctx.Err(); err != nil {
				return nil, err
			}
		}
		if _, err := hasher.add(l, &list[len(list)-1].print); err != nil {
			return nil, &alteredError{err.Error()}
		}
	}
}

// spread tells the Samples of a file that cannot be read in the steps of w that it touches: some in each of them, so that whoever reads there learns why
// he cannot.
func (s *surveying) spread(f *file, w mirror.Window) (list []stepPrint) {
	left := f.Print.Count
	for t := w.Start; t < w.Stop && left > 0; {
		step := s.req.Step(t)
		list = append(list, stepPrint{t, mirror.Fingerprint{Count: 1, Lo: binary.BigEndian.Uint64(f.SHA256[:8])}})
		left--
		t = step.Stop
	}
	if len(list) > 0 {
		list[0].print.Count += left
	}
	return list
}

// stepCache remembers what files hold of steps. A file of one name and SHA-256 never changes.
type stepCache struct {
	mu    sync.Mutex // guards the rest
	known map[stepKey][]stepPrint
	size  int
}

type stepKey struct {
	name          string
	sum           digest
	width, offset int64
	window        mirror.Window
}

// maxSteps bounds the cache: 40 bytes a step.
const maxSteps = 250_000

func (c *stepCache) get(k stepKey) ([]stepPrint, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, ok := c.known[k]
	return list, ok
}

func (c *stepCache) put(k stepKey, list []stepPrint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(list) > maxSteps/4 {
		return
	}
	if c.known == nil || c.size+len(list)+1 > maxSteps {
		c.known, c.size = map[stepKey][]stepPrint{}, 0
	}
	c.known[k] = list
	c.size += len(list) + 1
}
