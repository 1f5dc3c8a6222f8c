package influxtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tinylib/msgp/msgp"
)

// A formatter writes the results of one request, at once or in chunks.
type formatter struct {
	s       *Server
	w       http.ResponseWriter
	r       *http.Request
	epoch   string
	msgpack bool
	chunk   int // rows in a chunk, 0: one answer

	results []result // of an answer at once
	rows    int      // in them
	body    bytes.Buffer
}

// add takes the next result.
func (f *formatter) add(res result) {
	if f.chunk == 0 {
		if f.s.maxRows > 0 {
			f.addWithin(res)
			return
		}
		// Results with one number become one; a later error replaces an earlier one.
		if n := len(f.results); n > 0 && f.results[n-1].statement == res.statement {
			f.results[n-1].series = append(f.results[n-1].series, res.series...)
			f.results[n-1].err = res.err
			return
		}
		f.results = append(f.results, res)
		return
	}
	parts := split(res, f.chunk)
	for i, p := range parts {
		p.partial = i+1 < len(parts) && res.series[0].chunks
		f.write([]result{p})
	}
}

// addWithin takes the next result up to the row limit of 1.x; what is beyond it is left out. When the limit falls on the end of a series nothing tells that
// more is missing, or "partial" of the result does.
func (f *formatter) addWithin(res result) {
	parts := split(res, 10000)
	for i, p := range parts {
		limit := f.s.maxRows
		if f.rows >= limit {
			return
		}
		p.partial = i+1 < len(parts) && res.series[0].chunks
		for j := range p.series {
			if s := &p.series[j]; len(s.values) > limit-f.rows {
				s.values, s.partial = s.values[:limit-f.rows], true
			}
			f.rows += len(p.series[j].values)
		}
		n := len(f.results)
		if n == 0 || f.results[n-1].statement != p.statement {
			p.partial = p.partial && f.rows < limit
			f.results = append(f.results, p)
			continue
		}
		last := &f.results[n-1]
		if p.series[0].name == last.series[len(last.series)-1].name && slices.Equal(p.series[0].tags, last.series[len(last.series)-1].tags) {
			tail := &last.series[len(last.series)-1]
			tail.values, tail.partial = append(slices.Clip(tail.values), p.series[0].values...), p.series[0].partial
		} else {
			last.series = append(last.series, p.series...)
		}
		last.partial = p.partial
	}
}

// end writes what is left, and the answer to the client.
func (f *formatter) end() {
	if f.chunk == 0 {
		f.write(f.results)
	}
	f.s.send(f.w, f.r, http.StatusOK, f.contentType(), f.body.Bytes())
}

func (f *formatter) contentType() string {
	if f.msgpack {
		return "application/x-msgpack"
	}
	return "application/json"
}

// split cuts a result into parts of one series and at most n rows each.
func split(res result, n int) []result {
	if res.err != "" || len(res.series) == 0 {
		return []result{res}
	}
	var parts []result
	for _, r := range res.series {
		for rest := r.values; ; {
			part := r
			part.values = rest
			if r.chunks && len(rest) > n {
				part.values, part.partial = rest[:n], true
			}
			parts = append(parts, result{statement: res.statement, series: []rows{part}})
			if !part.partial {
				break
			}
			rest = rest[n:]
		}
	}
	return parts
}

// refuse answers a request that was not run, on 1.x.
func (f *formatter) refuse(status int, message string) {
	f.w.Header().Set("X-Influxdb-Error", message)
	if !f.msgpack {
		b, _ := json.Marshal(map[string]string{"error": message})
		f.s.send(f.w, f.r, status, "application/json", append(b, '\n'))
		return
	}
	b := msgp.AppendMapHeader(nil, 1)
	b = msgp.AppendString(b, "error")
	b = msgp.AppendString(b, message)
	f.s.send(f.w, f.r, status, f.contentType(), b)
}

func (f *formatter) write(results []result) {
	if f.msgpack {
		f.writeMsgpack(results)
	} else {
		f.writeJSON(results)
	}
}

func (f *formatter) writeJSON(results []result) {
	type series struct {
		Name    string            `json:"name,omitempty"`
		Tags    map[string]string `json:"tags,omitempty"`
		Columns []string          `json:"columns,omitempty"`
		Values  [][]any           `json:"values,omitempty"`
		Partial bool              `json:"partial,omitempty"`
	}
	type res struct {
		StatementID int      `json:"statement_id"`
		Series      []series `json:"series,omitempty"`
		Partial     bool     `json:"partial,omitempty"`
		Error       string   `json:"error,omitempty"`
	}
	out := struct {
		Results []res `json:"results"`
	}{}
	for _, r := range results {
		o := res{StatementID: r.statement, Partial: r.partial, Error: r.err}
		for _, s := range r.series {
			var tags map[string]string
			for _, t := range s.tags {
				if tags == nil {
					tags = map[string]string{}
				}
				tags[t.Key] = t.Value
			}
			values := make([][]any, len(s.values))
			for i, v := range s.values {
				values[i] = v
				if s.timed {
					values[i] = append([]any{f.time(v[0].(int64))}, v[1:]...)
				}
			}
			o.Series = append(o.Series, series{s.name, tags, s.columns, values, s.partial})
		}
		out.Results = append(out.Results, o)
	}
	if err := json.NewEncoder(&f.body).Encode(out); err != nil {
		panic(fmt.Sprintf("influxtest: encode %v: %v", results, err))
	}
}

// time is a time in the form that the request asked for.
func (f *formatter) time(t int64) any {
	if d, ok := map[string]int64{"ns": 1, "n": 1, "u": 1e3, "us": 1e3, "µ": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}[f.epoch]; ok {
		return t / d
	}
	return time.Unix(0, t).UTC()
}

func (f *formatter) writeMsgpack(results []result) {
	var b []byte
	b = msgp.AppendMapHeader(b, 1)
	b = msgp.AppendString(b, "results")
	b = msgp.AppendArrayHeader(b, uint32(len(results)))
	for _, r := range results {
		if r.err != "" {
			b = msgp.AppendMapHeader(b, 1) // without the statement's number
			b = msgp.AppendString(b, "error")
			b = msgp.AppendString(b, r.err)
			continue
		}
		b = msgp.AppendMapHeader(b, 2+one(r.partial))
		b = msgp.AppendString(b, "statement_id")
		b = msgp.AppendInt(b, r.statement)
		b = msgp.AppendString(b, "series")
		b = msgp.AppendArrayHeader(b, uint32(len(r.series)))
		for _, s := range r.series {
			b = f.appendSeries(b, s)
		}
		if r.partial {
			b = msgp.AppendString(b, "partial")
			b = msgp.AppendBool(b, true)
		}
	}
	f.body.Write(b)
}

func (f *formatter) appendSeries(b []byte, s rows) []byte {
	b = msgp.AppendMapHeader(b, 2+one(s.name != "")+one(len(s.tags) > 0)+one(s.partial))
	if s.name != "" {
		b = msgp.AppendString(b, "name")
		b = msgp.AppendString(b, s.name)
	}
	if len(s.tags) > 0 {
		b = msgp.AppendString(b, "tags")
		b = msgp.AppendMapHeader(b, uint32(len(s.tags)))
		for _, t := range s.tags {
			b = msgp.AppendString(b, t.Key)
			b = msgp.AppendString(b, t.Value)
		}
	}
	b = msgp.AppendString(b, "columns")
	b = msgp.AppendArrayHeader(b, uint32(len(s.columns)))
	for _, c := range s.columns {
		b = msgp.AppendString(b, c)
	}
	b = msgp.AppendString(b, "values")
	b = msgp.AppendArrayHeader(b, uint32(len(s.values)))
	for _, row := range s.values {
		b = msgp.AppendArrayHeader(b, uint32(len(row)))
		for i, v := range row {
			if s.timed && i == 0 {
				v = f.time(v.(int64))
			}
			b = appendValue(b, v)
		}
	}
	if s.partial {
		b = msgp.AppendString(b, "partial")
		b = msgp.AppendBool(b, true)
	}
	return b
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return msgp.AppendNil(b)
	case float64:
		return msgp.AppendFloat64(b, v)
	case int64:
		return msgp.AppendInt64(b, v)
	case int:
		return msgp.AppendInt(b, v)
	case uint64:
		return msgp.AppendUint64(b, v)
	case bool:
		return msgp.AppendBool(b, v)
	case string:
		return msgp.AppendString(b, v)
	case time.Time:
		return msgp.AppendTime(b, v)
	}
	panic(fmt.Sprintf("influxtest: value of type %T", v))
}

func one(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
