package influx

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"

	"influxmirror/internal/mirror"
)

// Caps on what one answer may claim.
const (
	maxColumns = 100_000
	maxName    = 128 << 10 // of a tag, a column, a measurement
	maxText    = 2 << 20   // of one string in a small answer; servers take 1 MiB
	maxValue   = 32 << 20  // of one string value; 1.6 takes as much as a request may hold, 25 MB
	maxHead    = 16 << 20  // of all tags, or all columns, of one series
	maxCells   = 1 << 20   // of a small answer, in all rows
	maxTables  = 1 << 18   // of a small answer
)

var errGrammar = errors.New("answer is not what InfluxDB sends")

// statementError is an error inside a 200 answer.
type statementError struct {
	After int // the last statement that answered before it
	Text  string
}

func (e *statementError) Error() string { return printable(e.Text, 400) }

// block is the head of a run of rows of one series.
type block struct {
	Statement int
	Name      string
	Tags      []mirror.Tag
	Columns   []string
}

// decoder reads the answer to several statements: msgpack documents {"results":[…]} one behind the other.
type decoder struct {
	r       *msgp.Reader
	scratch []byte
	block   block
	last    int // the newest statement seen
}

// readers are used again: an idle Pass asks for little, and a buffer for each request would be most of what it allocates.
var readers = sync.Pool{New: func() any { return msgp.NewReaderSize(nil, 64<<10) }}

// newDecoder returns a decoder for one answer. Nothing it hands out refers to its buffer, so free may follow at once.
func newDecoder(r io.Reader) *decoder {
	d := &decoder{r: readers.Get().(*msgp.Reader), last: -1}
	d.r.Reset(r)
	return d
}

// free gives the buffer back. The decoder must not be used any more.
func (d *decoder) free() {
	d.r.Reset(nil)
	readers.Put(d.r)
	d.r = nil
}

// run decodes to the clean end of the answer. It calls head for each block and row for each row of it; row reads its n values from d.r.
// Statements must answer in order and none may be missing, whether it found anything or not.
func (d *decoder) run(statements int, head func(*block) error, row func(n uint32) error) error {
	for {
		if _, err := d.r.R.Peek(1); err == io.EOF {
			if d.last != statements-1 {
				return fmt.Errorf("answer ends after statement %d of %d", d.last+1, statements)
			}
			return nil
		} else if err != nil {
			return err
		}
		n, err := d.r.ReadMapHeader()
		if err != nil {
			return err
		}
		for range n {
			key, err := d.text(maxName)
			if err != nil {
				return err
			}
			switch string(key) {
			case "results":
				if err := d.results(statements, head, row); err != nil {
					return err
				}
			case "error":
				return d.statementError()
			default:
				if err := d.r.Skip(); err != nil {
					return err
				}
			}
		}
	}
}

func (d *decoder) results(statements int, head func(*block) error, row func(n uint32) error) error {
	n, err := d.r.ReadArrayHeader()
	if err != nil {
		return err
	}
	for range n {
		keys, err := d.r.ReadMapHeader()
		if err != nil {
			return err
		}
		named := false
		for range keys {
			key, err := d.text(maxName)
			if err != nil {
				return err
			}
			switch string(key) {
			case "statement_id":
				id, err := d.r.ReadInt()
				if err != nil {
					return err
				}
				if id < 0 || id != d.last && id != d.last+1 || id >= statements {
					return fmt.Errorf("%w: statement %d after %d", errGrammar, id, d.last)
				}
				d.last, d.block.Statement, named = id, id, true
			case "series":
				if !named {
					return fmt.Errorf("%w: rows without a statement", errGrammar)
				}
				if err := d.series(head, row); err != nil {
					return err
				}
			case "error":
				return d.statementError()
			default: // messages, partial
				if err := d.r.Skip(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *decoder) statementError() error {
	text, err := d.text(maxText)
	if err != nil {
		return err
	}
	return &statementError{After: d.last, Text: string(text)}
}

func (d *decoder) series(head func(*block) error, row func(n uint32) error) error {
	n, err := d.r.ReadArrayHeader()
	if err != nil {
		return err
	}
	for range n {
		keys, err := d.r.ReadMapHeader()
		if err != nil {
			return err
		}
		b := &d.block
		b.Name, b.Tags, b.Columns = "", b.Tags[:0], b.Columns[:0]
		for range keys {
			key, err := d.text(maxName)
			if err != nil {
				return err
			}
			switch string(key) {
			case "name":
				if b.Name, err = d.string(maxName); err != nil {
					return err
				}
			case "tags":
				if err := d.tags(); err != nil {
					return err
				}
			case "columns":
				if b.Columns, err = d.columns(b.Columns); err != nil {
					return err
				}
			case "values":
				if err := d.values(head, row); err != nil {
					return err
				}
			default:
				if err := d.r.Skip(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (d *decoder) tags() error {
	n, err := d.r.ReadMapHeader()
	if err != nil {
		return err
	}
	size := 0
	for range n {
		k, err := d.string(maxName)
		if err != nil {
			return err
		}
		v, err := d.string(maxName)
		if err != nil {
			return err
		}
		if size += len(k) + len(v); size > maxHead {
			return errGrammar
		}
		if v != "" { // an empty tag is an absent tag
			d.block.Tags = append(d.block.Tags, mirror.Tag{Key: k, Value: v})
		}
		if len(d.block.Tags) > maxColumns {
			return errGrammar
		}
	}
	slices.SortFunc(d.block.Tags, func(a, b mirror.Tag) int { return strings.Compare(a.Key, b.Key) })
	return nil
}

func (d *decoder) columns(to []string) ([]string, error) {
	n, err := d.r.ReadArrayHeader()
	if err != nil || n > maxColumns {
		return nil, cmpErr(err, errGrammar)
	}
	size := 0
	for range n {
		s, err := d.string(maxName)
		if err != nil {
			return nil, err
		}
		if size += len(s); size > maxHead {
			return nil, errGrammar
		}
		to = append(to, s)
	}
	return to, nil
}

func (d *decoder) values(head func(*block) error, row func(n uint32) error) error {
	n, err := d.r.ReadArrayHeader()
	if err != nil {
		return err
	}
	if len(d.block.Columns) == 0 {
		return fmt.Errorf("%w: rows without columns", errGrammar)
	}
	if err := head(&d.block); err != nil {
		return err
	}
	for range n {
		w, err := d.r.ReadArrayHeader()
		if err != nil {
			return err
		}
		if int(w) != len(d.block.Columns) {
			return fmt.Errorf("%w: row of %d values under %d columns", errGrammar, w, len(d.block.Columns))
		}
		if err := row(w); err != nil {
			return err
		}
	}
	return nil
}

// text reads a string into scratch. Nothing is allocated on a length that only the peer claims.
func (d *decoder) text(limit uint32) ([]byte, error) {
	n, err := d.r.ReadStringHeader()
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("%w: a text of %d bytes", errGrammar, n)
	}
	if cap(d.scratch) < int(n) {
		d.scratch = make([]byte, n, max(int(n), 256))
	}
	d.scratch = d.scratch[:n]
	_, err = d.r.ReadFull(d.scratch)
	return d.scratch, err
}

func (d *decoder) string(limit uint32) (string, error) {
	b, err := d.text(limit)
	return string(b), err
}

// cell is one value of a small answer.
type cell struct {
	Nil   bool
	Float bool
	Bits  uint64 // integer, unsigned, float bits, 0 and 1
	Text  string
}

// value reads any value; text as a copy.
func (d *decoder) value() (cell, error) {
	t, err := d.r.NextType()
	if err != nil {
		return cell{}, err
	}
	switch t {
	case msgp.NilType:
		return cell{Nil: true}, d.r.ReadNil()
	case msgp.IntType:
		v, err := d.r.ReadInt64()
		return cell{Bits: uint64(v)}, err
	case msgp.UintType:
		v, err := d.r.ReadUint64()
		return cell{Bits: v}, err
	case msgp.Float64Type:
		v, err := d.r.ReadFloat64()
		return cell{Float: true, Bits: math.Float64bits(v)}, err
	case msgp.BoolType:
		v, err := d.r.ReadBool()
		c := cell{}
		if v {
			c.Bits = 1
		}
		return c, err
	case msgp.StrType:
		s, err := d.string(maxText)
		return cell{Text: s}, err
	case msgp.TimeType:
		t, err := d.r.ReadTime()
		return cell{Text: t.UTC().Format(time.RFC3339Nano)}, err
	}
	return cell{}, fmt.Errorf("%w: a value of another type", errGrammar)
}

// table is a small answer, whole.
type table struct {
	block
	Rows [][]cell
}

// tables reads a small answer.
func (d *decoder) tables(statements int) ([]table, error) {
	var out []table
	total := 0
	err := d.run(statements, func(b *block) error {
		t := table{block: *b}
		t.Tags, t.Columns = slices.Clone(b.Tags), slices.Clone(b.Columns)
		if out = append(out, t); len(out) > maxTables {
			return fmt.Errorf("%w: too many series", errGrammar)
		}
		return nil
	}, func(n uint32) error {
		row := make([]cell, n)
		for i := range row {
			var err error
			if row[i], err = d.value(); err != nil {
				return err
			}
		}
		if total += len(row); total > maxCells {
			return fmt.Errorf("%w: too many values", errGrammar)
		}
		out[len(out)-1].Rows = append(out[len(out)-1].Rows, row)
		return nil
	})
	return out, err
}

func cmpErr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
