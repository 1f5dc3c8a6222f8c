package ledger

import (
	"encoding/hex"
	"math"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"influxmirror/internal/mirror"
)

func TestBodyIsSmall(t *testing.T) {
	g := normalGroup("cpu", 3, 1)
	if n := len(appendProofs(nil, g.Window, g.Proofs)); n >= 1600 {
		t.Errorf("a normal group of %d cells takes %d bytes", len(g.Proofs), n)
	}
	for i := range g.Proofs { // a server that tells nanoseconds
		g.Proofs[i].AsOf += int64(i) * 1_234_567
		g.Proofs[i].CheckedAt += int64(i) * 7_654_321
	}
	if n := len(appendProofs(nil, g.Window, g.Proofs)); n >= 2000 {
		t.Errorf("a group of %d cells with dates in nanoseconds takes %d bytes", len(g.Proofs), n)
	}
}

// The format is frozen: ledgers survive upgrades.
func TestBodyVector(t *testing.T) {
	w := mirror.Window{Start: 0, Stop: 3 * testHour}
	f := mirror.Fingerprint{Count: 300, Hi: 1, Lo: 2}
	part := mirror.Fingerprint{Count: 1, Hi: 0, Lo: 2}
	proofs := []mirror.Proof{
		{Window: mirror.Window{Start: 0, Stop: testHour}, Source: f, Target: f, AsOf: 5 * second, CheckedAt: 6 * second},
		{Window: mirror.Window{Start: testHour + 1, Stop: 2*testHour + 1}, Source: f, Target: f.Sub(part), Excepted: part, AsOf: 5*second + 1, CheckedAt: 5 * second},
	}
	const want = "0102" +
		"04" + "00" + "8080c58bc6d101" + "ac02" + "00000000000000010000000000000002" + "0a" + "02" +
		"01" + "01" + "00" + "ac02" + "00000000000000010000000000000002" + "01" + "00000000000000000000000000000002" + "02" + "01"
	if got := hex.EncodeToString(appendProofs(nil, w, proofs)); got != want {
		t.Errorf("body\n got %s\nwant %s", got, want)
	}
	e := mirror.Exception{Class: mirror.Extra, Window: mirror.Window{Start: 1, Stop: 3}, Field: "load", Type: mirror.Float, Reason: "r", Samples: part, Example: "x"}
	const wantE = "0166" + "01" + "02" + "046c6f6164" + "0172" + "0178" + "01" + "00000000000000000000000000000002"
	if got := hex.EncodeToString(appendException(nil, w, e)); got != wantE {
		t.Errorf("exception\n got %s\nwant %s", got, wantE)
	}
}

func genFingerprint(t *rapid.T, label string) mirror.Fingerprint {
	count := rapid.OneOf(rapid.Uint64Range(0, 9), rapid.Uint64Range(0, 1<<40)).Draw(t, label)
	if count == 0 {
		return mirror.Fingerprint{}
	}
	return mirror.Fingerprint{Count: count, Hi: rapid.Uint64().Draw(t, label+" hi"), Lo: rapid.Uint64().Draw(t, label+" lo")}
}

func genGroup(t *rapid.T) mirror.Group {
	name := string(rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "measurement"))
	start := rapid.OneOf(rapid.Just(int64(math.MinInt64)), rapid.Just(mirror.MinTime), rapid.Int64()).Draw(t, "start")
	start = min(start, math.MaxInt64-1)
	stop := rapid.OneOf(rapid.Just(int64(math.MaxInt64)), rapid.Int64Range(start+1, math.MaxInt64)).Draw(t, "stop")
	g := mirror.Group{Measurement: name, Window: mirror.Window{Start: start, Stop: stop}}
	cuts := rapid.SliceOfNDistinct(rapid.OneOf(rapid.Just(start), rapid.Just(stop), rapid.Int64Range(start, stop)), 0, 9, rapid.ID[int64]).Draw(t, "cuts")
	for i := range cuts { // sorted by insertion, few
		for j := i; j > 0 && cuts[j] < cuts[j-1]; j-- {
			cuts[j], cuts[j-1] = cuts[j-1], cuts[j]
		}
	}
	for i := 1; i < len(cuts); i++ {
		if rapid.IntRange(0, 3).Draw(t, "gap") == 0 {
			continue
		}
		p := mirror.Proof{Window: mirror.Window{Start: cuts[i-1], Stop: cuts[i]}, AsOf: rapid.Int64().Draw(t, "as of")}
		p.CheckedAt = rapid.OneOf(rapid.Int64(), rapid.Just(p.AsOf), rapid.Just(p.AsOf+second)).Draw(t, "checked")
		p.Excepted, p.Extra = genFingerprint(t, "excepted"), genFingerprint(t, "extra")
		same := genFingerprint(t, "same")
		p.Source, p.Target = same.Add(p.Excepted), same.Add(p.Extra)
		g.Proofs = append(g.Proofs, p)
		if !p.Excepted.IsZero() {
			g.Exceptions = append(g.Exceptions, mirror.Exception{
				Class: rapid.SampledFrom([]mirror.Class{mirror.Refused, mirror.Expired, mirror.Unwritable}).Draw(t, "class"), Window: p.Window,
				Field: string(rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "field")), Type: mirror.Integer,
				Reason: rapid.StringN(0, 5, -1).Draw(t, "reason"), Samples: p.Excepted, Example: "x",
			})
		}
	}
	return g
}

func TestBodyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := genGroup(t)
		got, err := parseProofs(appendProofs(nil, g.Window, g.Proofs), g.Window)
		if err != nil || !reflect.DeepEqual(got, g.Proofs) {
			t.Fatalf("got %v, %v\nwant %v", got, err, g.Proofs)
		}
	})
}

func FuzzProofs(f *testing.F) {
	for _, g := range []mirror.Group{normalGroup("m", 0, 1), oddGroup("m", 0, 2), {Window: week(0)}} {
		g.Proofs = g.Proofs[:min(len(g.Proofs), 7)] // short, or minimizing takes all the time
		f.Add(appendProofs(nil, g.Window, g.Proofs), g.Window.Start, g.Window.Stop)
	}
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, int64(0), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, start, stop int64) {
		w := mirror.Window{Start: start, Stop: stop}
		proofs, err := parseProofs(b, w)
		if err != nil {
			return
		}
		if err := checkProofs(w, proofs); err != nil {
			t.Fatal(err)
		}
		if string(appendProofs(nil, w, proofs)) != string(b) {
			t.Fatal("two bodies for the same proofs")
		}
	})
}

func FuzzException(f *testing.F) {
	g := oddGroup("m", 0, 2)
	for _, e := range g.Exceptions {
		f.Add(appendException(nil, g.Window, e), g.Window.Start)
	}
	f.Add([]byte{1, 'f', 0, 1, 0xff, 0xff, 0xff, 0xff, 0x7f}, int64(0))
	f.Fuzz(func(t *testing.T, b []byte, start int64) {
		e, err := parseException(b, start, "extra/refused")
		if err != nil {
			return
		}
		if string(appendException(nil, mirror.Window{Start: start}, e)) != string(b) {
			t.Fatal("two bodies for the same exception")
		}
	})
}
