package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"time"

	"influxmirror/internal/archive"
	"influxmirror/internal/engine"
	"influxmirror/internal/mirror"
)

// queued lets one call of an archive after the other go, as turnConn does with requests: what is asked for says how many nanoseconds it waits. An archive is
// a directory and takes no virtual time by itself.
type queued struct{ *archive.Bucket }

func turn(what ...any) {
	h := fnv.New64a()
	fmt.Fprint(h, what...)
	time.Sleep(1 + time.Duration(h.Sum64()%uint64(time.Millisecond)))
}

func (q queued) Probe(ctx context.Context) (mirror.Probe, error) {
	turn("probe")
	return q.Bucket.Probe(ctx)
}

func (q queued) Survey(ctx context.Context, req mirror.SurveyRequest, fn func(mirror.Count) error) error {
	turn("survey", req)
	return q.Bucket.Survey(ctx, req, fn)
}

func (q queued) Read(ctx context.Context, c mirror.Chunk, sink func(lines []byte) error) (mirror.Reading, error) {
	turn("read", c, sink == nil)
	return q.Bucket.Read(ctx, c, sink)
}

func (q queued) Open(ctx context.Context, c mirror.Chunk) (engine.Writer, error) {
	turn("open", c)
	w, err := q.Bucket.Open(ctx, c)
	return queuedWriter{w, c}, err
}

func (q queued) Locate(ctx context.Context, at map[mirror.Window][]string) (map[string]mirror.Window, error) {
	turn("locate")
	return q.Bucket.Locate(ctx, at)
}

type queuedWriter struct {
	engine.Writer
	c mirror.Chunk
}

func (w queuedWriter) Close() (mirror.Refusals, error) {
	turn("close", w.c)
	return w.Writer.Close()
}
