package archive

import (
	"bytes"
	"cmp"
	"slices"

	"influxmirror/internal/lineproto"
)

// pile collects lines in memory and hands them back in order.
type pile struct {
	text  []byte
	spots []spot
}

// spot is where a line of a pile lies.
type spot struct {
	time       int64
	start, end int
	key        int // end of the series key
}

func (p *pile) add(l *lineproto.Parts) {
	at := len(p.text)
	p.text = append(p.text, l.Line...)
	p.spots = append(p.spots, spot{l.Time, at, len(p.text), at + len(l.Key)})
}

func (p *pile) reset() { p.text, p.spots = p.text[:0], p.spots[:0] }

// sort puts the lines in order; equal ones stay in the order they came in.
func (p *pile) sort() {
	slices.SortFunc(p.spots, func(a, b spot) int {
		if c := cmp.Compare(a.time, b.time); c != 0 {
			return c
		}
		if c := bytes.Compare(p.text[a.start:a.key], p.text[b.start:b.key]); c != 0 {
			return c
		}
		return a.start - b.start
	})
}

// pileCursor walks over a sorted pile.
type pileCursor struct {
	p     *pile
	i     int
	parts lineproto.Parts
}

func (c *pileCursor) next() (bool, error) {
	if c.i >= len(c.p.spots) {
		return false, nil
	}
	s := c.p.spots[c.i]
	c.i++
	c.parts = lineproto.Parts{Line: c.p.text[s.start:s.end], Key: c.p.text[s.start:s.key], Time: s.time}
	return true, nil
}

func (c *pileCursor) line() *lineproto.Parts { return &c.parts }
func (c *pileCursor) close()                 {}

// mergeCursor merges cursors, the oldest first, into one with a single line for each series and time. Each of them is in order, but may hold
// several lines of one series and time.
type mergeCursor struct {
	from   []cursor
	live   []bool
	begun  bool
	hasher *hasher
	lines  [][]byte // of one series and time, copies
	n      int
	united []byte
	parts  lineproto.Parts
}

// next moves every cursor that stood at the last line, and picks the least.
func (m *mergeCursor) next() (bool, error) {
	if !m.begun {
		m.begun = true
		m.live = make([]bool, len(m.from))
		for i := range m.from {
			if err := m.step(i); err != nil {
				return false, err
			}
		}
	}
	least := -1
	for i, c := range m.from {
		if m.live[i] && (least < 0 || order(c.line(), m.from[least].line()) < 0) {
			least = i
		}
	}
	if least < 0 {
		return false, nil
	}
	m.n = 0
	m.keep(m.from[least].line().Line)
	at := lineproto.Parts{Time: m.from[least].line().Time, Key: m.lines[0][:len(m.from[least].line().Key)]}
	for i := least; i < len(m.from); i++ { // what is equal and not the first comes behind it
		if i == least {
			if err := m.step(i); err != nil {
				return false, err
			}
		}
		for m.live[i] && order(m.from[i].line(), &at) == 0 {
			m.keep(m.from[i].line().Line)
			if err := m.step(i); err != nil {
				return false, err
			}
		}
	}
	line := m.lines[0]
	if m.n > 1 {
		var err error
		if m.united, err = m.hasher.unite(m.united[:0], m.lines[:m.n]...); err != nil {
			return false, err
		}
		line = m.united
	}
	p, _, ok := lineproto.Cut(line)
	if !ok {
		return false, errNoLine
	}
	m.parts = p
	return true, nil
}

func (m *mergeCursor) step(i int) (err error) {
	m.live[i], err = m.from[i].next()
	return err
}

// keep copies a line; the memory is used again.
func (m *mergeCursor) keep(line []byte) {
	if m.n == len(m.lines) {
		m.lines = append(m.lines, nil)
	}
	at := &m.lines[m.n]
	*at = append((*at)[:0], line...)
	// The key of the first is compared with what follows: it must not move.
	m.n++
}

func (m *mergeCursor) line() *lineproto.Parts { return &m.parts }

func (m *mergeCursor) close() {
	for _, c := range m.from {
		c.close()
	}
}
