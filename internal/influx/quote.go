package influx

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/tinylib/msgp/msgp"
)

// ident quotes an InfluxQL identifier.
func ident(s string) string { return `"` + identEscaper.Replace(s) + `"` }

// literal quotes an InfluxQL string.
func literal(s string) string { return "'" + literalEscaper.Replace(s) + "'" }

var (
	identEscaper   = strings.NewReplacer("\n", `\n`, `\`, `\\`, `"`, `\"`)
	literalEscaper = strings.NewReplacer("\n", `\n`, `\`, `\\`, `'`, `\'`)
)

// maxMessage is how much of an error's body is read.
const maxMessage = 64 << 10

// message takes the server's words out of an error's body: JSON of 1.x or 2.x, msgpack of 1.x where that was asked for, or the beginning of
// whatever it is, made printable; hide takes out what must not be shown before any of it is cut.
func message(body io.Reader, hide func(string) string) (text string, ours bool) {
	b, _ := io.ReadAll(io.LimitReader(body, maxMessage))
	var e struct {
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	// 1.x names every line it does not take, which is as much as was sent: the beginning will do.
	for cut := min(2000, len(b)); len(b) == maxMessage && bytes.HasPrefix(b, []byte(`{"error":"`)) && cut > 1980; cut-- {
		if short := append(b[:cut:cut], `"}`...); json.Valid(short) {
			b = short
		}
	}
	text = strings.TrimSpace(string(b))
	if v, _, err := msgp.ReadMapStrIntfBytes(b, nil); err == nil {
		if s, ok := v["error"].(string); ok && s != "" {
			return printable(hide(s), 400), true
		}
	}
	if json.Unmarshal(b, &e) == nil && e.Message+e.Error != "" {
		text, ours = e.Message, true
		if text == "" {
			text = e.Error
		}
	} else if strings.HasPrefix(text, "<") {
		return "not an InfluxDB answer (HTML)", false
	}
	if text == "" {
		return "no reason given", ours
	}
	return printable(hide(text), 400), ours
}

// printable makes a peer's text safe for a terminal and cuts it to n bytes.
func printable(s string, n int) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= n {
			b.WriteString("…")
			break
		}
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}
