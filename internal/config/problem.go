package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing that is wrong, and where. No part of it holds a secret.
type Problem struct {
	File    string
	Line    int    // from 1; 0 if no line is to blame
	Column  int    // from 1, in characters of the file
	Text    string // the line as it may be shown: secrets redacted, control characters replaced
	Message string
	Hint    string // the next step, or ""

	caret int // characters of Text before the caret
}

// String shows the place, the message, the line with a caret, and the hint.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(printable(p.File))
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": " + p.Message)
	if p.Line > 0 && p.Text != "" {
		fmt.Fprintf(&b, "\n%5d | %s\n      | %s^", p.Line, p.Text, strings.Repeat(" ", p.caret))
	}
	if p.Hint != "" {
		b.WriteString("\n      hint: " + p.Hint)
	}
	return b.String()
}

// Errors is everything that is wrong with a configuration, in the order of the lines.
type Errors struct{ Problems []Problem }

// Error shows every Problem.
func (e *Errors) Error() string {
	all := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		all[i] = p.String()
	}
	return strings.Join(all, "\n")
}

// problems collects what is wrong with one file.
type problems struct {
	file   string
	source source
	list   []Problem
}

// at adds a problem at a place of the file; line 0 means the file as a whole.
func (p *problems) at(line, column int, hint, format string, args ...any) {
	q := Problem{File: p.file, Line: line, Column: column, Message: fmt.Sprintf(format, args...), Hint: hint}
	p.list = append(p.list, q)
}

// err returns the problems found so far, each with its line as it may be shown, or nil.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	same := func(a, b Problem) bool { return a.Line == b.Line && a.Column == b.Column && a.Message == b.Message }
	list := slices.CompactFunc(p.list, same)
	for i := range list {
		if q := &list[i]; q.Line > 0 {
			q.Text, q.caret = p.source.show(q.Line, q.Column)
		}
	}
	return &Errors{list}
}

// printable replaces what could move the cursor or colour the terminal. It keeps the number of characters.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// name shows a name from the file: as it is where that is clear, quoted and cut short elsewhere.
func name(s string) string {
	plain := s != ""
	for _, r := range s {
		plain = plain && unicode.IsPrint(r) && r != ' ' && r != '"' && r != utf8.RuneError
	}
	if runes := []rune(s); len(runes) > 80 {
		s, plain = string(runes[:80])+"…", false
	}
	if plain {
		return s
	}
	return fmt.Sprintf("%q", s)
}
