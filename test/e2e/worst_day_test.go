package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"influxmirror/test/servers"
)

// worstDay is a station with a server of its own, which can be lost.
type worstDay struct {
	*scene
	live atomic.Int64 // points of the instrument that the server took
}

func newWorstDay(t *testing.T) *worstDay {
	t.Helper()
	_, home := sharedServers(t)
	station, err := servers.Run(t.Context(), servers.V2, filepath.Join(t.TempDir(), "station"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(station.Kill)
	d := &worstDay{scene: sceneOn(t, station, home, buckets{})}
	d.dir = filepath.Join(d.dir, "state")
	d.srcToken = station.CreateToken([]string{d.srcID}, nil)
	d.dstToken = home.CreateToken([]string{d.dstID}, []string{d.dstID})
	history(d.scene, 60)
	deep(d.scene, 20_000)
	return d
}

// instrument writes a point every 50 ms, whether the server is there or not, until stop is called.
func (d *worstDay) instrument() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
			a, err := d.src.Do("POST", "/api/v2/write?org="+d.src.Org+"&bucket="+strings.ReplaceAll(d.bucket, " ", "%20"), point("live", nil, []string{"v", strconv.Itoa(i) + "i"}, time.Now().UnixNano()))
			if err == nil && a.Status == 204 {
				d.live.Add(1)
			}
		}
	})
	var once sync.Once
	stop = func() { once.Do(func() { close(done); wg.Wait() }) }
	d.t.Cleanup(stop)
	return stop
}

// says runs the program like run, and returns both of its streams.
func (d *worstDay) says(want int, args ...string) string {
	d.t.Helper()
	cmd := d.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != want {
		d.t.Fatalf("%s: exit %d, want %d: %v\n%s", strings.Join(args, " "), code, want, err, out.String())
	}
	d.t.Logf("%s: exit %d\n%s", strings.Join(args, " "), want, out.String())
	return out.String()
}

func (d *worstDay) tokenFile(name, token string) string {
	path := filepath.Join(filepath.Dir(d.dir), name)
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// points is how many lines hold these samples: one for each series and time.
func points(c contents) int64 {
	all := map[string]bool{}
	for p := range c {
		all[fmt.Sprintf("%q %q %d", p.Measurement, p.Tags, p.Time)] = true
	}
	return int64(len(all))
}

// has checks that a server holds every sample of c, exactly.
func (d *worstDay) has(s *servers.Server, c contents) {
	d.t.Helper()
	if diff := compare(c, contentsOf(d.t, s, d.bucket, always)); len(diff.Missing)+len(diff.Different) > 0 {
		d.t.Errorf("%s lacks %d samples and holds %d others", s.URL, len(diff.Missing), len(diff.Different))
	}
}

var recoverCommand = regexp.MustCompile(`influxmirror (recover \S+?)[;\s]`)

// The server of the station is lost with all it had, and built anew: empty, with other ids and another token, at the same address. The instrument
// goes on writing to it all the time. The mirror does not take it for the one it knows, says what to do, and that gives it back everything; then the mirror goes
// on in its own direction. Nothing is lost, and nothing is copied twice.
func TestWorstDay(t *testing.T) {
	t.Parallel()
	d := newWorstDay(t)
	stop := d.instrument()
	d.says(0, "sync")
	before := contentsOf(t, d.dst, d.bucket, always) // what home has is what can be given back

	lostAt := time.Now().UnixNano()
	if err := d.src.Wipe(); err != nil {
		t.Fatal(err)
	}
	d.says(7, "sync") // the old token
	d.srcID = d.src.CreateBucket(d.bucket, 0, 7*24*time.Hour)
	d.live.Store(0)
	liveBefore := written(t, d.src, d.srcID)
	d.srcToken = d.src.CreateToken([]string{d.srcID}, nil)
	said := d.says(8, "sync")
	found := recoverCommand.FindStringSubmatch(said)
	if found == nil {
		t.Fatal("the message names no recovery")
	}
	d.says(0, append(strings.Fields(found[1]), "-n")...)
	d.says(7, append(strings.Fields(found[1]), "--yes")...) // a token that only reads
	d.says(8, "sync")
	atHome := written(t, d.dst, d.dstID)
	pen := d.tokenFile("pen.token", d.src.CreateToken([]string{d.srcID}, []string{d.srcID}))
	said = d.says(0, append(strings.Fields(found[1]), "--yes", "--write-token-file", pen)...)
	if !strings.Contains(said, "influxmirror sync m") {
		t.Error("it does not say what is next")
	}
	d.has(d.src, before)
	if n := written(t, d.dst, d.dstID) - atHome; n != 0 {
		t.Errorf("a recovery wrote %d points to the giver", n)
	}

	// The mirror's own direction, with the instrument still writing.
	d.says(0, "sync")
	stop()
	d.says(0, "sync")
	all := d.identical(always)
	d.has(d.src, before)
	if n, want := written(t, d.src, d.srcID)-liveBefore, d.live.Load()+points(before); n != want {
		t.Errorf("the station was written %d points, %d of them by the instrument; %d were lost", n, d.live.Load(), points(before))
	}
	// What was not a minute old is not proven yet, and each process copies it at once.
	recent := contents{}
	for p, v := range all {
		if p.Time > lostAt-2*minute {
			recent[p] = v
		}
	}
	if n, most := written(t, d.dst, d.dstID)-atHome, points(all)-points(before)+2*points(recent); n > most {
		t.Errorf("home was written %d points, and lacked %d; %d are of the last minutes", n, points(all)-points(before), points(recent))
	}
	d.says(0, "verify", "--full")

	// And the service goes on.
	service := d.command("run")
	var log bytes.Buffer
	service.Stdout, service.Stderr = &log, &log
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	defer endProcess(service)
	load(d.src, d.bucket, []string{point("after", nil, []string{"v", "1i"}, time.Now().UnixNano())})
	for end := time.Now().Add(time.Minute); contentsOf(t, d.dst, d.bucket, always).Count("after") == 0; pause(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nothing new arrives:\n%s", log.String())
		}
	}
	_ = service.Process.Signal(syscall.SIGTERM)
	if err := service.Wait(); err != nil {
		t.Errorf("the service ended with %v\n%s", err, log.String())
	}
	d.identical(always)
}

func endProcess(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// The same from a machine that remembers nothing: the ledger was lost, too, and the new server has no bucket yet.
func TestWorstDayWithoutLedger(t *testing.T) {
	t.Parallel()
	d := newWorstDay(t)
	d.says(0, "sync")
	before := contentsOf(t, d.dst, d.bucket, always)
	if err := os.RemoveAll(d.dir); err != nil {
		t.Fatal(err)
	}
	if err := d.src.Wipe(); err != nil {
		t.Fatal(err)
	}
	stop := d.instrument() // it has to wait for its bucket
	d.srcToken = d.src.CreateToken([]string{d.src.BucketID}, nil)
	pen := d.tokenFile("pen.token", d.src.Token)

	// Killed in the middle, and started again.
	killed := false
	for try := 0; try < 10 && !killed; try++ {
		cmd := d.command("recover", "--all", "--yes", "--write-token-file", pen)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); pause(5 * time.Millisecond) {
			if id := idOf(d.src, d.bucket); id != "" && written(t, d.src, id)-d.live.Load() > 2000 {
				break
			}
		}
		_ = cmd.Process.Kill()
		killed = cmd.Wait() != nil && hasLedger(d.scene)
	}
	if !killed {
		t.Fatal("void: no recovery was interrupted")
	}
	if strings.Contains(d.says(0, "recover", "--all", "--yes", "--write-token-file", pen), "creates   bucket") {
		t.Error("void: the recovery was interrupted before it began")
	}
	d.srcID = idOf(d.src, d.bucket)
	d.has(d.src, before)
	d.srcToken = d.src.CreateToken([]string{d.srcID}, nil)
	d.says(0, "sync")
	stop()
	d.says(0, "sync")
	if d.live.Load() == 0 {
		t.Error("void: the instrument wrote nothing")
	}
	d.identical(always)
	d.has(d.src, before)
	d.says(0, "verify", "--full")
}

var bucketID = regexp.MustCompile(`"id": ?"([0-9a-f]{16})"`)

// idOf returns the id of a bucket by its name, "" if there is none.
func idOf(s *servers.Server, bucket string) string {
	a, err := s.Do("GET", "/api/v2/buckets?name="+strings.ReplaceAll(bucket, " ", "%20"), "")
	if err != nil {
		return ""
	}
	if m := bucketID.FindSubmatch(a.Body); m != nil {
		return string(m[1])
	}
	return ""
}
