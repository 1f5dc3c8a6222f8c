package engine

import (
	"context"
	"errors"
	"testing"
)

// TestTailNeedsNoPlaceOfHistory: Cells of history on a link that hangs keep their places; the tail of another mirror has its own, and no more than those.
func TestTailNeedsNoPlaceOfHistory(t *testing.T) {
	g := NewGate(lanes)
	for range diffs {
		if _, err := g.diff(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	full, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.diff(full, false); !errors.Is(err, context.Canceled) {
		t.Errorf("history has more than %d places: %v", diffs, err)
	}
	var back []func()
	for range tailDiffs {
		settled, err := g.diff(t.Context(), true)
		if err != nil {
			t.Fatalf("the tail waits: %v", err)
		}
		back = append(back, settled)
	}
	if _, err := g.diff(full, true); err == nil {
		t.Errorf("the tail has more than %d places", tailDiffs)
	}
	for _, settled := range back {
		settled()
	}
	if _, err := g.diff(t.Context(), true); err != nil {
		t.Error(err)
	}
}
