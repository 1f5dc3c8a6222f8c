// Command bench measures a first copy of 8 million samples between two real InfluxDB servers against what those servers need at least.
//
// The bound is the CPU time the two servers spend on one bare read of the source, one bare write and one bare read-back of the target,
// asked for by a client that does nothing with the answers and keeps both cores busy, over the number of cores. The ratio is bound ÷ wall time of `influxmirror sync`.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"influxmirror/test/servers"
)

const (
	week  = 7 * 24 * time.Hour
	weeks = 4
)

// start is the Monday on which the data begins.
func start() time.Time { return time.Now().Add(-(weeks + 1) * week).Truncate(week) }

// shape is what is copied: series × fields × points samples in four weeks.
type shape struct{ measurements, series, fields, points int }

func (s shape) samples() int { return s.measurements * s.series * s.fields * s.points }

func main() {
	binary := flag.String("binary", "bin/influxmirror", "the influxmirror to measure")
	ratio := flag.Float64("ratio", 0, "fail below this ratio of bound to wall time")
	cpu := flag.Float64("cpu", 1, "fail above this share of the run's CPU time (cores × wall)")
	memory := flag.Int("memory", 0, "fail above this peak memory in MiB")
	small := flag.Bool("small", false, "a tenth of the samples, for a look")
	profile := flag.String("env", "", "NAME=value for the measured process")
	flag.Parse()
	s := shape{measurements: 5, series: 20, fields: 8, points: 10_000}
	if *small {
		s.points /= 10
	}
	if err := run(s, *binary, *profile, *ratio, *cpu, *memory); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(s shape, binary, env string, wantRatio, wantCPU float64, wantMemory int) error {
	dir, err := os.MkdirTemp("", "influxmirror-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	src, err := servers.Run(ctx, servers.V2, filepath.Join(dir, "source"))
	if err != nil {
		return err
	}
	dst, err := servers.Run(ctx, servers.V2, filepath.Join(dir, "target"))
	if err != nil {
		return err
	}
	src.CreateBucket("data", 0, week)
	dst.CreateBucket("data", 0, week)
	dst.CreateBucket("bare", 0, week)

	fmt.Printf("%d samples: %d measurements × %d series × %d fields × %d points in 4 weeks, %d cores\n", s.samples(), s.measurements, s.series, s.fields, s.points, runtime.NumCPU())
	if err := write(s, src, "data"); err != nil {
		return err
	}
	settle(src)

	read, readWall, err := measured(src, func() error { return bareRead(s, src, "data") })
	if err != nil {
		return err
	}
	put, putWall, err := measured(dst, func() error { return write(s, dst, "bare") })
	if err != nil {
		return err
	}
	settle(dst)
	back, backWall, err := measured(dst, func() error { return bareRead(s, dst, "bare") })
	if err != nil {
		return err
	}
	bound := (read + put + back) / time.Duration(runtime.NumCPU())
	fmt.Printf("bare read       %6.2f cpu-s  %6.2f s\nbare write      %6.2f cpu-s  %6.2f s\nbare read-back  %6.2f cpu-s  %6.2f s\nbound           %6.2f s\n",
		read.Seconds(), readWall.Seconds(), put.Seconds(), putWall.Seconds(), back.Seconds(), backWall.Seconds(), bound.Seconds())

	return sync(dir, binary, env, s, src, dst, bound, wantRatio, wantCPU, wantMemory)
}

// sync measures the real command on the real path.
func sync(dir, binary, env string, s shape, src, dst *servers.Server, bound time.Duration, wantRatio, wantCPU float64, wantMemory int) error {
	config := filepath.Join(dir, "influxmirror.yaml")
	text := fmt.Sprintf("endpoints:\n  source: {url: %q, org: %q, token: %q}\n  target: {url: %q, org: %q, token: %q}\n"+
		"mirrors:\n  - {name: data, from: \"source:data\", to: \"target:data\"}\nlog_bucket: none\nstate_dir: %q\n",
		src.URL, src.Org, src.Token, dst.URL, dst.Org, dst.Token, filepath.Join(dir, "state"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(binary, "sync", "--config", config)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if env != "" {
		cmd.Env = append(os.Environ(), env)
	}
	before, beforeSource := dst.CPUTime(), src.CPUTime()
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s sync: %w", binary, err)
	}
	wall := time.Since(began)
	servers := dst.CPUTime() - before + src.CPUTime() - beforeSource
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	own := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	ratio := bound.Seconds() / wall.Seconds()
	share := own.Seconds() / (wall.Seconds() * float64(runtime.NumCPU()))
	peak := int(usage.Maxrss >> 10)
	fmt.Printf("influxmirror    %6.2f s wall, %.2f M samples/s, written, read back and proven\n", wall.Seconds(), float64(s.samples())/wall.Seconds()/1e6)
	fmt.Printf("ratio           %6.2f  (bound ÷ wall)\nservers' cpu    %6.2f s\nown cpu         %6.2f s = %.1f %% of the run\npeak memory     %6d MiB\n", ratio, servers.Seconds(), own.Seconds(), 100*share, peak)
	var problems []error
	if ratio < wantRatio {
		problems = append(problems, fmt.Errorf("ratio %.2f is below %.2f", ratio, wantRatio))
	}
	if share > wantCPU {
		problems = append(problems, fmt.Errorf("own cpu %.1f %% is above %.1f %%", 100*share, 100*wantCPU))
	}
	if wantMemory > 0 && peak > wantMemory {
		problems = append(problems, fmt.Errorf("peak memory %d MiB is above %d MiB", peak, wantMemory))
	}
	return errors.Join(problems...)
}

// measured returns the CPU time a server spent while fn ran, and the wall time.
func measured(s *servers.Server, fn func() error) (cpu, wall time.Duration, err error) {
	before, began := s.CPUTime(), time.Now()
	err = fn()
	return s.CPUTime() - before, time.Since(began), err
}

// settle waits until a server has been at rest for a second: compactions belong to what came before.
func settle(s *servers.Server) {
	for range 120 {
		before := s.CPUTime()
		time.Sleep(time.Second)
		if s.CPUTime()-before < 50*time.Millisecond {
			return
		}
	}
}

// write fills a bucket: full rows, in bodies of 5 000 lines, two at a time, which keeps the server busiest.
func write(s shape, to *servers.Server, bucket string) error {
	var g errgroup.Group
	for half := range 2 {
		g.Go(func() error { return writePart(s, to, bucket, half*s.points/2, (half+1)*s.points/2) })
	}
	return g.Wait()
}

func writePart(s shape, to *servers.Server, bucket string, from, until int) error {
	first := start()
	step := int64(weeks*week) / int64(s.points)
	var b bytes.Buffer
	n := 0
	flush := func() error {
		resp, err := post(to, "/api/v2/write?"+url.Values{"org": {to.Org}, "bucket": {bucket}}.Encode(), "text/plain", b.Bytes())
		b.Reset()
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			text, _ := io.ReadAll(resp.Body)
			return fmt.Errorf("write: %s: %s", resp.Status, text)
		}
		return nil
	}
	line := make([]byte, 0, 512)
	for p := from; p < until; p++ {
		at := first.UnixNano() + int64(p)*step
		for m := range s.measurements {
			for h := range s.series {
				line = s.line(line[:0], p, m, h, at)
				b.Write(line)
				if n++; n%5000 == 0 {
					if err := flush(); err != nil {
						return err
					}
				}
			}
		}
	}
	return flush()
}

// line is one full row.
func (s shape) line(b []byte, p, m, h int, at int64) []byte {
	b = fmt.Appendf(b, "weather%d,host=dome%d,room=r%d ", m, h, h%3)
	for f := range s.fields {
		if f > 0 {
			b = append(b, ',')
		}
		switch f % 8 {
		case 6:
			b = fmt.Appendf(b, "count%d=%di", f, p*h)
		case 7:
			b = fmt.Appendf(b, "ok%d=%t", f, p%3 == 0)
		default:
			v := float64((p*31+h*7+f*13+m)%100_000) / 64
			b = strconv.AppendFloat(fmt.Appendf(b, "value%d=", f), v, 'g', -1, 64)
		}
	}
	return fmt.Appendf(b, " %d\n", at)
}

// bareRead asks for every sample once, one measurement and one shard group at a time and two at once, which is the cheapest for the
// server, and throws the answers away.
func bareRead(s shape, from *servers.Server, bucket string) error {
	var g errgroup.Group
	g.SetLimit(2)
	for m := range s.measurements {
		for w := range weeks {
			g.Go(func() error {
				at := start().Add(time.Duration(w) * week).UnixNano()
				q := url.Values{"db": {bucket}, "epoch": {"ns"}, "chunked": {"true"}, "q": {fmt.Sprintf(
					"SELECT *::field FROM weather%d WHERE time >= %d AND time < %d GROUP BY *", m, at, at+int64(week))}}
				resp, err := post(from, "/query", "application/x-www-form-urlencoded", []byte(q.Encode()))
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				if _, err = io.Copy(io.Discard, bufio.NewReaderSize(resp.Body, 1<<16)); err == nil && resp.StatusCode != http.StatusOK {
					err = errors.New(resp.Status)
				}
				return err
			})
		}
	}
	return g.Wait()
}

// bare asks for answers as they are: compressing them would be the server's work.
var bare = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 2}}

func post(s *servers.Server, path, kind string, body []byte) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodPost, strings.TrimSuffix(s.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Token "+s.Token)
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Accept", "application/x-msgpack")
	return bare.Do(req)
}
