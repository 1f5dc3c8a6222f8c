package archive

import (
	"context"
	"os"
	"testing"
	"time"

	"influxmirror/internal/mirror"
)

// vectorLines is what testdata/v1 holds.
const vectorLines = "Room\\ Temperature,sensor=a\\,b c=21.5,ok=true 1700000000000000000\n" +
	"Room\\ Temperature,sensor=a\\,b note=\"door \\\"open\\\"\" 1700000060000000000\n" +
	"m n=-9223372036854775808i,u=18446744073709551615u,z=-0 -9223372036854775806\n" +
	"m n=1i 9223372036854775806\n"

// TestVector reads an archive as the first version wrote it. It is never made anew: what was written once stays readable.
func TestVector(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/v1")); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	b := New(Options{Side: mirror.TargetSide, Dir: dir})
	defer b.Close()
	p, err := b.Probe(ctx)
	if err != nil || p.Identity != "archive:000102030405060708090a0b0c0d0e0f" || p.Bucket != "weather" || p.ShardGroup != int64(7*24*time.Hour) {
		t.Fatal(p, err)
	}
	if damage, err := b.Check(ctx); err != nil || len(damage) > 0 {
		t.Fatal(damage, err)
	}
	want := parse(t, vectorLines)
	want.matches(t, b, 0, 1700000000000000001)
	want.survey(t, b, mirror.SurveyRequest{Window: mirror.Axis, Width: int64(time.Minute)})
	if got := content(t, dir); got != vectorLines {
		t.Errorf("%q", got)
	}
	if tags, err := b.TagKeys(ctx); err != nil || len(tags) != 1 || !tags["sensor"] {
		t.Error(tags, err)
	}
	s := integer("m", 5, 5)
	want.put(s)
	write(t, b, s)
	want.matches(t, b)
}
