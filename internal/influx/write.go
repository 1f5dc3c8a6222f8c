package influx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// A body of a write holds at most this many bytes before compression: 5 000 to 10 000 lines of some fields (facts 22).
const bodySize = 2 << 20

// Target is a Client that may also write.
type Target struct {
	*Client
	bodies bodies
}

// NewTarget returns a Target; nothing is sent before its first method is called.
func NewTarget(o Options) *Target { return &Target{Client: New(o)} }

// LineWriter is what Open returns: a Writer, named by what it does so that callers may declare the same.
type LineWriter = interface {
	Write(lines []byte) error
	Close() (mirror.Refusals, error)
	Abort()
}

// Writer writes lines of one Chunk: one request at a time. It is not safe for concurrent use.
type Writer struct {
	t        *Target
	ctx      context.Context
	full     []byte
	body     bytes.Buffer
	plain    []byte // the lines of body without added tags
	inflight chan error
	sending  []byte
	refused  mirror.Refusals
	shut     map[string]string // series that a limit of the server keeps out → its words
}

// Open begins to write one Chunk.
func (t *Target) Open(ctx context.Context, _ mirror.Chunk) (LineWriter, error) {
	t.mu.Lock()
	grid, window, unsigned := mirror.NewGrid(t.probe.ShardGroup), t.window, t.unsigned
	t.mu.Unlock()
	if window != "" {
		return nil, &mirror.Error{Kind: mirror.Blocked, Side: t.o.Side, URL: t.URL(), Op: "write", Err: errors.New(window)}
	}
	return &Writer{t: t, ctx: ctx, shut: map[string]string{},
		refused: mirror.Refusals{Lines: map[string]string{}, Fields: map[mirror.RefusedField]string{}, Grid: grid, Unsigned: unsigned}}, nil
}

// Write takes whole canonical lines and returns before they are stored. It is idempotent. After an error the outcome is unknown; only a read settles it.
func (w *Writer) Write(lines []byte) error {
	if len(w.full)+len(lines) > bodySize {
		if err := w.send(); err != nil {
			return err
		}
	}
	w.full = append(w.full, lines...)
	return nil
}

// Close sends what is left and waits for the last answer. It returns what the target refused. Without an error everything else was acknowledged.
func (w *Writer) Close() (mirror.Refusals, error) {
	if err := w.send(); err != nil {
		return mirror.Refusals{}, err
	}
	return w.refused, w.wait()
}

// send starts the request for the collected lines after the one before it was answered.
func (w *Writer) send() error {
	if err := w.wait(); err != nil {
		return err
	}
	if len(w.full) == 0 {
		return nil
	}
	w.full, w.sending = w.sending[:0], w.full
	w.inflight = make(chan error, 1)
	go func() { w.inflight <- mirror.Caught(func() error { return w.post(w.sending) }) }() // ended by wait, which every path to Close and Abort calls
	return nil
}

func (w *Writer) wait() error {
	if w.inflight == nil {
		return nil
	}
	err := <-w.inflight
	w.inflight = nil
	return err
}

// Abort waits for the request in flight and gives up the rest.
func (w *Writer) Abort() { _ = w.wait() }

// post stores lines, in bodies that come through, or finds the ones the target refuses.
func (w *Writer) post(lines []byte) error {
	for rest := lines; len(rest) > 0; {
		lines, rest = w.t.bodies.cut(rest)
		if err := w.store(lines); err != nil {
			return err
		}
	}
	return nil
}

// store is post with one body.
func (w *Writer) store(lines []byte) error {
	lines = w.withoutStuck(lines)
	if len(lines) == 0 {
		return nil
	}
	err := w.put(lines)
	switch mirror.KindOf(err) {
	case mirror.Rejected:
		return w.bisect(w.withoutStuck(lines), err)
	case mirror.TooLarge:
		a, b := lineproto.Half(lines)
		if len(b) == 0 {
			return w.single(a, err)
		}
		if err := w.post(bytes.Clone(a)); err != nil {
			return err
		}
		return w.post(bytes.Clone(b))
	}
	return err
}

// bisect halves refused lines down to one line, and that to one field a line: a bad sample drops neither its
// neighbours nor the other fields of its line (facts 16).
func (w *Writer) bisect(lines []byte, why error) error {
	if len(lines) == 0 {
		return nil
	}
	a, b := lineproto.Half(lines)
	if len(b) == 0 {
		return w.single(a, why)
	}
	for _, part := range [][]byte{a, b} {
		if part = w.withoutStuck(part); len(part) == 0 {
			continue // all of it belongs to fields found stuck meanwhile
		}
		if err := w.put(part); mirror.KindOf(err) == mirror.Rejected {
			if err := w.bisect(part, err); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	return nil
}

// largeLine is what a proxy may take for too large; a server takes 1 MiB.
const largeLine = 4 << 10

// single sends the fields of one refused line one by one.
func (w *Writer) single(line []byte, why error) error {
	var failed error
	n := 0
	lineproto.Fields(line, func([]byte, []byte) { n++ })
	lineproto.Fields(line, func(_, one []byte) {
		if failed != nil {
			return
		}
		err := why
		if n > 1 {
			if w.refused.Unsigned != "" && lineproto.Unsigned(one) {
				return
			}
			err = w.put(one)
		}
		switch kind := mirror.KindOf(err); {
		case err == nil:
		case kind == mirror.Rejected || kind == mirror.TooLarge && len(one) > largeLine:
			w.refuse(one, err)
		case kind == mirror.TooLarge:
			failed = w.t.fail(&request{op: "write", write: true}, mirror.Foreign, http.StatusRequestEntityTooLarge,
				fmt.Errorf("something on the way refuses a body of %d bytes as too large", len(one)))
		default:
			failed = err
		}
	})
	return failed
}

func (w *Writer) refuse(line []byte, why error) {
	reason := why.Error()
	if e := (*mirror.Error)(nil); errors.As(why, &e) {
		reason = e.Err.Error()
	}
	reason = unquoted(reason)
	switch {
	case isConflict(reason):
		field, t := lineproto.Place(line)
		w.refused.Fields[mirror.RefusedField{Key: field, Group: w.refused.Grid.Group(t).Start}] = reason
	case w.t.learnUnsigned(line, reason):
		w.refused.Unsigned = reason
	case isLimit(reason):
		w.shut[string(lineproto.Key(line))] = reason
		fallthrough
	default:
		w.refused.Lines[string(line)] = reason
	}
}

// isConflict: the type of a field is one per measurement and shard, so the rest of the field in this shard group is refused as well.
func isConflict(reason string) bool { return strings.Contains(reason, "field type conflict") }

// withoutStuck takes out of lines what is known to be refused; what is left of a line becomes one line a field.
func (w *Writer) withoutStuck(lines []byte) []byte {
	if len(w.refused.Fields)+len(w.shut) == 0 && w.refused.Unsigned == "" {
		return lines
	}
	var out []byte
	for rest := lines; len(rest) > 0; {
		var line []byte
		line, rest = lineproto.Next(rest)
		if why, no := w.shut[string(lineproto.Key(line))]; no {
			lineproto.Fields(line, func(_, one []byte) { w.refused.Lines[string(one)] = why })
			continue
		}
		_, t := lineproto.Place(line)
		group := w.refused.Grid.Group(t).Start
		stuck := func(field, one []byte) bool {
			_, no := w.refused.Fields[mirror.RefusedField{Key: string(field), Group: group}]
			return no || w.refused.Unsigned != "" && lineproto.Unsigned(one)
		}
		some := false
		lineproto.Fields(line, func(field, one []byte) { some = some || stuck(field, one) })
		if !some {
			out = append(out, line...)
			continue
		}
		lineproto.Fields(line, func(field, one []byte) {
			if !stuck(field, one) {
				out = append(out, one...)
			}
		})
	}
	return out
}

// packers are used again by all Writers: one is large, and many a Chunk is small.
var packers = sync.Pool{New: func() any { z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed); return z }}

func pack(to *bytes.Buffer, lines []byte) error {
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(to)
	if _, err := z.Write(lines); err != nil {
		return err
	}
	return z.Close()
}

// put sends one body. Only 204 means stored.
func (w *Writer) put(lines []byte) error {
	size := len(lines)
	if tags := w.t.o.AddTags; len(tags) > 0 {
		var err error
		if w.plain, err = untagged(w.plain[:0], lines, tags); err != nil {
			return err
		}
		lines = w.plain
	}
	body, packed := lines, w.t.compress()
	if packed {
		w.body.Reset()
		if err := pack(&w.body, lines); err != nil {
			return err
		}
		body = w.body.Bytes()
	}
	w.t.mu.Lock()
	p := w.t.probe
	w.t.mu.Unlock()
	if p.Identity == "" {
		return errors.New("write before the first probe")
	}
	r := &request{op: "write", method: http.MethodPost, path: "/api/v2/write", write: true, gzip: packed, body: body,
		query: url.Values{"orgID": {p.OrgID}, "bucket": {p.BucketID}}}
	if p.Product == product1 {
		r.path, r.query = "/write", url.Values{}
		w.t.address(r.query)
	}
	began := time.Now()
	a, err := w.t.do(w.ctx, r)
	if errors.Is(err, errSilent) {
		w.t.bodies.vanished(size)
	}
	if err != nil {
		return w.t.refusedV1(err)
	}
	a.body.Close()
	if a.status != http.StatusNoContent {
		return w.t.fail(r, mirror.Unknown, a.status, errors.New("not the answer InfluxDB gives to a write"))
	}
	w.t.bodies.stored(size, time.Since(began))
	w.t.route.packets.passed(int64(len(body)))
	return nil
}
