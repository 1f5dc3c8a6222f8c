package influx

import (
	"errors"
	"net/http"
	"strings"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// refusedV1 says more of a refused write than the server's words, where it is one of 1.x.
func (c *Client) refusedV1(err error) error {
	d, old := c.database()
	e := (*mirror.Error)(nil)
	if !old || !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Status == http.StatusForbidden:
		e.Err = c.grant(d, e.Err)
	case e.Status == http.StatusInternalServerError && strings.HasPrefix(e.Err.Error(), "retention policy not found"):
		e.Kind = mirror.Missing // it knows no place for the points, so that none was stored
	}
	return err
}

// learnUnsigned reports whether a refusal says that the server takes no unsigned integers: 1.x as shipped does not parse them. That is
// remembered until the next whole probe, for asking with every value costs a request each.
func (t *Target) learnUnsigned(line []byte, reason string) bool {
	if _, old := t.database(); !old || !lineproto.Unsigned(line) || reason != "unable to parse: invalid number" {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unsigned = reason
	return true
}

// isLimit: max-values-per-tag and max-series-per-database keep a whole series out.
func isLimit(reason string) bool {
	return strings.Contains(reason, "max-values-per-tag limit exceeded") || strings.Contains(reason, "max-series-per-database")
}

// unquoted takes the line out of the server's words on it, so that a reason is the same for many: "unable to parse 'm v=5u 1': invalid number".
func unquoted(reason string) string {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(reason, "partial write: "), "unable to parse '")
	if at := strings.LastIndex(rest, "': "); ok && at >= 0 {
		return "unable to parse: " + rest[at+3:]
	}
	return reason
}
