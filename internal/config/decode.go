package config

import (
	"cmp"
	"errors"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// decoder reads one file. Its methods note problems and go on, so that all are found at once.
type decoder struct {
	problems
	env     func(string) (string, bool)
	files   *files
	dir     string // of the file, for relative paths
	literal bool   // values are taken as they are: no variables
	cfg     *Config

	endpoints    map[string]*Endpoint // nil where the definition is wrong
	places       map[string]*yaml.Node
	ends         []ends // of cfg.Mirrors
	logAt        *yaml.Node
	secretInFile bool
}

// ends are where a mirror, its from and its to stand in the file.
type ends struct{ at, from, to *yaml.Node }

// parse returns the mapping that the file is, or nil after noting why not.
func (d *decoder) parse(text []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Load(text, &doc); err != nil {
		d.source.hideUnparsed()
		d.syntax(err)
		return nil
	}
	d.source.index(&doc)
	d.hideSecrets(&doc)
	if len(doc.Content) == 0 {
		d.at(0, 0, emptyHint, "the file is empty")
		return nil
	}
	root := resolve(doc.Content[0])
	if root.Tag == "!!null" {
		d.at(0, 0, emptyHint, "the file is empty")
		return nil
	}
	if root.Kind != yaml.MappingNode {
		d.source.hide(root)
		d.node(root, "the file begins with a key such as endpoints:", "keys and values expected, found %s", kind(root))
		return nil
	}
	return root
}

const emptyHint = "it begins with endpoints: and mirrors:"

// syntax notes what the YAML parser says, in words that hold nothing of the file.
func (d *decoder) syntax(err error) {
	var e *yaml.LoadError
	hint := ""
	switch {
	case errors.As(err, &e) && strings.Contains(e.Message, "multiple"):
		d.at(0, 0, "keep one and remove the --- line", "the file holds more than one YAML document")
		return
	case errors.As(err, &e) && strings.Contains(e.Message, "no documents"):
		d.at(0, 0, emptyHint, "the file is empty")
		return
	case !errors.As(err, &e):
		d.at(0, 0, "", "not YAML")
		return
	}
	line, column := e.Mark.Line, e.Mark.Column
	if line > len(d.source.lines) && e.ContextMark.Line > 0 {
		line, column = e.ContextMark.Line, e.ContextMark.Column // what the end of the file left open
	}
	if line > 0 && line <= len(d.source.lines) {
		text := string(d.source.lines[line-1])
		switch {
		case strings.Contains(text, "\t"):
			hint = "indent with spaces, not with tabs"
		case strings.Contains(text, "${"):
			hint = `put values that hold ${…} into quotes: "${NAME}"`
		}
	}
	message := e.Message
	if e.ContextMsg != "" {
		message = e.ContextMsg + ": " + message
	}
	d.at(line, column, hint, "not YAML: %s", withoutQuotes(printable(message)))
}

// node notes a problem where n begins.
func (d *decoder) node(n *yaml.Node, hint, format string, args ...any) {
	d.at(n.Line, n.Column, hint, format, args...)
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func kind(n *yaml.Node) string {
	switch n = resolve(n); {
	case n.Kind == yaml.MappingNode:
		return "keys and values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	}
	return "a single value"
}

// hideSecrets hides the values of all keys that sound like secrets, wherever they stand.
func (d *decoder) hideSecrets(n *yaml.Node) {
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && secretKey.MatchString(n.Content[i-1].Value) && (len(c.Content) > 0 || holdsLiteral(resolve(c).Value)) {
			d.source.hide(c)
		}
		d.hideSecrets(c)
	}
}

// entry is a key with its value.
type entry struct {
	key   string
	at    *yaml.Node // the key
	value *yaml.Node // never an alias
}

// section is a mapping whose keys are all known.
type section struct {
	at      *yaml.Node
	entries map[string]entry
}

// later says why a key is refused by this version.
type later struct {
	hint    string
	message string // "" for the usual one
	secret  bool   // the value is not shown
}

func (s section) has(key string) bool { _, ok := s.entries[key]; return ok }

// section reads a mapping. Keys that are not in known are noted; those in after with the reason given there.
func (d *decoder) section(n *yaml.Node, what string, known []string, after map[string]later) (section, bool) {
	at := n
	if n = resolve(n); n.Kind != yaml.MappingNode {
		d.source.hide(at)
		d.node(at, "", "%s: keys and values expected, found %s", what, kind(n))
		return section{}, false
	}
	s := section{at: at, entries: map[string]entry{}}
	for _, e := range d.pairs(n) {
		why, isLater := after[e.key]
		switch {
		case isLater:
			if why.secret {
				d.source.hide(e.value)
			}
			d.node(e.at, why.hint, "%s: %s", e.key, cmp.Or(why.message, "not supported by this version"))
		case !contains(known, e.key):
			d.source.hide(e.value)
			all := append([]string(nil), known...)
			for k := range after {
				all = append(all, k)
			}
			d.node(e.at, didYouMean(e.key, all, known), "%s: unknown key in %s", name(e.key), what)
		default:
			s.entries[e.key] = e
		}
	}
	return s, true
}

// pairs lists the keys and values of a mapping in their order and notes keys that come twice.
func (d *decoder) pairs(n *yaml.Node) []entry {
	var list []entry
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch first := seen[k.Value]; {
		case k.Kind != yaml.ScalarNode:
			d.source.hide(k)
			d.source.hide(v)
			d.node(k, "", "a key must be a single word")
		case k.Tag == "!!merge":
			d.node(k, "write the keys out", "<<: merging is not supported")
		case first != nil:
			d.source.hide(v)
			d.node(k, "", "%s: again; it stands in line %d already", name(k.Value), first.Line)
		default:
			seen[k.Value] = k
			list = append(list, entry{k.Value, k, resolve(v)})
		}
	}
	return list
}

// text returns a single value with its variables expanded; ok is false where none is given or it is wrong.
func (d *decoder) text(s section, key string) (value string, at *yaml.Node, ok bool) {
	e, found := s.entries[key]
	if !found {
		return "", s.at, false
	}
	value, ok = d.scalar(e.value, key)
	return value, e.value, ok
}

func (d *decoder) scalar(n *yaml.Node, what string) (string, bool) {
	n = resolve(n)
	switch {
	case n.Kind != yaml.ScalarNode:
		d.source.hide(n)
		d.node(n, "", "%s: a single value expected, found %s", what, kind(n))
		return "", false
	case n.Tag == "!!null":
		d.node(n, "", "%s: no value given", what)
		return "", false
	}
	value, err := n.Value, error(nil)
	if !d.literal {
		value, err = expand(n.Value, d.env)
	}
	if err != nil {
		d.node(n, "", "%s: %v", what, err)
		return "", false
	}
	if strings.TrimSpace(value) == "" {
		d.node(n, "", "%s: no value given", what)
		return "", false
	}
	return value, true
}

// texts returns a list of single values, each with its place. A single value is a list of one.
func (d *decoder) texts(s section, key string) (values []string, at []*yaml.Node) {
	e, found := s.entries[key]
	if !found {
		return nil, nil
	}
	items := []*yaml.Node{e.value}
	if e.value.Kind == yaml.SequenceNode {
		items = e.value.Content
	}
	for _, n := range items {
		if value, ok := d.scalar(n, key); ok {
			values, at = append(values, value), append(at, n)
		}
	}
	return values, at
}

// quote shows a value as the file writes it: what a variable holds is not shown, as it may be a secret.
func quote(n *yaml.Node) string { return name(strings.TrimSpace(resolve(n).Value)) }

// withoutQuotes takes out of a parser's message what it quotes of the file; punctuation it expected stays.
func withoutQuotes(s string) string {
	return quotedPart.ReplaceAllStringFunc(s, func(q string) string {
		if len(q) == len("'x'") {
			return q
		}
		return "'…'"
	})
}

var quotedPart = regexp.MustCompile(`'[^']*'`)
