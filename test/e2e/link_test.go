package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
	"influxmirror/test/proxy"
	"influxmirror/test/servers"
)

// between puts a proxy before both servers of the scene.
func (s *scene) between() (src, dst *proxy.Proxy) {
	s.t.Helper()
	for _, e := range []struct {
		p  **proxy.Proxy
		at *string
	}{{&src, &s.srcURL}, {&dst, &s.dstURL}} {
		p, err := proxy.New(strings.TrimPrefix(*e.at, "http://"))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(p.Close)
		*e.p, *e.at = p, "http://"+p.Addr()
	}
	return src, dst
}

// deep is a history that takes many Chunks to copy: n points in 20 weeks, of all types, among them a measurement of many series.
func deep(s *scene, n int) { deeper(s, n, "deep", "broad") }

func deeper(s *scene, n int, deep, broad string) {
	now := time.Now().UnixNano()
	var points []string
	for i := range n {
		at := monday(now) - int64(1+i%20)*week + int64(i/20)*(week/int64(n/20+1))
		if i%2 == 0 {
			points = append(points, point(deep, []string{"h", strconv.Itoa(i % 4)}, []string{"v", fmt.Sprintf("%d.5", i), "n", strconv.Itoa(i) + "i", "b", "true", "s", text("x\n" + strconv.Itoa(i%7))}, at))
		} else {
			points = append(points, point(broad, []string{"id", strconv.Itoa(i % 500)}, []string{"v", strconv.Itoa(i) + "u"}, at))
		}
	}
	load(s.src, s.bucket, points)
}

// until does what the service does: Pass after Pass, waiting out what time can mend, until everything is proven. after, if set, is
// called after each Pass, whatever came of it.
func (s *scene) until(patience time.Duration, after func(engine.Report, error)) (passes int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for passes = 1; ; passes++ {
		r, err := s.mirror.Pass(ctx, engine.Goal{Insist: true})
		if ctx.Err() != nil {
			s.t.Fatalf("not settled after %v and %d passes: %+v", patience, passes, r)
		}
		if err != nil && !engine.Waits(err) {
			s.t.Fatalf("pass %d: %v", passes, err)
		}
		if b := (*engine.Blocked)(nil); errors.As(err, &b) {
			s.t.Fatalf("pass %d: %v", passes, err)
		}
		s.t.Logf("pass %d: %v done %d left %d written %d %v", passes, r.Reasons, r.Done, r.Left, r.Written, err)
		if after != nil {
			after(r, err)
		}
		if err == nil && r.Complete() {
			return passes
		}
		pause(200 * time.Millisecond) // Run would wait for a second and more
	}
}

// A link so slow that looking takes longer than the pause between two Passes starves nobody.
func TestServiceOnSlowLink(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	deep(s, 4000)
	src, dst := s.between()
	for _, p := range []*proxy.Proxy{src, dst} {
		p.SetLink(proxy.Link{Latency: 150 * time.Millisecond})
	}
	s.settings.Wait = time.Second
	s.start()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	passes, done := 0, false
	s.mirror.Observe = func(e engine.Event) {
		if e.Kind != "pass" {
			return
		}
		passes++
		t.Logf("pass %d: %v done %d left %d %v", passes, e.Report.Reasons, e.Report.Done, e.Report.Left, e.Err)
		if done = e.Err == nil && e.Report.Complete(); done {
			cancel()
		}
	}
	if err := s.mirror.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if !done {
		t.Fatalf("not settled after %d passes", passes)
	}
	s.identical(always)
	s.proofs(20)
}

// Either server is killed as by kill -9 during the first copy, again and again, and comes back; then once more with the mirror in step.
func TestServersKilled(t *testing.T) {
	t.Parallel()
	s := sceneOn(t, servers.Start(t, servers.V2), servers.Start(t, servers.V2), buckets{})
	deep(s, 12_000)
	load(s.src, s.bucket, []string{point("axis", nil, []string{"v", "1i"}, axisStart), point("axis", nil, []string{"v", "2i"}, axisStop)})
	src, dst := s.between()
	for _, p := range []*proxy.Proxy{src, dst} {
		p.SetLink(proxy.Link{Latency: 10 * time.Millisecond, Rate: 1_000_000})
	}
	s.start()
	rnd := rand.New(rand.NewPCG(3, 4))
	victims := []*servers.Server{s.dst, s.src, s.dst, s.src, s.dst, s.dst}
	victims = victims[:max(3, min(len(victims), *howManyKills/2))]
	killed := 0
	for i, v := range victims {
		deeper(s, 2000, fmt.Sprint("deep ", i), fmt.Sprint("broad ", i)) // there is always something to copy
		// One Pass runs while its server dies.
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		var r engine.Report
		var err error
		done := make(chan struct{})
		began := make(chan struct{}, 100)
		s.mirror.Observe = func(e engine.Event) {
			if e.Kind == "transfer" {
				select {
				case began <- struct{}{}:
				default:
				}
			}
		}
		go func() {
			defer close(done)
			r, err = s.mirror.Pass(ctx, engine.Goal{Insist: true})
		}()
		for range 1 + rnd.IntN(12) {
			select {
			case <-began:
			case <-done:
			}
		}
		select {
		case <-done: // too late for this one
		default:
			killed++
		}
		v.Kill()
		pause(time.Duration(rnd.IntN(300)) * time.Millisecond)
		v.Restart()
		<-done
		cancel()
		t.Logf("killed %v: %v done %d left %d written %d, %v", v.URL, r.Reasons, r.Done, r.Left, r.Written, err)
		if err != nil && mirror.KindOf(err) == "" {
			t.Fatal(err)
		}
		s.proofs(proofsMayBeMissing)
	}
	if killed < len(victims)-2 {
		t.Errorf("only %d of %d kills fell into a pass", killed, len(victims))
	}
	s.until(90*time.Second, func(engine.Report, error) { s.proofs(proofsMayBeMissing) })
	s.identical(always)
	s.verdict("IDENTICAL")
	for _, v := range victims[:2] {
		v.Kill()
		v.Restart()
		s.until(time.Minute, nil)
		s.identical(always)
		s.proofs(100)
	}
}
