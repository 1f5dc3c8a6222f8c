package link

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"influxmirror/test/oracle"
	"influxmirror/test/oracle/dataset"
	"influxmirror/test/servers"
)

// how many of the profiles run; the first is short.
var howMany = flag.Int("profiles", 1, "how many profiles of the link to run")

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(Main(m.Run))
}

// A trip is one copy across a link.
type trip struct {
	name string
	Profile
	points  int
	within  time.Duration // all of it
	uses    float64       // of the link's rate at least, while there is something to copy
	stalled time.Duration // the longest time without anything new at the target
}

const ms = time.Millisecond

var trips = []trip{
	{"short", Profile{Delay: 50 * ms, Jitter: 10 * ms, Rate: 4e6, Loss: 0.01, Double: 0.01, Corrupt: 0.005}, 20_000, 90 * time.Second, 0, time.Minute},
	{"1 Mbit/s, 300 ms, 5 %", Profile{Delay: 150 * ms, Jitter: 20 * ms, Rate: 1e6, Loss: 0.05}, 150_000, 8 * time.Minute, 0.6, 2 * time.Minute},
	{"satellite", Profile{Delay: 300 * ms, Jitter: 150 * ms, Rate: 256e3, Loss: 0.01, Double: 0.01}, 10_000, 8 * time.Minute, 0, 2 * time.Minute},
	{"dark for a third of the time", Profile{Delay: 50 * ms, Rate: 2e6, Loss: 0.01, Dark: 20 * time.Second, Cycle: time.Minute}, 60_000, 8 * time.Minute, 0, 2 * time.Minute},
	{"1 Mbit/s, 300 ms, no loss", Profile{Delay: 150 * ms, Rate: 1e6}, 100_000, 8 * time.Minute, 0.6, 2 * time.Minute},
	{"20 % loss", Profile{Delay: 20 * ms, Rate: 4e6, Loss: 0.2}, 10_000, 15 * time.Minute, 0, 4 * time.Minute},
	{"64 kbit/s", Profile{Delay: 300 * ms, Jitter: 100 * ms, Rate: 64e3, Loss: 0.01}, 5_000, 15 * time.Minute, 0, 2 * time.Minute},
	{"90 s of darkness", Profile{Delay: 50 * ms, Rate: 2e6, Dark: 90 * time.Second, Cycle: 3 * time.Minute}, 60_000, 15 * time.Minute, 0, 4 * time.Minute},
}

// Everything arrives exactly across a link that is slow, long, lossy and dark at times, with real TCP between real servers.
func TestTrips(t *testing.T) {
	l, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	home := servers.Start(t, servers.V2)
	program := filepath.Join(t.TempDir(), "influxmirror")
	build := exec.Command("go", "build", "-o", program, "influxmirror/cmd/influxmirror")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, one := range trips[:min(*howMany, len(trips))] {
		t.Run(one.name, func(t *testing.T) { one.run(t, l, home, program) })
	}
}

func (one trip) run(t *testing.T, l *Link, home *servers.Server, program string) {
	bucket := strings.ReplaceAll("trip "+one.name, "/", " per ")
	l.Set(Profile{})
	l.Server.CreateBucket(bucket, 0, 7*24*time.Hour)
	home.CreateBucket(bucket, 0, 7*24*time.Hour)
	now := time.Now().UnixNano()
	var points []string
	for i := range one.points {
		// Values that do not compress to nothing.
		v := strconv.FormatUint(uint64(i)*0x9e3779b97f4a7c15>>11, 10)
		points = append(points, dataset.Point("deep", []string{"h", strconv.Itoa(i % 8)}, []string{"v", "0." + v, "s", dataset.Text(v)}, now-int64(i+1)*int64(7*time.Minute)))
	}
	if err := dataset.Load(l.Server, bucket, points); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "influxmirror.yaml")
	text := fmt.Sprintf("endpoints:\n  station: {url: %q, org: %q, token: %q}\n  home: {url: %q, org: %q, token: %q}\nmirrors:\n  - {name: m, from: %q, to: %q, wait: 1s}\nlog_bucket: none\nstate_dir: state\n",
		l.Server.URL, l.Server.Org, l.Server.Token, home.URL, home.Org, home.Token, "station:"+bucket, "home:"+bucket)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Set(one.Profile)
	before, began := l.counts(), time.Now()
	stop := make(chan struct{})
	stalled := make(chan time.Duration)
	go func() { stalled <- longestPause(home, stop) }()
	tries := 0
	for done := false; !done; tries++ {
		cmd := exec.Command(program, "--config", config, "--log-format", "text", "sync")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		late := time.AfterFunc(time.Until(began.Add(one.within)), func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		late.Stop()
		exit := (*exec.ExitError)(nil)
		switch {
		case time.Since(began) > one.within:
			close(stop)
			t.Fatalf("not done after %v and %d tries, %+v: %s", one.within, tries, l.counts().less(before), out.String())
		case err == nil:
			done = true
		case errors.As(err, &exit) && (exit.ExitCode() == 3 || exit.ExitCode() == 5): // incomplete, unreachable: again
			t.Logf("try %d: exit %d after %v: %s", tries+1, exit.ExitCode(), time.Since(began).Round(time.Second), lastLine(out.String()))
		default:
			close(stop)
			t.Fatalf("%v: %s", err, out.String())
		}
	}
	took := time.Since(began)
	close(stop)
	pause := <-stalled
	used := l.counts().less(before)
	l.Set(Profile{})
	rate := 0.0
	if one.Rate > 0 {
		rate = float64(used.down) * 8 / took.Seconds() / float64(one.Rate)
	}
	t.Logf("%d points in %v and %d tries; %+v; %.0f %% of the link; longest pause %v", one.points, took.Round(100*ms), tries, used, 100*rate, pause.Round(time.Second))
	for what, fired := range map[string]bool{"loss": one.Loss == 0 || used.lost > 0, "doubling": one.Double == 0 || used.doubled > 0, "corruption": one.Corrupt == 0 || used.corrupted > 0, "darkness": one.Dark == 0 || used.dark > 0} {
		if !fired {
			t.Errorf("void: no %s", what)
		}
	}
	if rate < one.uses {
		t.Errorf("%.0f %% of the link were used, want %.0f %%", 100*rate, 100*one.uses)
	}
	if pause > one.stalled {
		t.Errorf("nothing new for %v", pause)
	}
	source, err := oracle.Read(l.Server, bucket, oracle.Always)
	if err != nil {
		t.Fatal(err)
	}
	target, err := oracle.Read(home, bucket, oracle.Always)
	if err != nil {
		t.Fatal(err)
	}
	if len(source) != 2*one.points {
		t.Fatalf("%d samples at the source", len(source))
	}
	oracle.Compare(source, target).Report(t, source, target)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// used is what a link did in a while, both ways together but for down.
type used struct{ down, packets, lost, doubled, corrupted, dark int64 }

func (l *Link) counts() (u used) {
	u.down = l.Down.Bytes.Load()
	for _, c := range []*Counts{&l.Up, &l.Down} {
		u.packets += c.Packets.Load()
		u.lost += c.Lost.Load()
		u.doubled += c.Doubled.Load()
		u.corrupted += c.Corrupted.Load()
		u.dark += c.Dark.Load()
	}
	return u
}

func (u used) less(v used) used {
	return used{u.down - v.down, u.packets - v.packets, u.lost - v.lost, u.doubled - v.doubled, u.corrupted - v.corrupted, u.dark - v.dark}
}

// longestPause is the longest time in which a server took no point, until stop is closed.
func longestPause(s *servers.Server, stop <-chan struct{}) (longest time.Duration) {
	tick := time.NewTicker(500 * ms)
	defer tick.Stop()
	last, at := "", time.Now()
	for {
		if a, err := s.Do("GET", "/metrics", ""); err == nil {
			var now strings.Builder
			for line := range strings.Lines(string(a.Body)) {
				if strings.HasPrefix(line, "storage_shard_write_count{") {
					now.WriteString(line)
				}
			}
			if now.String() != last {
				last, at = now.String(), time.Now()
			}
		}
		longest = max(longest, time.Since(at))
		select {
		case <-stop:
			return longest
		case <-tick.C:
		}
	}
}
