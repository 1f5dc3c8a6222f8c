package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// clash looks at the buckets that the other mirrors of the config were found to be: one server may have two addresses, and then only identities show
// that two mirrors write the same, or lead in a circle. It returns why this mirror cannot go on, or "".
func (w *wired) clash(ctx context.Context, source, target string) (string, error) {
	all, err := w.site.known(ctx)
	if err != nil {
		return "", err
	}
	source, target = mirror.Whole(source), mirror.Whole(target)
	next := map[string][]string{} // identity → those it is written to
	by := map[[2]string]string{}  // → the mirror
	for _, m := range all {
		if m.Name == w.cfg.Name || m.IsPattern() {
			continue
		}
		pair, name, err := w.site.ledger.Mirror(ctx, m.Name)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		var was endsDoc
		if err == nil {
			_, err = pair.State(ctx, endsNote(m.Name), &was)
		}
		if err != nil {
			return "", err
		}
		if name.Source != m.From.String() || name.Target != m.To.String() {
			continue // the config says otherwise by now
		}
		from, to := mirror.Whole(was.Source), mirror.Whole(was.Target)
		if to == target && !m.Apart(w.cfg) {
			return fmt.Sprintf("mirror %s writes into the same bucket: %s and %s are one; name another bucket in to: of mirror %s, or tell their data apart with add_tags or include, and: influxmirror sync %s",
				pasted(m), m.To, w.cfg.To, pasted(w.cfg), pasted(w.cfg)), nil
		}
		next[from] = append(next[from], to)
		by[[2]string{from, to}] = m.Name
	}
	type step struct {
		at  string
		way []string
	}
	queue, seen := []step{{at: target}}, map[string]bool{target: true}
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		if s.at == source {
			return fmt.Sprintf("mirror %s leads in a circle with %s, for one server has two addresses there: data must not come back to its source; leave one of them out of the config, and: influxmirror sync %s",
				pasted(w.cfg), strings.Join(s.way, ", "), pasted(w.cfg)), nil
		}
		for _, to := range next[s.at] {
			if !seen[to] {
				seen[to] = true
				queue = append(queue, step{to, append(slices.Clone(s.way), by[[2]string{s.at, to}])})
			}
		}
	}
	return "", nil
}
