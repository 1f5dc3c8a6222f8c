package influx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"influxmirror/internal/mirror"
)

const msgpackType = "application/x-msgpack"

// sentinel is the last statement of every read: its answer shows that the server came to the end.
const sentinel = "SHOW DATABASES"

// errSystem is what a server says of measurements whose names it reserves (facts 14).
const errSystem = "unable to use system source"

// query sends statements and the sentinel in one request and hands the answer's decoder to fn.
func (c *Client) query(ctx context.Context, op string, statements []string, limit int64, fn func(d *decoder, n int, a *answer) error) error {
	r := &request{
		op: op, method: http.MethodPost, path: "/query", accept: msgpackType, limit: limit,
		form: url.Values{"epoch": {"ns"}, "chunked": {"true"}, "chunk_size": {"10000"},
			"q": {strings.Join(statements, ";\n") + ";\n" + sentinel}},
	}
	c.address(r.form)
	a, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	defer a.body.Close()
	if a.status != http.StatusOK {
		return c.fail(r, mirror.Foreign, a.status, errors.New("not an InfluxDB answer"))
	}
	if t := a.header.Get("Content-Type"); t != msgpackType {
		return c.fail(r, mirror.Foreign, a.status, fmt.Errorf("not an InfluxDB answer (content type %q)", printable(c.sent.hide(t), 60)))
	}
	if a.date == 0 {
		return c.fail(r, mirror.Foreign, a.status, errors.New("answer without a Date header"))
	}
	d := newDecoder(a.body)
	err = fn(d, len(statements)+1, a)
	d.free()
	var known *mirror.Error
	var stmt *statementError
	var clash *tagClash
	switch {
	case err == nil || errors.As(err, &known) || ctx.Err() != nil:
	case errors.As(err, &clash):
		err = c.fail(r, mirror.Blocked, 0, clash)
	case errors.As(err, &stmt):
		stmt.Text = c.sent.hide(stmt.Text)
		kind := mirror.Broken
		switch {
		case strings.Contains(stmt.Text, errSystem):
			kind = mirror.Rejected
		case strings.HasPrefix(stmt.Text, "database not found"), strings.HasPrefix(stmt.Text, "retention policy not found"):
			kind = mirror.Missing
		case strings.Contains(stmt.Text, "not authorized"):
			kind = mirror.Rights
		}
		err = c.fail(r, kind, 0, stmt)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = c.fail(r, mirror.Broken, 0, errors.New("answer cut off"))
	default:
		err = c.fail(r, mirror.Broken, 0, err)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// ask returns the whole of a small answer, without the sentinel's part.
func (c *Client) ask(ctx context.Context, op string, statements ...string) ([]table, error) {
	var out []table
	err := c.query(ctx, op, statements, maxSmallAnswer, func(d *decoder, n int, _ *answer) error {
		all, err := d.tables(n)
		for _, t := range all {
			if t.Statement < n-1 {
				out = append(out, t)
			}
		}
		return err
	})
	return out, err
}

// list asks for a list whose length nothing else tells, twice in one request: a part of it that is lost on the way would not be missed, and what is
// counted by such a list would be less than there is.
func (c *Client) list(ctx context.Context, op, statement string) ([]table, error) {
	all, err := c.ask(ctx, op, statement, statement)
	if err != nil {
		return nil, err
	}
	var once []table
	rows := map[string]int{} // the order of equal names is anybody's
	for _, t := range all {
		n := -1
		if t.Statement == 0 {
			once, n = append(once, t), 1
		}
		for _, row := range t.Rows {
			rows[fmt.Sprintf("%q %v", t.Name, row)] += n
		}
	}
	for _, n := range rows {
		if n != 0 {
			return nil, &mirror.Error{Kind: mirror.Broken, Side: c.o.Side, URL: c.URL(), Op: op, Err: errors.New("two answers to one question differ")}
		}
	}
	return once, nil
}

// where writes the condition for w, both bounds included.
func where(w mirror.Window) string {
	first, last := w.Closed()
	return fmt.Sprintf("time >= %d AND time <= %d", first, last)
}
