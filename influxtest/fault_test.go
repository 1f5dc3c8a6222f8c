package influxtest_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"influxmirror/influxtest"
)

// call makes one request on a connection of its own; err is that of the request or of reading the body.
func call(t *testing.T, srv *influxtest.Server, method, path, body string) (status int, header http.Header, got string, err error) {
	t.Helper()
	req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if srv.Token != "" {
		req.Header.Set("Authorization", "Token "+srv.Token)
	}
	if method == "POST" && path[:6] == "/query" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(b), err
}

func TestFaults(t *testing.T) {
	defer goleak.VerifyNone(t)
	srv := influxtest.NewServer(influxtest.Options{})
	defer srv.Close()
	srv.CreateBucket("b", 0, 0)
	srv.Write("b", "m v=1 1\nm v=2 2")
	const query = "/query?db=b&epoch=ns&q=SELECT+v+FROM+m"
	const whole = `{"results":[{"statement_id":0,"series":[{"name":"m","columns":["time","v"],"values":[[1,1],[2,2]]}]}]}` + "\n"

	for _, tc := range []struct {
		name  string
		fault influxtest.Fault
		check func(status int, h http.Header, body string, err error) bool
	}{
		{"refuse", influxtest.Refuse(), func(_ int, _ http.Header, _ string, err error) bool { return err != nil }},
		{"stall", influxtest.Stall(time.Millisecond), func(_ int, _ http.Header, _ string, err error) bool { return err != nil }},
		{"delay", influxtest.Delay(time.Millisecond), func(_ int, _ http.Header, body string, err error) bool { return body == whole && err == nil }},
		{"cut", influxtest.CutAfter(10), func(s int, _ http.Header, body string, err error) bool {
			return s == 200 && body == whole[:10] && errors.Is(err, io.ErrUnexpectedEOF)
		}},
		{"cut before the body", influxtest.CutAfter(0), func(s int, _ http.Header, body string, err error) bool { return s == 200 && body == "" && err != nil }},
		{"truncate", influxtest.TruncateClean(10), func(_ int, _ http.Header, body string, err error) bool { return body == whole[:10] && err == nil }},
		{"end by close", influxtest.EndByClose(10), func(_ int, h http.Header, body string, err error) bool {
			return body == whole[:10] && err == nil && h.Get("Content-Type") == "application/json"
		}},
		{"end by close, whole", influxtest.EndByClose(-1), func(_ int, _ http.Header, body string, err error) bool { return body == whole && err == nil }},
		{"drip", influxtest.Drip(40, time.Millisecond), func(_ int, _ http.Header, body string, err error) bool { return body == whole && err == nil }},
		{"reset after apply", influxtest.ResetAfterApply(), func(_ int, _ http.Header, _ string, err error) bool {
			return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF)
		}},
		{"status", influxtest.Status(429, 7*time.Second, "slow down"), func(s int, h http.Header, body string, _ error) bool {
			return s == 429 && h.Get("Retry-After") == "7" && body == "slow down\n"
		}},
		{"redirect", influxtest.Redirect(307, "http://elsewhere/"), func(s int, h http.Header, _ string, _ error) bool {
			return s == 307 && h.Get("Location") == "http://elsewhere/"
		}},
		{"html", influxtest.HTML(), func(s int, h http.Header, _ string, _ error) bool {
			return s == 200 && strings.HasPrefix(h.Get("Content-Type"), "text/html")
		}},
		{"rewrite", influxtest.Rewrite(func(_ int, h http.Header, body []byte) (int, []byte) {
			h.Set("Age", "5")
			return 203, append(body, '!')
		}), func(s int, h http.Header, body string, _ error) bool {
			return s == 203 && body == whole+"!" && h.Get("Age") == "5"
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			elsewhere := srv.Fault(influxtest.Writes, influxtest.Refuse())
			f := srv.Fault(influxtest.Queries, tc.fault).Times(1)
			status, h, body, err := call(t, srv, "GET", query, "")
			if !tc.check(status, h, body, err) {
				t.Errorf("status %d, header %v, body %q, error %v", status, h, body, err)
			}
			if f.Fired() != 1 || elsewhere.Fired() != 0 {
				t.Errorf("fired %d times, the other %d times", f.Fired(), elsewhere.Fired())
			}
			elsewhere.Remove()
			if _, _, body, err := call(t, srv, "GET", query, ""); body != whole || err != nil {
				t.Errorf("after the fault: %q, %v", body, err)
			}
		})
	}
}

// A write whose acknowledgement is lost is stored; one that is refused is not.
func TestLostAcknowledgement(t *testing.T) {
	defer goleak.VerifyNone(t)
	srv := influxtest.NewServer(influxtest.Options{})
	defer srv.Close()
	srv.CreateBucket("b", 0, 0)
	path := "/api/v2/write?bucket=b&org=" + srv.Org
	for want, f := range []influxtest.Fault{influxtest.Refuse(), influxtest.ResetAfterApply()} {
		fault := srv.Fault(influxtest.Writes, f).Times(1)
		if _, _, _, err := call(t, srv, "POST", path, "m v=1 1"); err == nil {
			t.Error("an answer")
		}
		if got := len(srv.Dump("b")); got != want || fault.Fired() != 1 {
			t.Errorf("%d samples, fired %d", got, fault.Fired())
		}
	}
	log := srv.Requests()
	if len(log) != 2 || log[0].Wrote || !log[1].Wrote || log[0].Fault != "refuse" || log[1].Status != 0 {
		t.Errorf("log: %+v", log)
	}
}

// Close ends requests that stall for ever.
func TestCloseEndsStalls(t *testing.T) {
	defer goleak.VerifyNone(t)
	srv := influxtest.NewServer(influxtest.Options{Version: influxtest.V1})
	f := srv.Fault(nil, influxtest.Stall(0))
	done := make(chan error)
	go func() {
		_, _, _, err := call(t, srv, "GET", "/ping", "")
		done <- err
	}()
	for f.Fired() == 0 {
		time.Sleep(time.Millisecond)
	}
	srv.Close()
	if err := <-done; err == nil {
		t.Error("an answer")
	}
}

// A test may write between two statements of one request.
func TestBetween(t *testing.T) {
	var srv *influxtest.Server
	srv = influxtest.NewServer(influxtest.Options{Between: func(_ *http.Request, statement int) {
		if statement == 0 {
			srv.Write("b", "m v=1 2")
		}
	}})
	defer srv.Close()
	srv.CreateBucket("b", 0, 0)
	srv.Write("b", "m v=1 1")
	q := url.Values{"db": {"b"}, "epoch": {"ns"}, "q": {"SELECT count(v) FROM m; SELECT count(v) FROM m"}}
	_, _, body, err := call(t, srv, "POST", "/query", q.Encode())
	if err != nil || !strings.Contains(body, "[[0,1]]") || !strings.Contains(body, "[[0,2]]") {
		t.Errorf("%s %v", body, err)
	}
}
