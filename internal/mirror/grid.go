package mirror

import (
	"math"
	"math/bits"
)

const (
	minute = int64(60_000_000_000)
	hour   = 60 * minute
	day    = 24 * hour

	// TailWidth is the width of a Cell at the tail.
	TailWidth = minute
	// MaxCells is how many Cells a measurement has in one shard group, the tail apart.
	MaxCells = 64
)

// zeroSeconds is the distance from Go's zero time, from which servers count shard groups, to 1970 (facts 13).
const zeroSeconds = 62135596800

// Grid cuts the time axis into shard groups of one duration and those into Cells.
// The server's groups may have been cut with another duration in the past: a Grid says where Cells lie, never how many shards a window has.
type Grid struct {
	duration int64 // ns, > 0
	width    int64 // of a Cell; divides duration
	origin   int64 // start of the group that holds 1970-01-01T00:00:00Z, in (−duration, 0]
}

// NewGrid returns the grid of a shard group duration in nanoseconds; anything below one second counts as seven days, the default
// of buckets that keep data for ever.
func NewGrid(duration int64) Grid {
	if duration < 1_000_000_000 {
		duration = 7 * day
	}
	// zeroSeconds·1e9 does not fit 64 bits.
	hi, lo := bits.Mul64(zeroSeconds, 1_000_000_000)
	_, rem := bits.Div64(hi%uint64(duration), lo, uint64(duration))
	g := Grid{duration: duration, width: duration, origin: -int64(rem)}
	for _, w := range []int64{minute, 2 * minute, 5 * minute, 10 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 7 * day} {
		if duration%w == 0 && duration/w <= MaxCells {
			g.width = w
			return g
		}
	}
	for n := int64(MaxCells); n > 1; n-- { // odd durations, such as 180 or 365 days
		if duration%(n*minute) == 0 {
			g.width = duration / n
			break
		}
	}
	return g
}

// Duration returns the length of a shard group in nanoseconds.
func (g Grid) Duration() int64 { return g.duration }

// Width returns the width of a Cell in nanoseconds.
func (g Grid) Width() int64 { return g.width }

// Group returns the shard group that holds t, clipped to the axis.
func (g Grid) Group(t int64) Window { return g.slot(t, g.duration) }

// Cell returns the Cell that holds t, clipped to the axis.
func (g Grid) Cell(t int64) Window { return g.slot(t, g.width) }

// Offset returns where groups start within multiples of the duration since 1970, in [0, duration): the offset GROUP BY time() needs.
func (g Grid) Offset() int64 { return floorMod(g.origin, g.duration) }

func (g Grid) slot(t, width int64) Window {
	r := floorMod(t, width) - floorMod(g.origin, width)
	if r < 0 {
		r += width
	}
	w := Axis
	if t >= MinTime+r {
		w.Start = t - r
	}
	if rest := width - r; t <= math.MaxInt64-rest {
		w.Stop = t + rest
	}
	return w
}

// Groups calls fn for each shard group that overlaps w, in order.
func (g Grid) Groups(w Window, fn func(Window)) {
	for t := w.Start; ; {
		s := g.Group(t)
		fn(s)
		if s.Stop >= w.Stop {
			return
		}
		t = s.Stop
	}
}

func floorMod(a, b int64) int64 {
	if m := a % b; m < 0 {
		return m + b
	} else {
		return m
	}
}
