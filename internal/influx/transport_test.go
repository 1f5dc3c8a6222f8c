package influx

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"influxmirror/influxtest"
	"influxmirror/internal/mirror"
)

// TestTransportFaults: what is no answer of the server, or not all of it, is an error of the kind that says what to do: for a read, and for a write,
// where only 204 of the server itself is success.
func TestTransportFaults(t *testing.T) {
	elsewhere := influxtest.NewServer(influxtest.Options{})
	defer elsewhere.Close()
	elsewhere.CreateBucket("b", 0, 0)
	status := func(code int) influxtest.Fault {
		return influxtest.Rewrite(func(_ int, _ http.Header, body []byte) (int, []byte) { return code, body })
	}
	json := `{"code":"invalid","message":"no"}`
	for name, c := range map[string]struct {
		fault       influxtest.Fault
		read, write mirror.Kind
	}{
		"refused":                      {influxtest.Refuse(), mirror.Broken, mirror.Unknown},
		"reset after it was done":      {influxtest.ResetAfterApply(), mirror.Broken, mirror.Unknown},
		"no end of the body is marked": {influxtest.EndByClose(-1), mirror.Foreign, ""}, // 204 has no body
		"half, and no end marked":      {influxtest.EndByClose(40), mirror.Foreign, ""},
		"cut":                          {influxtest.CutAfter(40), mirror.Broken, mirror.Unknown},
		"half, and a clean end":        {influxtest.TruncateClean(40), mirror.Broken, ""},
		"nothing, and a clean end":     {influxtest.TruncateClean(0), mirror.Broken, ""},
		"a page":                       {influxtest.HTML(), mirror.Foreign, mirror.Unknown},
		"200":                          {influxtest.Status(200, 0, ""), mirror.Foreign, mirror.Unknown},
		"201":                          {status(201), mirror.Foreign, mirror.Unknown},
		"202":                          {status(202), mirror.Foreign, mirror.Unknown},
		"206":                          {status(206), mirror.Foreign, mirror.Unknown},
		"301":                          {influxtest.Redirect(301, elsewhere.URL), mirror.Foreign, mirror.Foreign},
		"302":                          {influxtest.Redirect(302, elsewhere.URL+"/ping"), mirror.Foreign, mirror.Foreign},
		"307":                          {influxtest.Redirect(307, elsewhere.URL+"/query"), mirror.Blocked, mirror.Foreign},
		"308":                          {influxtest.Redirect(308, elsewhere.URL+"/api/v2/write"), mirror.Foreign, mirror.Blocked},
		"400 of a proxy":               {influxtest.Status(400, 0, "bad"), mirror.Foreign, mirror.Foreign},
		"400 of the server":            {influxtest.Status(400, 0, json), mirror.Rejected, mirror.Rejected},
		"401":                          {influxtest.Status(401, 0, json), mirror.Rights, mirror.Rights},
		"403":                          {influxtest.Status(403, 0, json), mirror.Rights, mirror.Rights},
		"404":                          {influxtest.Status(404, 0, json), mirror.Missing, mirror.Missing},
		"407":                          {influxtest.Status(407, 0, ""), mirror.Busy, mirror.Busy},
		"413":                          {influxtest.Status(413, 0, ""), mirror.TooLarge, mirror.Foreign},
		"422 of the server":            {influxtest.Status(422, 0, json), mirror.Rejected, mirror.Rejected},
		"429":                          {influxtest.Status(429, 7*time.Second, ""), mirror.Busy, mirror.Busy},
		"500":                          {influxtest.Status(500, 0, json), mirror.Broken, mirror.Unknown},
		"503":                          {influxtest.Status(503, 7*time.Second, ""), mirror.Busy, mirror.Busy},
		"another content type": {influxtest.Rewrite(func(s int, h http.Header, b []byte) (int, []byte) {
			h.Set("Content-Type", "application/json")
			return s, b
		}), mirror.Foreign, ""},
		"no date": {influxtest.Rewrite(func(s int, h http.Header, b []byte) (int, []byte) {
			h["Date"] = nil
			return s, b
		}), mirror.Foreign, ""},
		"said to be packed": {influxtest.Rewrite(func(s int, h http.Header, b []byte) (int, []byte) {
			h.Set("Content-Encoding", "gzip")
			return s, b
		}), mirror.Broken, ""},
		"packed, and empty": {influxtest.Rewrite(func(s int, h http.Header, b []byte) (int, []byte) {
			h.Set("Content-Encoding", "gzip")
			return s, nil
		}), mirror.Broken, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := influxtest.NewServer(influxtest.Options{})
			defer s.Close()
			s.CreateBucket("b", 0, 0)
			s.Write("b", "m v=1 5\nm v=2 6")
			u, err := url.Parse(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			end := NewTarget(Options{Side: mirror.TargetSide, URL: u, Org: s.Org, Bucket: "b", Login: func() (Login, error) { return Login{Token: s.Token}, nil }})
			defer end.Close()
			ctx := context.Background()
			if _, err := end.Probe(ctx); err != nil {
				t.Fatal(err)
			}
			chunk := mirror.Chunk{Measurement: "m", Window: mirror.Window{Start: 0, Stop: hours}, Width: hours}
			if r, err := end.Read(ctx, chunk, nil); err != nil || r.Total().Count != 2 {
				t.Fatalf("void: %+v, %v", r, err)
			}
			for i, want := range []mirror.Kind{c.read, c.write} {
				f := s.Fault([]func(*http.Request) bool{influxtest.Queries, influxtest.Writes}[i], c.fault)
				if i == 0 {
					r, e := end.Read(ctx, chunk, func([]byte) error { return nil })
					if err = e; err == nil {
						t.Errorf("a read was taken: %+v", r)
					}
				} else {
					w, e := end.Open(ctx, chunk)
					if e != nil {
						t.Fatal(e)
					}
					if err = w.Write([]byte("m v=3 7\n")); err == nil {
						var refused mirror.Refusals
						if refused, err = w.Close(); len(refused.Lines) > 0 {
							err = &mirror.Error{Kind: mirror.Rejected, Err: errors.New("one line")}
						}
					}
				}
				f.Remove()
				if f.Fired() == 0 {
					t.Error("void: the fault never fired")
				}
				if got := mirror.KindOf(err); got != want {
					t.Errorf("%s: %q, want %q: %v", []string{"read", "write"}[i], got, want, err)
				}
			}
		})
	}
	for _, q := range elsewhere.Requests() {
		t.Errorf("another host was asked %s %s", q.Method, q.Path)
	}
}
