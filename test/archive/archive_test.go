package archive

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"influxmirror/influxtest"
	"influxmirror/internal/archive"
	"influxmirror/internal/engine"
	"influxmirror/internal/influx"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

const (
	bucket = "weather"
	week   = 7 * 24 * time.Hour
)

// scene is an instrument's server and an archive.
type scene struct {
	t   *testing.T
	src *influxtest.Server
	dir string
	rnd *rand.Rand
}

func newScene(t *testing.T, group time.Duration) *scene {
	s := &scene{t: t, src: influxtest.NewServer(influxtest.Options{}), dir: filepath.Join(t.TempDir(), "weather"), rnd: rand.New(rand.NewPCG(1, 2))}
	t.Cleanup(s.src.Close)
	s.src.CreateBucket(bucket, 0, group)
	a := archive.New(archive.Options{Side: mirror.TargetSide, Dir: s.dir})
	if err := a.CreateBucket(context.Background(), 0, group); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

func client(t *testing.T, side mirror.Side, s *influxtest.Server) influx.Options {
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return influx.Options{Side: side, URL: u, Org: s.Org, Bucket: bucket, Login: func() (influx.Login, error) { return influx.Login{Token: s.Token}, nil }}
}

// process is one run of influxmirror.
type process struct {
	t *testing.T
	*engine.Mirror
	archive *archive.Bucket
	close   func()
}

// start begins a process between two ends, with what was remembered in state.
func start(t *testing.T, state string, source engine.Source, target engine.Target, a *archive.Bucket) *process {
	l, err := ledger.Open(state)
	if err != nil {
		t.Fatal(err)
	}
	open := func(ctx context.Context, key, _, _ string) (engine.Ledger, error) { return l.Pair(ctx, key) }
	log := slog.New(slog.DiscardHandler)
	p := &process{t: t, Mirror: engine.New(engine.Settings{Name: "m", Wait: 10 * time.Second}, source, target, open, log), archive: a}
	p.close = func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		l.Close()
	}
	return p
}

// in is a process that mirrors into the archive.
func (s *scene) in(state string) *process {
	a := archive.New(archive.Options{Side: mirror.TargetSide, Dir: s.dir})
	return start(s.t, state, influx.New(client(s.t, mirror.SourceSide, s.src)), a, a)
}

// out is a process that mirrors out of it.
func (s *scene) out(state string, dst *influxtest.Server) *process {
	a := archive.New(archive.Options{Side: mirror.SourceSide, Dir: s.dir})
	return start(s.t, state, a, influx.NewTarget(client(s.t, mirror.TargetSide, dst)), a)
}

func (p *process) pass() engine.Report {
	p.t.Helper()
	r, err := p.Pass(context.Background(), engine.Goal{Insist: true})
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

// settled passes until everything is proven; a few passes must do.
func (p *process) settled(passes int) {
	p.t.Helper()
	var r engine.Report
	for range passes {
		if r = p.pass(); r.Complete() {
			return
		}
	}
	p.t.Fatalf("not complete: left %d, live %d, errors %v", r.Left, r.Live, r.Errors)
}

func (p *process) verdict(want string) engine.Verdict {
	p.t.Helper()
	v, err := p.Verify(context.Background(), true)
	if err != nil {
		p.t.Fatal(err)
	}
	if word, _ := v.Result(); !strings.HasPrefix(word, want) {
		p.t.Fatalf("verify says %q, want %q: %v", word, want, v.Differences[:min(5, len(v.Differences))])
	}
	return v
}

// old is a time some weeks ago, in nanoseconds.
func old(offset time.Duration) int64 {
	return time.Now().Add(-5*week + offset).Truncate(time.Minute).UnixNano()
}

// write puts n random lines at the source, one type for each field.
func (s *scene) write(n int) {
	var b strings.Builder
	for range n {
		t := old(time.Duration(s.rnd.Int64N(int64(4*week)))) + s.rnd.Int64N(1000)
		switch s.rnd.IntN(12) {
		case 0:
			t = []int64{mirror.MinTime + int64(3*week), mirror.MaxTime, 0, -1, 1}[s.rnd.IntN(5)]
		case 1:
			t = old(time.Hour) + s.rnd.Int64N(20) // over what is there
		}
		fmt.Fprintf(&b, "%s,host=h%d,a\\ b=c\\=d f=%v,i=%di,ok=%t,text=%q %d\n", []string{"cpu", `Room\ Temperature`, "a/b", "é"}[s.rnd.IntN(4)], s.rnd.IntN(3),
			s.rnd.NormFloat64(), s.rnd.Int64()-math.MaxInt64/2, s.rnd.IntN(2) == 0, []string{"x", "two words", `quote " and \\`}[s.rnd.IntN(3)], t)
	}
	s.src.Write(bucket, b.String())
}

func dump(s *influxtest.Server) []string {
	var out []string
	for _, x := range s.Dump(bucket) {
		out = append(out, fmt.Sprintf("%#v", x))
	}
	slices.Sort(out)
	return out
}

func equal(t *testing.T, what string, a, b *influxtest.Server) {
	t.Helper()
	x, y := dump(a), dump(b)
	if !slices.Equal(x, y) || len(x) == 0 {
		t.Fatalf("%s: %d samples, want %d", what, len(y), len(x))
	}
}

func server(t *testing.T, group time.Duration) *influxtest.Server {
	s := influxtest.NewServer(influxtest.Options{})
	t.Cleanup(s.Close)
	s.CreateBucket(bucket, 0, group)
	return s
}

// restored is a server that got what zstdcat data/*/*.zst prints.
func (s *scene) restored() *influxtest.Server {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "data", "*", "*.zst"))
	if err != nil {
		s.t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	defer z.Close()
	to := server(s.t, week)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil {
			b, err = z.DecodeAll(b, nil)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		to.Write(bucket, string(b))
	}
	return to
}

// TestInAndOut mirrors into an archive, with late and overwritten samples and a new process each time, and out of it again.
func TestInAndOut(t *testing.T) {
	for name, group := range map[string]time.Duration{"weeks": week, "days": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, group)
			state, back := t.TempDir(), t.TempDir()
			dst := server(t, week)
			for round := range 3 {
				s.write(300)
				p := s.in(state)
				p.settled(1)
				if r := p.pass(); r.Written != 0 || !r.Complete() {
					t.Errorf("round %d: a pass with nothing new wrote %d lines", round, r.Written)
				}
				p.verdict("IDENTICAL")
				if damage, err := p.archive.Check(context.Background()); err != nil || len(damage) > 0 {
					t.Fatal(damage, err)
				}
				p.close()
				equal(t, "zstdcat", s.src, s.restored())

				q := s.out(back, dst)
				q.settled(1)
				q.verdict("IDENTICAL")
				q.close()
				equal(t, "out of the archive", s.src, dst)
			}
		})
	}
}

// TestIdle: a Pass that trusts unchanged numbers does nothing, and notices an edit of a file.
func TestIdle(t *testing.T) {
	s := newScene(t, week)
	s.write(50)
	p := s.in(t.TempDir())
	defer p.close()
	p.settled(1)
	idle := func() engine.Report {
		r, err := p.Pass(context.Background(), engine.Goal{})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var r engine.Report
	for range 3 {
		r = idle()
	}
	if !r.Idle {
		t.Errorf("not idle: %+v", r)
	}
	files, _ := filepath.Glob(filepath.Join(s.dir, "data", "cpu", "*.zst"))
	os.Remove(files[0])
	if r = idle(); r.Idle || r.Written == 0 {
		t.Errorf("a file that vanished was not noticed: %+v", r)
	}
	p.verdict("IDENTICAL")
	equal(t, "written again", s.src, s.restored())
}

// TestDamage: a target that lost a file, or a bit of one, is whole again after the next Pass.
func TestDamage(t *testing.T) {
	for name, harm := range map[string]func(t *testing.T, files []string){
		"missing": func(t *testing.T, files []string) { os.Remove(files[0]) },
		"flipped": func(t *testing.T, files []string) {
			b, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/3] ^= 16
			if err := os.WriteFile(files[0], b, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"manifest": func(t *testing.T, files []string) { os.Remove(filepath.Join(filepath.Dir(files[0]), "manifest.json")) },
		"all":      func(t *testing.T, files []string) { os.RemoveAll(filepath.Dir(files[0])) },
	} {
		for _, how := range []string{"found by a check", "found by verify", "found by verify in another process"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				s := newScene(t, week)
				s.write(300)
				state := t.TempDir()
				p := s.in(state)
				p.settled(1)
				p.close()
				files, err := filepath.Glob(filepath.Join(s.dir, "data", "cpu", "*.zst"))
				if err != nil || len(files) < 3 {
					t.Fatal(files, err)
				}
				harm(t, files)
				p = s.in(state)
				switch how {
				case "found by a check":
					if damage, err := p.archive.Check(context.Background()); err != nil || len(damage) != 1 && name != "all" {
						t.Fatal(damage, err)
					}
				case "found by verify":
					p.verdict("NOT IDENTICAL")
				default: // as the program does it: a check, and then what is counted is compared with the Proofs
					if damage, err := p.archive.Check(context.Background()); err != nil || len(damage) == 0 {
						t.Fatal(damage, err)
					}
					if _, err := p.Verify(context.Background(), false); err != nil {
						t.Fatal(err)
					}
					p.close()
					p = s.in(state)
				}
				p.settled(3)
				p.verdict("IDENTICAL")
				if damage, err := p.archive.Check(context.Background()); err != nil || len(damage) > 0 {
					t.Fatal(damage, err)
				}
				p.close()
				equal(t, "after the repair", s.src, s.restored())
			})
		}
	}
}

// TestDamagedSource: what a damaged file held is told, never taken for empty, and everything else is mirrored.
func TestDamagedSource(t *testing.T) {
	s := newScene(t, week)
	s.write(300)
	p := s.in(t.TempDir())
	p.settled(1)
	p.close()
	files, err := filepath.Glob(filepath.Join(s.dir, "data", "cpu", "*.zst"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(files[1])
	if err != nil {
		t.Fatal(err)
	}
	b[20] ^= 1
	if err := os.WriteFile(files[1], b, 0o644); err != nil {
		t.Fatal(err)
	}
	dst := server(t, week)
	q := s.out(t.TempDir(), dst)
	defer q.close()
	r := q.pass()
	if r.Complete() || len(r.Errors) == 0 || !strings.Contains(strings.Join(r.Errors, " "), filepath.Base(files[1])) {
		t.Fatalf("complete %v, errors %q", r.Complete(), r.Errors)
	}
	have := map[string]bool{}
	for _, line := range dump(dst) {
		have[line] = true
	}
	missing, others := 0, 0
	for _, x := range s.src.Dump(bucket) {
		if !have[fmt.Sprintf("%#v", x)] {
			if missing++; x.Measurement != "cpu" {
				others++
			}
		}
	}
	if missing == 0 || others > 0 || len(have) == 0 || missing > 500 {
		t.Errorf("%d samples are missing, %d of them of other measurements", missing, others)
	}
}

// TestHeldLock: a mirror into an archive that another process writes to says so and writes nothing.
func TestHeldLock(t *testing.T) {
	s := newScene(t, week)
	s.write(10)
	a := s.in(t.TempDir())
	a.settled(1)
	defer a.close()
	s.write(10)
	b := s.in(t.TempDir())
	defer b.close()
	if _, err := b.Pass(context.Background(), engine.Goal{Insist: true}); err == nil || !strings.Contains(err.Error(), "another process writes to "+s.dir) {
		t.Error(err)
	}
}
