package config

import (
	"regexp"
	"sort"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// source is the text of a file, and which parts of it must not be shown.
type source struct {
	lines  [][]rune
	hidden map[int][]span // by line, from 1
	starts []place        // of every node, in the order of the text
}

// span is the columns [from, to) of a line, from 1.
type span struct{ from, to int }

type place struct{ line, column int }

func (p place) before(q place) bool {
	return p.line < q.line || p.line == q.line && p.column < q.column
}

func newSource(text []byte) source {
	text = []byte(strings.TrimPrefix(string(text), "\ufeff"))
	s := source{hidden: map[int][]span{}}
	for line := range strings.Lines(strings.ToValidUTF8(string(text), "?")) {
		s.lines = append(s.lines, []rune(strings.TrimRight(line, "\r\n")))
	}
	return s
}

// index notes where the nodes begin, so that hide knows where each ends at the latest.
func (s *source) index(n *yaml.Node) {
	if n.Line > 0 && n.Kind != yaml.DocumentNode {
		s.starts = append(s.starts, place{n.Line, n.Column})
	}
	for _, c := range n.Content {
		s.index(c)
	}
}

// hide keeps a node, and all below it, from being shown: from its start to the start of the next node.
func (s *source) hide(n *yaml.Node) {
	for _, c := range n.Content {
		s.hide(c)
	}
	if n.Kind == yaml.AliasNode {
		s.hideScalar(n.Alias)
	}
	s.hideScalar(n)
}

func (s *source) hideScalar(n *yaml.Node) {
	if n == nil || n.Kind != yaml.ScalarNode || n.Line == 0 {
		return
	}
	from, to := place{n.Line, n.Column}, place{len(s.lines) + 1, 1}
	// The nodes begin in the order of their text.
	if i := sort.Search(len(s.starts), func(i int) bool { return from.before(s.starts[i]) }); i < len(s.starts) {
		to = s.starts[i]
	}
	for line := from.line; line <= to.line && line <= len(s.lines); line++ {
		h := span{1, len(s.lines[line-1]) + 1}
		if line == from.line {
			h.from = from.column
		}
		if line == to.line {
			h.to = to.column
		}
		s.hidden[line] = append(s.hidden[line], h)
	}
}

var (
	secretKey       = regexp.MustCompile(`(?i)(token|passw(or)?d|passphrase|secret|api_?key)$`)
	secretInLine    = regexp.MustCompile(`(?i)(token|passw(?:or)?d|passphrase|secret|api_?key)["']?\s*:`)
	secretInComment = regexp.MustCompile(`(?i)\s#.*(token|passw(?:or)?d|passphrase|secret|api_?key)["']?\s*[:=]`)
	userInURL       = regexp.MustCompile(`://.*@`)
	queryInURL      = regexp.MustCompile("://[^\\s\"']*?[?#]([^\\s\"']+)")
	keyLine         = regexp.MustCompile(`^\s*(- +)*[\w"'<]+\s*:`)
)

// hideUnparsed hides whatever may be a secret in a text that is not YAML: all after a key that sounds like one, and
// the lines that may go on with it.
func (s *source) hideUnparsed() {
	depth, inside := 0, false
	for i, runes := range s.lines {
		text := string(runes)
		indent := len(runes) - len([]rune(strings.TrimLeft(text, " \t-")))
		if m := secretInLine.FindStringIndex(text); m != nil {
			from := utf8.RuneCountInString(text[:m[1]]) + 1
			for from <= len(runes) && runes[from-1] == ' ' {
				from++
			}
			s.hidden[i+1] = append(s.hidden[i+1], span{from, len(runes) + 1})
			depth, inside = indent, true
			continue
		}
		inside = inside && (strings.TrimSpace(text) == "" || indent > depth || !keyLine.MatchString(text))
		if inside {
			s.hidden[i+1] = append(s.hidden[i+1], span{1, len(runes) + 1})
		}
	}
}

// show returns a line as it may be shown and how many characters of it stand before the column.
func (s *source) show(line, column int) (text string, caret int) {
	if line < 1 || line > len(s.lines) {
		return "", 0
	}
	runes := s.lines[line-1]
	hide := make([]bool, len(runes))
	for _, h := range s.hidden[line] {
		for i := max(h.from, 1) - 1; i < min(h.to-1, len(runes)); i++ {
			hide[i] = true
		}
		// What stands before the next node, indentation or the punctuation of a flow, is no part of the value.
		first, between := h.from, " \t,{}[]"
		if h.from == 1 {
			first, between = 0, between+"-"
		}
		for i := min(h.to-1, len(runes)) - 1; i >= first && strings.ContainsRune(between, runes[i]); i-- {
			hide[i] = false
		}
	}
	whole := string(runes)
	for _, m := range userInURL.FindAllStringIndex(whole, -1) {
		from, to := utf8.RuneCountInString(whole[:m[0]])+3, utf8.RuneCountInString(whole[:m[1]])-1
		for i := from; i < to; i++ {
			hide[i] = true
		}
	}
	for _, m := range queryInURL.FindAllStringSubmatchIndex(whole, -1) {
		for i := utf8.RuneCountInString(whole[:m[2]]); i < utf8.RuneCountInString(whole[:m[3]]); i++ {
			hide[i] = true
		}
	}
	for _, m := range secretInComment.FindAllStringIndex(whole, -1) {
		for i := utf8.RuneCountInString(whole[:m[1]]); i < len(runes); i++ {
			hide[i] = true
		}
	}
	var out []rune
	for i, r := range runes {
		if i == column-1 {
			caret = len(out)
		}
		switch {
		case !hide[i]:
			out = append(out, []rune(printable(string(r)))...)
		case i == 0 || !hide[i-1]:
			out = append(out, []rune(redacted)...)
		}
	}
	if column > len(runes) {
		caret = len(out)
	}
	return cut(out, caret)
}

// cut keeps a long line to what is near the caret.
func cut(runes []rune, caret int) (string, int) {
	const width = 110
	caret = min(caret, len(runes))
	from := 0
	if len(runes) > width && caret > width*2/3 {
		from = caret - width/2
	}
	to := min(len(runes), from+width)
	text, caret := string(runes[from:to]), caret-from
	if from > 0 {
		text, caret = "…"+text, caret+1
	}
	if to < len(runes) {
		text += "…"
	}
	return text, caret
}
