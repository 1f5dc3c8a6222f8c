package process

import (
	"context"
	"errors"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"strings"

	"influxmirror/influxtest"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
	"influxmirror/test/oracle"
)

// contents is what a server in memory holds.
func (p *place) contents(s *influxtest.Server) oracle.Contents {
	p.t.Helper()
	all := s.Dump(bucket)
	out := make(oracle.Contents, len(all))
	for _, x := range all {
		tags := map[string]string{}
		for _, t := range x.Tags {
			tags[t.Key] = t.Value
		}
		_, unsigned := x.Value.(uint64)
		v, err := oracle.Value(x.Value, unsigned)
		if err != nil {
			p.t.Fatal(err)
		}
		out[oracle.Place{Measurement: x.Measurement, Tags: oracle.TagsOf(tags), Field: x.Field, Time: x.Time}] = v
	}
	return out
}

// identical fails unless the target holds what the source holds, and no less.
func (p *place) identical() {
	p.t.Helper()
	src, dst := p.contents(p.src), p.contents(p.dst)
	if len(src) < 1000 {
		p.t.Fatalf("the source holds %d samples: that shows nothing", len(src))
	}
	oracle.Compare(src, dst).Report(p.t, src, dst)
}

// equal reports whether the target holds what the source holds, and no less; while the program runs that may come to be.
func (p *place) equal() bool {
	p.t.Helper()
	return oracle.Compare(p.contents(p.src), p.contents(p.dst)).None()
}

// fingerprint is the sum of the samples of a window, without anything of the program.
func fingerprint(all oracle.Contents, measurement string, w mirror.Window) (f mirror.Fingerprint) {
	for at, v := range all {
		if at.Measurement != measurement || at.Time < w.Start || at.Time >= w.Stop {
			continue
		}
		hi, lo := oracle.Hash(at, v)
		var c uint64
		f.Lo, c = bits.Add64(f.Lo, lo, 0)
		f.Hi, _ = bits.Add64(f.Hi, hi, c)
		f.Count++
	}
	return f
}

// claim is a Proof in a ledger.
type claim struct {
	measurement string
	mirror.Proof
}

// claims reads all Proofs that a process left behind. The state is copied first, so that the next process meets what was left.
func (p *place) claims() []claim {
	p.t.Helper()
	dir := p.t.TempDir()
	names, err := filepath.Glob(filepath.Join(p.state, "ledger.db*"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "-shm") {
			continue // made anew from the log
		}
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(name)), b, 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.t.Fatal(err)
		}
	}
	ctx := context.Background()
	l, err := ledger.OpenReader(dir)
	if _, e := os.Stat(filepath.Join(p.state, "generation")); errors.Is(err, ledger.ErrNoLedger) || err != nil && errors.Is(e, fs.ErrNotExist) {
		return nil // in its first transaction
	}
	if err != nil {
		p.t.Fatalf("the ledger left behind: %v", err)
	}
	defer l.Close()
	pair, _, err := l.Mirror(ctx, "lab")
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	var sums []mirror.Summary
	if err == nil {
		sums, err = pair.Summaries(ctx)
	}
	var out []claim
	for _, s := range sums {
		var g mirror.Group
		if err == nil {
			g, err = pair.Group(ctx, s.Measurement, s.Window)
		}
		for _, x := range g.Proofs {
			out = append(out, claim{s.Measurement, x})
		}
	}
	if err != nil {
		p.t.Fatalf("the ledger left behind: %v", err)
	}
	if n := l.Dropped(); n > 0 {
		p.t.Errorf("the ledger left behind: %d rows do not match their checksums", n)
	}
	return out
}

// untrue fails for every claim of since or later that is not so. Nobody but the program writes while it runs, so that what a claim says of its own
// time is so still; what it says of a time before the last change is not judged.
func (p *place) untrue(since int64, all []claim) (judged int) {
	p.t.Helper()
	src, dst := p.contents(p.src), p.contents(p.dst)
	for _, c := range all {
		if !c.Holds() {
			p.t.Errorf("a proof that does not hold: %q %v", c.measurement, c.Proof)
		}
		if c.AsOf < since {
			continue
		}
		judged++
		if a, b := fingerprint(src, c.measurement, c.Window), fingerprint(dst, c.measurement, c.Window); a != c.Source || b != c.Target {
			p.t.Errorf("a proof that is not true: %q %s as of %s: it says %v / %v, and it is %v / %v", c.measurement, c.Window, mirror.FormatTime(c.AsOf), c.Source, c.Target, a, b)
		}
	}
	return judged
}

// honest asks verify what it finds now, and fails when it is told of equality where there is none.
func (p *place) honest() {
	p.t.Helper()
	src, dst := p.contents(p.src), p.contents(p.dst)
	same := oracle.Compare(src, dst).None()
	said, code := p.run("verify")
	if !same && (code == 0 || strings.Contains(said, "RESULT  IDENTICAL")) {
		p.t.Errorf("verify: exit %d while %d samples differ\n%s", code, len(oracle.Compare(src, dst).Missing), said)
	}
}

// settles does what the owner does behind a fault: nothing but starting again. It ends with equal sides.
func (p *place) settles() {
	p.t.Helper()
	said := p.want(0, "sync")
	for _, bad := range []string{"damaged", "older ledger", "panic"} {
		if strings.Contains(said, bad) {
			p.t.Errorf("the next start is not a normal one:\n%s", said)
		}
	}
	p.identical()
	p.untrue(0, p.claims())
	p.want(0, "verify", "--full")
}
