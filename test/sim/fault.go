package sim

import (
	"bytes"
	"net/http"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"

	"influxmirror/influxtest"
)

// A hazard is one way for requests to go wrong. wants, if it is set, says which kind of requests it is for: others are spared.
type hazard struct {
	name  string
	fault func(*world) influxtest.Fault
	on    func(*http.Request) bool
}

func plain(f influxtest.Fault) func(*world) influxtest.Fault {
	return func(*world) influxtest.Fault { return f }
}

func rewrite(fn func(*world, int, http.Header, []byte) (int, []byte)) func(*world) influxtest.Fault {
	return func(w *world) influxtest.Fault {
		return influxtest.Rewrite(func(status int, h http.Header, body []byte) (int, []byte) { return fn(w, status, h, body) })
	}
}

// hazards are the faults of a network and of servers that a history meets. Each has to fire in some history, or the run is void.
var hazards = []hazard{
	{"refused", plain(influxtest.Refuse()), nil},                                                                                // N1
	{"blackhole", plain(influxtest.Stall(0)), nil},                                                                              // N2
	{"cut", func(w *world) influxtest.Fault { return influxtest.CutAfter(w.rnd.IntN(3000)) }, nil},                              // N3
	{"lost acknowledgement", plain(influxtest.ResetAfterApply()), influxtest.Writes},                                            // N4
	{"end by close", func(w *world) influxtest.Fault { return influxtest.EndByClose(w.rnd.IntN(3000)) }, influxtest.Queries},    // N5
	{"clean end too early", func(w *world) influxtest.Fault { return influxtest.TruncateClean(w.rnd.IntN(3000)) }, queriesOnly}, // N6
	{"a part lost", rewrite((*world).losePart), influxtest.Queries},                                                             // N6
	{"the end lost", rewrite((*world).loseEnd), influxtest.Queries},                                                             // N6
	{"gzip cut", rewrite((*world).cutGzip), influxtest.Queries},                                                                 // N7
	{"gzip empty", rewrite((*world).emptyGzip), influxtest.Queries},                                                             // N7
	{"drip", func(w *world) influxtest.Fault { return influxtest.Drip(1+w.rnd.IntN(400), time.Second) }, influxtest.Queries},    // N9
	{"late answer", func(w *world) influxtest.Fault { return influxtest.Delay(time.Duration(w.rnd.IntN(50)) * time.Second) }, nil},
	{"redirect", func(w *world) influxtest.Fault {
		return influxtest.Redirect([]int{301, 302, 303, 307, 308}[w.rnd.IntN(5)], "http://elsewhere.test:8086")
	}, nil}, // N12
	{"page", plain(influxtest.HTML()), nil}, // N13
	{"429", func(w *world) influxtest.Fault {
		return influxtest.Status(429, time.Duration(w.rnd.IntN(90))*time.Second, "slow down")
	}, nil}, // N14
	{"503", plain(influxtest.Status(503, 2*time.Second, "busy")), nil},                                        // N14, S11
	{"407", plain(influxtest.Status(407, 0, "who are you")), nil},                                             // N14
	{"500", plain(influxtest.Status(500, 0, "timeout")), nil},                                                 // S8
	{"error inside 200", rewrite((*world).errorInside), influxtest.Queries},                                   // S4
	{"401", plain(influxtest.Status(401, 0, `{"code":"unauthorized","message":"unauthorized access"}`)), nil}, // S16
	{"204 and nothing done", plain(influxtest.Status(204, 0, "")), influxtest.Writes},                         // T5
	{"201 and nothing done", plain(influxtest.Status(201, 0, "")), influxtest.Writes},                         // T6
	{"413", plain(influxtest.Status(413, 0, "")), influxtest.Writes},                                          // T4
}

// queriesOnly are the requests whose answers show that they are whole.
func queriesOnly(r *http.Request) bool { return r.URL.Path == "/query" }

// harm makes the next few requests of one side go wrong.
func (w *world) harm() {
	h := hazards[w.rnd.IntN(len(hazards))]
	s, side := w.src, "source"
	if w.rnd.IntN(2) == 0 || sameFunc(h.on) {
		s, side = w.dst, "target"
	}
	match := h.on
	if match == nil {
		match = []func(*http.Request) bool{influxtest.Queries, influxtest.Queries, nil}[w.rnd.IntN(3)]
		if side == "target" && w.rnd.IntN(2) == 0 {
			match = influxtest.Writes
		}
	}
	skip := w.rnd.IntN(6) // not always the first request of a Pass
	spared := func(r *http.Request) bool {
		if match != nil && !match(r) {
			return false
		}
		skip--
		return skip < 0
	}
	n := []int{1, 1, 1, 2, 3, 8}[w.rnd.IntN(6)]
	w.note("fault %s at the %s, %d times", h.name, side, n)
	w.faults = append(w.faults, injected{h.name, s.Fault(spared, h.fault(w)).Times(n)})
}

// sameFunc reports whether a hazard is of writes, which the source never sees.
func sameFunc(on func(*http.Request) bool) bool {
	return on != nil && on(&http.Request{URL: writePath})
}

type injected struct {
	name string
	*influxtest.Injected
}

// mend takes all faults away and counts those that fired.
func (w *world) mend() (fired int) {
	for _, f := range w.faults {
		if n := f.Fired(); n > 0 {
			w.count("fault: "+f.name, n)
			fired += n
		}
		f.Remove()
	}
	w.faults = nil
	return fired
}

const msgpack = "application/x-msgpack"

// parts cuts an answer to a query into its documents: one for each chunk of each statement.
func parts(body []byte) (out [][]byte) {
	for len(body) > 0 {
		rest, err := msgp.Skip(body)
		if err != nil {
			return nil
		}
		out = append(out, body[:len(body)-len(rest)])
		body = rest
	}
	return out
}

// documents returns the documents of an answer that is not packed.
func documents(h http.Header, body []byte) [][]byte {
	if h.Get("Content-Type") != msgpack || h.Get("Content-Encoding") != "" {
		return nil
	}
	return parts(body)
}

// losePart takes a document out of an answer, as a proxy may that puts it together again. It is never all that a statement found: that
// a server finds nothing is what it says when it finds nothing.
func (w *world) losePart(status int, h http.Header, body []byte) (int, []byte) {
	all := documents(h, body)
	if len(all) < 3 {
		return status, body
	}
	i := 1 + w.draw(len(all)-2)
	return status, bytes.Join(slices.Delete(all, i, i+1), nil)
}

// loseEnd takes the last documents away.
func (w *world) loseEnd(status int, h http.Header, body []byte) (int, []byte) {
	all := documents(h, body)
	if len(all) < 2 {
		return status, body
	}
	return status, bytes.Join(all[:len(all)-1-w.draw(min(3, len(all)-1))], nil)
}

// errorInside is a query that was killed after it had answered a part.
func (w *world) errorInside(status int, h http.Header, body []byte) (int, []byte) {
	all := documents(h, body)
	if len(all) < 2 {
		return status, body
	}
	b := bytes.Join(all[:1+w.draw(len(all)-1)], nil)
	b = msgp.AppendString(msgp.AppendMapHeader(b, 1), "results")
	b = msgp.AppendString(msgp.AppendMapHeader(msgp.AppendArrayHeader(b, 1), 1), "error")
	return status, msgp.AppendString(b, "query interrupted")
}

// cutGzip ends a packed answer too early, and cleanly.
func (w *world) cutGzip(status int, h http.Header, body []byte) (int, []byte) {
	if h.Get("Content-Encoding") == "" {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(body)
		_ = z.Close()
		h.Set("Content-Encoding", "gzip")
		body = packed.Bytes()
	}
	return status, body[:w.draw(len(body))]
}

// emptyGzip says that nothing is packed.
func (w *world) emptyGzip(status int, h http.Header, _ []byte) (int, []byte) {
	h.Set("Content-Encoding", "gzip")
	return status, nil
}

// An ill is what happens to a call.
type ill string

// What happens to a call of the network: of the three first kinds to a write, of the others to what a read brings.
const (
	failed     ill = "error"
	short      ill = "short write, then an error"
	lostAnswer ill = "applied, and reported as failed"
	twice      ill = "sent twice"
	hang       ill = "hang"
	cut        ill = "cut"
)

// noRoom happens to calls of a disk, as failed, short and lostAnswer do.
const noRoom ill = "no space left"

var (
	networkIlls = []ill{failed, short, lostAnswer, twice, hang, cut}
	diskIlls    = []ill{failed, noRoom, short, lostAnswer}
)
