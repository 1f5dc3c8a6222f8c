package sim

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// scene is a world for one story, told step by step.
type scene struct {
	*world
	t *testing.T
}

// buckets says what the two buckets are like; the zero value keeps data for ever in groups of a week.
type buckets struct {
	srcGroup, dstGroup         time.Duration
	srcRetention, dstRetention time.Duration
	settings                   engine.Settings
	src, dst                   influxtest.Options
	dir                        string // of the state; "": one of its own
}

// direct runs a story in virtual time, which begins on Saturday, 2000-01-01.
func direct(t *testing.T, b buckets, story func(*scene)) {
	t.Helper()
	dir := b.dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp(t.TempDir(), "state"); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := &world{rnd: rand.New(rand.NewPCG(1, 1)), dir: dir, srcPipe: newPipe(), dstPipe: newPipe(), settings: b.settings}
		w.settings.Name = "m"
		if w.settings.Wait == 0 {
			w.settings.Wait = margin
		}
		b.src.Listener, b.src.Seed, b.dst.Listener, b.dst.Seed = w.srcPipe, 1, w.dstPipe, 2
		w.src, w.dst = influxtest.NewServer(b.src), influxtest.NewServer(b.dst)
		if b.srcGroup == 0 {
			b.srcGroup = week
		}
		if b.dstGroup == 0 {
			b.dstGroup = b.srcGroup
		}
		w.src.CreateBucket(bucket, b.srcRetention, b.srcGroup)
		w.dst.CreateBucket(bucket, b.dstRetention, b.dstGroup)
		if err := w.start(); err != nil {
			t.Fatal(err)
		}
		defer w.close()
		story(&scene{w, t})
	})
}

// try does one Pass.
func (s *scene) try(g engine.Goal) (engine.Report, error) {
	s.t.Helper()
	r, err := s.mirror.Pass(s.t.Context(), g)
	s.t.Logf("%s pass insist=%t: %v done %d left %d live %d read %d written %d errors %v idle %t: %v",
		time.Now().UTC().Format("01-02 15:04:05"), g.Insist, r.Reasons, r.Done, r.Left, r.Live, r.Samples, r.Written, r.Errors, r.Idle, err)
	return r, err
}

// run does Passes as the service does, pause apart.
func (s *scene) run(n int, pause time.Duration) (last engine.Report) {
	s.t.Helper()
	for range n {
		time.Sleep(pause)
		r, err := s.try(engine.Goal{})
		if err != nil {
			s.t.Fatal(err)
		}
		last = r
	}
	return last
}

// sync does one Pass that looks everywhere.
func (s *scene) sync() engine.Report {
	s.t.Helper()
	r, err := s.try(engine.Goal{Insist: true})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *scene) put(format string, args ...any) { s.src.Write(bucket, fmt.Sprintf(format, args...)) }

// equal checks that the target holds everything the source holds.
func (s *scene) equal() {
	s.t.Helper()
	if m := s.missing(); len(m) > 0 {
		s.t.Errorf("%d samples are missing, first %q", len(m), m[0])
	}
}

// proven checks that everything at the source is proven, and every Proof true.
func (s *scene) proven() {
	s.t.Helper()
	s.equal()
	lies, err := s.lies(s.t.Context(), mirror.MinTime)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range lies {
		s.t.Errorf("a proof that is not true: %s", l)
	}
	sums, err := s.pair.Summaries(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var n uint64
	for _, m := range sums {
		n += m.Source
	}
	if want := len(s.src.Dump(bucket)); n != uint64(want) {
		s.t.Errorf("%d samples are proven, the source holds %d", n, want)
	}
}

// down makes requests to a server fail until the function returned is called.
func (s *scene) down(end *influxtest.Server, match func(*http.Request) bool) (up func()) {
	f := end.Fault(match, influxtest.Refuse())
	return func() {
		s.t.Helper()
		f.Remove()
		if f.Fired() == 0 {
			s.t.Error("void: the fault never fired")
		}
	}
}

// reads matches reads of a measurement's samples; surveys are let through.
func reads(r *http.Request, measurement string) bool {
	q := r.Form.Get("q")
	return strings.Contains(q, fmt.Sprintf("FROM %q", measurement)) && (strings.Contains(q, "GROUP BY *") || strings.Contains(q, "*::tag"))
}

func now() int64 { return time.Now().UnixNano() }
