package config

import "strings"

// selection is a set of names: those that fit an include glob (none: all) and no exclude glob.
type selection struct{ include, exclude []Glob }

func (s selection) has(name string) bool {
	return (len(s.include) == 0 || anyMatch(s.include, name)) && !anyMatch(s.exclude, name)
}

// meets reports whether a name may be in both. It says no only where that is certain.
func (s selection) meets(t selection) bool {
	for _, g := range s.globs() {
		for _, h := range t.globs() {
			switch {
			case !g.meets(h), g.coveredBy(s.exclude), g.coveredBy(t.exclude), h.coveredBy(s.exclude), h.coveredBy(t.exclude):
			case g.literal() && !(s.has(string(g)) && t.has(string(g))), h.literal() && !(s.has(string(h)) && t.has(string(h))):
			default:
				return true
			}
		}
	}
	return false
}

func (s selection) globs() []Glob {
	if len(s.include) == 0 {
		return []Glob{"*"}
	}
	return s.include
}

// literal reports whether the pattern is one name.
func (g Glob) literal() bool { return !isGlob(string(g)) }

// coveredBy reports whether one of the globs matches whatever g matches; it may miss that.
func (g Glob) coveredBy(globs []Glob) bool {
	for _, e := range globs {
		// As text, a * or ? of g can only be matched by a * of e, which takes whatever they stand for.
		if e == g || !strings.Contains(string(e), "?") && e.Match(string(g)) {
			return true
		}
	}
	return false
}

// maxMeet bounds the work of comparing two patterns.
const maxMeet = 1 << 20

// meets reports whether some name fits both patterns.
func (g Glob) meets(h Glob) bool {
	a, b := []rune(g), []rune(h)
	if (len(a)+1)*(len(b)+1) > maxMeet {
		return true
	}
	// next[j] and now[j] say whether the rests a[i+1:] and a[i:] meet b[j:].
	next, now := make([]bool, len(b)+1), make([]bool, len(b)+1)
	for i := len(a); i >= 0; i-- {
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				now[j] = true
			case i < len(a) && a[i] == '*':
				now[j] = next[j] || j < len(b) && now[j+1]
			case j < len(b) && b[j] == '*':
				now[j] = now[j+1] || i < len(a) && next[j]
			default:
				now[j] = i < len(a) && j < len(b) && (a[i] == b[j] || a[i] == '?' || b[j] == '?') && next[j+1]
			}
		}
		next, now = now, next
	}
	return next[0]
}
