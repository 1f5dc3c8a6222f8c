package engine

import (
	"context"

	"influxmirror/internal/mirror"
)

// Source is one bucket that can be read. All methods may be called at once from several goroutines, retry nothing and
// return errors with a mirror.Kind.
type Source interface {
	// Probe says what is there; it is one request while nothing changes.
	Probe(ctx context.Context) (mirror.Probe, error)
	// Survey calls fn with every step that holds anything, by measurement, then by time.
	Survey(ctx context.Context, req mirror.SurveyRequest, fn func(mirror.Count) error) error
	// Read reads a Chunk to a proven end. What it hands to sink is not proven before it returns. A nil sink reads for the Fingerprints only.
	Read(ctx context.Context, c mirror.Chunk, sink func(lines []byte) error) (mirror.Reading, error)
}

// Target is one bucket that can be read and written.
type Target interface {
	Source
	// Open begins to write one Chunk. Every Writer is closed or aborted.
	Open(ctx context.Context, c mirror.Chunk) (Writer, error)
}

// Writer writes canonical lines of one Chunk. After an error the outcome is unknown; only a read settles it.
// It is an alias, so that an endpoint can return it without importing this package.
type Writer = interface {
	// Write takes whole lines and may return before they are stored.
	Write(lines []byte) error
	// Close waits for the last acknowledgement and says what was refused.
	Close() (mirror.Refusals, error)
	// Abort waits until nothing is in flight and gives up the rest.
	Abort()
}

// Locator is an endpoint that can tell which shards hold what, so that a write counter that moved says where to look.
type Locator interface {
	// Locate returns the ids of the shards that hold any of the measurements named for each window.
	Locate(ctx context.Context, at map[mirror.Window][]string) (map[string]mirror.Window, error)
}

// Inspector is an endpoint that can tell the tag keys of a bucket.
type Inspector interface {
	TagKeys(ctx context.Context) (map[string]bool, error)
}

// Ledger is what is remembered of one pair of buckets. Every method is one transaction.
type Ledger interface {
	Summaries(ctx context.Context) ([]mirror.Summary, error)
	Group(ctx context.Context, measurement string, w mirror.Window) (mirror.Group, error)
	// Record replaces what is known of g's window, durably. It refuses Proofs that do not hold.
	Record(ctx context.Context, g mirror.Group) error
	Notes
}

// Notes are small documents kept beside the Proofs.
type Notes interface {
	State(ctx context.Context, name string, into any) (bool, error)
	SetState(ctx context.Context, name string, v any) error
}
