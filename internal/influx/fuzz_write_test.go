package influx

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

const fuzzToken = `st-"9f28/c1aa+55==`

// leaks returns the form in which the token stands in a text, or "".
func leaks(text string) string {
	quoted := strconv.Quote(fuzzToken)
	for _, form := range []string{fuzzToken, quoted[1 : len(quoted)-1], url.QueryEscape(fuzzToken), base64.StdEncoding.EncodeToString([]byte(fuzzToken)), hex.EncodeToString([]byte(fuzzToken))} {
		if strings.Contains(text, form) {
			return form
		}
	}
	return ""
}

// repeated is the token as a peer may repeat it, if form says so.
func repeated(form byte) string {
	switch form % 6 {
	case 1:
		return fuzzToken
	case 2:
		return url.QueryEscape(fuzzToken)
	case 3:
		return base64.StdEncoding.EncodeToString([]byte(fuzzToken))
	case 4:
		return hex.EncodeToString([]byte(fuzzToken))
	case 5:
		return strings.ReplaceAll(fuzzToken, `"`, `\"`)
	}
	return ""
}

// checkWords: an error can be shown, is short, and holds nothing that was sent to log in.
func checkWords(t *testing.T, text string) {
	t.Helper()
	if form := leaks(text); form != "" {
		t.Errorf("%q is shown: %q", form, text)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) || len(text) > 3*maxErrorText {
		t.Errorf("a terminal would obey %q", text)
	}
}

// store is a server that refuses some samples, in words of anybody's.
type store struct {
	salt    byte
	partial bool // it stores the others, as servers do with lines they can parse
	tag     string
	status  int
	header  http.Header
	body    []byte

	bad     map[string]bool // samples it refuses
	stored  map[string]bool
	refused bool // it did so
	posts   int
}

func (s *store) isBad(sample string) bool {
	if s.status == http.StatusNoContent {
		return false // what is acknowledged counts as stored
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(sample))
	return (h.Sum32()>>3+uint32(s.salt))%4 == 0 && s.salt != 0
}

func (s *store) answer(r *http.Request) *http.Response {
	if s.posts++; s.posts > 500 {
		panic("it is asked without end")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, err = io.ReadAll(z)
		}
		if err != nil {
			panic(err)
		}
	}
	bad := false
	var good []string
	for len(body) > 0 {
		var line []byte
		line, body = lineproto.Next(body)
		lineproto.Fields(line, func(_, one []byte) {
			if s.isBad(string(one)) {
				bad = true
			} else {
				good = append(good, string(one))
			}
		})
	}
	if !bad || s.partial {
		for _, g := range good {
			s.stored[g] = true
		}
	}
	if !bad {
		return said(http.StatusNoContent, http.Header{}, nil)
	}
	s.refused = true
	return said(s.status, s.header.Clone(), s.body)
}

// linesOf makes canonical lines, each sample of which is another.
func linesOf(script []byte) (lines []byte, all []string) {
	d := &draw{script}
	at := int64(1700000000000000000)
	for i := range 1 + d.n(12) {
		at += int64(d.n(3)) * 7 * day
		line := fmt.Sprintf(`m\ %d,a=%d,site=x `, d.n(2), d.n(2))
		values := []string{"1.5", "-7i", "7u", "true", `"a, b=\"c\" \\"`, `"` + "\n" + `"`}
		for j, f := range []string{"f", `g\,\ `, `h"`}[:1+d.n(3)] {
			if j > 0 {
				line += ","
			}
			line += f + "=" + values[d.n(len(values))]
		}
		line += " " + strconv.FormatInt(at+int64(i), 10) + "\n"
		lines = append(lines, line...)
		lineproto.Fields([]byte(line), func(_, one []byte) { all = append(all, string(one)) })
	}
	return lines, all
}

// FuzzRefusal: whatever a peer answers to a write, no sample is lost without a word: each was acknowledged, or is among what was refused, or the write is an
// error. Only a server's own words refuse a sample, and only those it refuses. No answer makes anything secret seen.
func FuzzRefusal(f *testing.F) {
	script := []byte{11, 1, 0, 1, 2, 0, 1, 2, 0, 1, 1, 2, 3, 4, 5, 0, 0, 1, 1, 4, 2, 1, 0, 1, 2, 2, 2, 2, 0, 0, 1, 5}
	for _, s := range []struct {
		status uint16
		body   string
		header string
	}{
		{400, `{"code":"invalid","message":"unable to parse 'm v=5u 1': invalid number"}`, ""},
		{422, `{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"f\" on measurement \"m\" is type float, already exists as type integer dropped=1"}`, ""},
		{400, `{"error":"partial write: max-values-per-tag limit exceeded (100000/100000): measurement=\"m\" tag=\"a\" value=\"1\" dropped=1"}`, ""},
		{400, "\x81\xa5error\xaerequired right", ""},
		{400, `{"error":"unable to parse 'm v=5u 1': invalid number"}`, ""},
		{400, "bad request", ""},
		{422, "<html>", ""},
		{413, `{"code":"request too large","message":"too large"}`, ""},
		{503, `{"code":"unavailable","message":"busy"}`, "7"},
		{429, "", "99999999999"},
		{204, "", ""},
		{200, "", ""},
		{302, "", "https://elsewhere.example/?token=\x1b[31m"},
		{401, `{"code":"unauthorized","message":"Token `, ""},
		{500, "\x1b]0;title\x07", "-1"},
	} {
		for _, flags := range []byte{0, 1, 0x2e} {
			f.Add(script, byte(3), flags, s.status, s.header, []byte(s.body))
		}
	}
	f.Fuzz(func(t *testing.T, script []byte, salt, flags byte, status uint16, header string, body []byte) {
		if status < 200 || status > 599 || len(body) > 100_000 || len(header) > 1000 {
			return
		}
		partial, old, mapped, packed := flags&1 != 0, flags&2 != 0, flags&4 != 0, flags&8 != 0
		body = append(slices.Clone(body), repeated(flags>>4)...)
		if flags&0x80 != 0 {
			body = append(body, `"}`...)
		}
		s := &store{salt: salt, partial: partial, status: int(status), body: body, stored: map[string]bool{}, header: http.Header{}}
		for _, key := range []string{"Retry-After", "Location", "Date", "Content-Type", "X-Cache", "Age"} {
			s.header.Set(key, header)
		}
		o := Options{Login: func() (Login, error) { return Login{Token: fuzzToken}, nil }, Compress: packed}
		if mapped {
			o.AddTags = []mirror.Tag{{Key: "site", Value: "x"}}
		}
		c := without(o, s.answer)
		c.probe = mirror.Probe{Product: product2, Identity: "influxdb2:1:2", BucketID: "2", OrgID: "1", ShardGroup: 7 * day}
		if old {
			c.probe.Product, c.old = product1, database{"db", "rp"}
		}
		lines, all := linesOf(script)
		w, err := c.Open(context.Background(), mirror.Chunk{})
		if err != nil {
			t.Fatal(err)
		}
		if err = w.Write(lines); err != nil {
			t.Fatal(err)
		}
		refused, err := w.Close()
		if err != nil {
			e := (*mirror.Error)(nil)
			if !errors.As(err, &e) || e.Kind == "" || e.Kind == mirror.Rejected {
				t.Fatalf("%q: %v", mirror.KindOf(err), err)
			}
			checkWords(t, e.Error())
			checkAfter(t, e, header)
			if !s.refused {
				t.Fatalf("everything was taken: %v", err)
			}
			return
		}
		if len(refused.Lines)+len(refused.Fields) > 0 || refused.Unsigned != "" {
			if status != 400 && status != 422 || !mayBeOurs(body) {
				t.Fatalf("%d %q refuses for good %v", status, body, refused)
			}
		}
		exact := len(refused.Fields) == 0 && len(c.unsigned) == 0 && !isLimit(string(body))
		for _, one := range all {
			sent := one
			if mapped {
				sent = strings.Replace(one, ",site=x ", " ", 1)
			}
			group := mirror.NewGrid(7 * day)
			field, at := lineproto.Place([]byte(one))
			why, single := refused.Lines[one]
			_, stuck := refused.Fields[mirror.RefusedField{Key: field, Group: group.Group(at).Start}]
			no := single || stuck || refused.Unsigned != "" && lineproto.Unsigned([]byte(one))
			checkWords(t, why)
			switch {
			case !no && !s.stored[sent]:
				t.Fatalf("%q is neither stored nor refused: %v", one, refused)
			case s.isBad(sent) && !no:
				t.Fatalf("%q was refused, and nobody says so", one)
			case no && exact && !s.isBad(sent):
				t.Fatalf("%q is called refused: %v", one, refused)
			}
		}
		for _, why := range refused.Fields {
			checkWords(t, why)
		}
		checkWords(t, refused.Unsigned)
	})
}

// mayBeOurs: nothing but JSON or msgpack is what a server says.
func mayBeOurs(body []byte) bool {
	b := bytes.TrimSpace(body)
	return len(b) > 0 && (b[0] == '{' || b[0]>>4 == 8 || b[0] == 0xde || b[0] == 0xdf)
}

func checkAfter(t *testing.T, e *mirror.Error, header string) {
	t.Helper()
	want := time.Duration(0)
	if s, err := strconv.ParseInt(header, 10, 64); err == nil && s > 0 && e.Kind == mirror.Busy {
		want = time.Duration(min(s, 600)) * time.Second
	}
	if e.After != want {
		t.Fatalf("%q says to wait %v (%s)", header, e.After, e.Kind)
	}
}
