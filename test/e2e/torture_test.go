package e2e

import "testing"

// Everything a server lets one write arrives exactly, is proven once, and is left alone afterwards.
func TestTorture(t *testing.T) {
	t.Parallel()
	s := newScene(t, buckets{})
	fill(s, newTorture())
	s.start()
	s.settled()
	all := s.identical(always)
	t.Logf("%d samples", len(all))
	s.quiet()
	s.verdict("IDENTICAL")
	s.proofs(proofsFound)
	s.start()
	s.quiet()
}
