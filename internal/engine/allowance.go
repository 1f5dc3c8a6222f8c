package engine

import (
	"slices"

	"influxmirror/internal/lineproto"
	"influxmirror/internal/mirror"
)

// allowances are the Samples of a shard group that the ledger lists as refused or extra, by class, field and type. Each is used once.
type allowances map[allowance][]*allowed

type allowance struct {
	class mirror.Class
	field string
	typ   mirror.Type
}

type allowed struct {
	mirror.Exception
	left uint64
}

func enumerated(g mirror.Group) allowances {
	a := allowances{}
	for _, x := range g.Exceptions {
		k := allowance{x.Class, x.Field, x.Type}
		a[k] = append(a[k], &allowed{x, x.Samples.Count})
	}
	return a
}

// take returns which of the lines, all of one Cell or of a part of it, were enumerated. The ledger knows how many there are and what they add up
// to: where just as many lines add up to something else, none is one of them.
func (a allowances) take(class mirror.Class, lines []string) (map[string]bool, error) {
	known := map[string]bool{}
	used := map[*allowed][]string{}
	sums := map[*allowed]mirror.Fingerprint{}
	for _, line := range lines {
		s, err := lineproto.Parse([]byte(line))
		if err != nil {
			return nil, err
		}
		for _, x := range slices.Concat(a[allowance{class, s.Field, s.Type}], a[allowance{class, mirror.AllFields, 0}]) {
			if x.left > 0 && x.Window.Contains(s.Time) {
				x.left--
				known[line] = true
				used[x] = append(used[x], line)
				f := sums[x]
				f.AddHash(lineproto.HashSample(nil, &s))
				sums[x] = f
				break
			}
		}
	}
	for x, f := range sums {
		alike := func(y *allowed) bool { return y != x && y.Window.Overlaps(x.Window) } // which is which cannot be told
		if f.Count == x.Samples.Count && f != x.Samples && !slices.ContainsFunc(a[allowance{class, x.Field, x.Type}], alike) {
			for _, line := range used[x] {
				delete(known, line)
			}
		}
	}
	return known, nil
}
