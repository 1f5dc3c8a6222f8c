package influx

import (
	"bytes"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// drip hands on one byte after each pause.
type drip struct {
	left  int
	pause time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(d.pause)
	d.left--
	p[0] = 'x'
	return 1, nil
}

// TestDrip: an answer of a byte a second is given up after two minutes; a slow one, and one that waits for its reader, is not.
func TestDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var wire atomic.Int64
		began := time.Now()
		_, err := io.Copy(io.Discard, &counting{Reader: &drip{1 << 20, time.Second}, n: &wire})
		if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "only 121 bytes came in 2m1s") || took > 3*time.Minute {
			t.Errorf("after %v: %v", took, err)
		}
		if _, err := io.Copy(io.Discard, &counting{Reader: &drip{20 << 10, 25 * time.Millisecond}, n: &wire}); err != nil {
			t.Errorf("40 bytes a second: %v", err)
		}
		slow := &counting{Reader: bytes.NewReader(make([]byte, 1000)), n: &wire}
		for b := make([]byte, 1); ; {
			if _, err := slow.Read(b); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("a reader that takes its time: %v", err)
			}
			time.Sleep(time.Second)
		}
		if n := wire.Load(); n != 121+20<<10+1000 {
			t.Errorf("%d bytes counted", n)
		}
	})
}
