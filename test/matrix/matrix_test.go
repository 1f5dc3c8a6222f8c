package matrix

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

// plain reports whether a run without -all lives through a cell: the core scenarios in every direction, the others in some.
func plain(s scenario, from, to kind) bool {
	if s.core {
		return true
	}
	return slices.Contains([][2]string{{"2.7.12", "2.7.12"}, {"1.13.2", "2.7.12"}, {"2.7.12", "dir"}, {"dir", "2.7.12"}}, [2]string{from.name, to.name})
}

// Every direction, every scenario.
func TestMatrix(t *testing.T) {
	results := &table{cells: map[[3]string]string{}}
	var chosen int
	t.Run("cells", func(t *testing.T) {
		for _, s := range scenarios {
			for _, from := range kinds {
				for _, to := range kinds {
					word := s.absent(from, to)
					switch {
					case word != "":
						results.set(s, from, to, word)
						continue
					case !*all && !plain(s, from, to):
						continue
					}
					chosen++
					t.Run(strings.Join([]string{s.name, from.name, to.name}, "/"), func(t *testing.T) {
						t.Parallel()
						defer func() {
							switch {
							case t.Failed():
								results.set(s, from, to, "FAILED")
							case !t.Skipped():
								results.set(s, from, to, "✓")
							}
						}()
						s.run(t, from, to)
					})
				}
			}
		}
	})
	if n := results.lived(); n != chosen {
		t.Logf("%d of %d cells were lived through: the table is not looked at", n, chosen)
		return
	}
	if !*all && !t.Failed() {
		inReadme(t, results.markdown())
	}
}

// table holds what the cells came to: scenario, from, to → a word.
type table struct {
	mu    sync.Mutex
	cells map[[3]string]string
}

func (r *table) set(s scenario, from, to kind, word string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cells[[3]string{s.name, from.name, to.name}] = word
}

// lived counts the cells that were run to their end.
func (r *table) lived() (n int) {
	for _, word := range r.cells {
		if word == "✓" || word == "FAILED" {
			n++
		}
	}
	return n
}

// markdown writes a row for each direction and a column for each scenario.
func (r *table) markdown() string {
	var b strings.Builder
	b.WriteString("| from → to |")
	for _, s := range scenarios {
		b.WriteString(" " + s.name + " |")
	}
	b.WriteString("\n|---|" + strings.Repeat(":-:|", len(scenarios)) + "\n")
	for _, from := range kinds {
		for _, to := range kinds {
			b.WriteString("| " + from.name + " → " + to.name + " |")
			for _, s := range scenarios {
				word := r.cells[[3]string{s.name, from.name, to.name}]
				if word == "" {
					word = "·"
				}
				b.WriteString(" " + word + " |")
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}
