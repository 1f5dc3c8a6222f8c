package engine

import (
	"context"
	"testing"

	"influxmirror/internal/mirror"
)

// remembered is a Ledger of some groups.
type remembered []mirror.Group

func (r remembered) Summaries(context.Context) (out []mirror.Summary, _ error) {
	for _, g := range r {
		out = append(out, g.Summary())
	}
	return out, nil
}

func (r remembered) Group(_ context.Context, measurement string, w mirror.Window) (mirror.Group, error) {
	for _, g := range r {
		if g.Measurement == measurement && g.Window == w {
			return g, nil
		}
	}
	return mirror.Group{Measurement: measurement, Window: w}, nil
}

func (remembered) Record(context.Context, mirror.Group) error       { panic("nothing is recorded") }
func (remembered) State(context.Context, string, any) (bool, error) { return false, nil }
func (remembered) SetState(context.Context, string, any) error      { return nil }

// answers is a Source that holds a Fingerprint for some windows.
type answers map[mirror.Window]mirror.Reading

func (answers) Probe(context.Context) (mirror.Probe, error) { panic("not probed") }
func (answers) Survey(context.Context, mirror.SurveyRequest, func(mirror.Count) error) error {
	panic("not surveyed")
}

func (a answers) Read(_ context.Context, c mirror.Chunk, _ func([]byte) error) (mirror.Reading, error) {
	r := a[c.Window]
	if r.Cells == nil {
		r.Cells = make([]mirror.Fingerprint, c.Cells())
	}
	return r, nil
}

func TestResembles(t *testing.T) {
	fp := func(n uint64) (f mirror.Fingerprint) {
		f.AddHash(n, n*7+1)
		return f
	}
	const width = 1000
	var l remembered
	same, replaced, partly, writing := answers{}, answers{}, answers{}, answers{}
	for i := range int64(100) {
		group := mirror.Window{Start: i * width, Stop: (i + 1) * width}
		p := mirror.Proof{Window: group, Source: fp(uint64(i)), Target: fp(uint64(i)).Add(fp(5000)), Extra: fp(5000)}
		l = append(l, mirror.Group{Measurement: "m", Window: group, Proofs: []mirror.Proof{p}})
		same[group] = mirror.Reading{Cells: []mirror.Fingerprint{p.Source}}
		replaced[group] = mirror.Reading{Cells: []mirror.Fingerprint{fp(uint64(i) + 9000)}}
		partly[group] = []mirror.Reading{same[group], replaced[group]}[min(1, i/50)]
		writing[group] = mirror.Reading{Cells: []mirror.Fingerprint{fp(77)}, Live: true}
	}
	for _, c := range []struct {
		name  string
		end   answers
		side  mirror.Side
		floor int64
		known func(same, other int) bool
	}{
		{"the same", same, mirror.SourceSide, mirror.MinTime, func(s, o int) bool { return s == samplesToKnow && o == 0 }},
		{"seen from the other side", same, mirror.TargetSide, mirror.MinTime, func(s, o int) bool { return s == 0 && o == samplesToKnow }},
		{"another server", replaced, mirror.SourceSide, mirror.MinTime, func(s, o int) bool { return s == 0 && o == samplesToKnow }},
		{"an empty server", answers{}, mirror.SourceSide, mirror.MinTime, func(s, o int) bool { return s == 0 && o == samplesToKnow }},
		{"half of it changed", partly, mirror.SourceSide, mirror.MinTime, func(s, o int) bool { return s > 0 && o > 0 || s == samplesToKnow }},
		{"written to now", writing, mirror.SourceSide, mirror.MinTime, func(s, o int) bool { return s+o == 0 }},
		{"all behind the retention", replaced, mirror.SourceSide, 100 * width, func(s, o int) bool { return s+o == 0 }},
	} {
		s, o, err := Resembles(t.Context(), l, c.side, c.end, c.floor)
		if err != nil || !c.known(s, o) {
			t.Errorf("%s: %d alike, %d not, %v", c.name, s, o, err)
		}
	}
}
