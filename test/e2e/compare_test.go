package e2e

import (
	"testing"

	"influxmirror/test/oracle"
	"influxmirror/test/servers"
)

// The judge is the oracle's: it shares nothing with the program.

const (
	axisStart = oracle.AxisStart
	axisStop  = oracle.AxisStop // a valid time: spans here hold both ends
)

type (
	span     = oracle.Span
	place    = oracle.Place
	contents = oracle.Contents
)

var (
	always  = oracle.Always
	compare = oracle.Compare
	hash    = oracle.Hash
)

// contentsOf reads every sample of a bucket that lies in within.
func contentsOf(t testing.TB, server *servers.Server, bucket string, within span) contents {
	t.Helper()
	c, err := oracle.Read(server, bucket, within)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// identical fails the test unless both buckets hold the same samples in within, and returns them.
func (s *scene) identical(within span) contents {
	s.t.Helper()
	source, target := s.contents(within)
	if len(source) == 0 {
		s.t.Fatal("nothing to compare")
	}
	compare(source, target).Report(s.t, source, target)
	return source
}

// contents reads both buckets.
func (s *scene) contents(within span) (source, target contents) {
	s.t.Helper()
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		source, failed = oracle.Read(s.src, s.bucket, within)
	}()
	target = contentsOf(s.t, s.dst, s.bucket, within)
	<-done
	if failed != nil {
		s.t.Fatal(failed)
	}
	return source, target
}
