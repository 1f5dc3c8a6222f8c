package config

import (
	"slices"
	"strings"
)

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// didYouMean returns a hint that names the likeliest of the choices, or lists the known where none is near and they are few.
func didYouMean(s string, choices, known []string) string {
	choices = slices.Sorted(slices.Values(choices))
	norm := func(s string) string { return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(s)) }
	best, least := "", len(s)/3+1
	if len(s) <= 64 {
		for _, c := range choices {
			if n := distance(norm(s), norm(c)); n <= least && (best == "" || n < least) {
				best, least = c, n
			}
		}
	}
	switch {
	case best != "":
		return "did you mean " + name(best) + "?"
	case len(known) > 0 && len(known) <= 16:
		shown := make([]string, len(known))
		for i, k := range known {
			shown[i] = name(k)
		}
		return "known: " + strings.Join(shown, ", ")
	}
	return ""
}

// distance counts the edits from a to b: insert, remove, replace, swap two neighbours.
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
