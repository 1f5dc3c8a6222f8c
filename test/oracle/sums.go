package oracle

import (
	"cmp"
	"math/bits"
	"slices"
	"sort"
)

// A Sum is what a fingerprint says of some samples: how many, and their hashes added up modulo 2^128.
type Sum struct{ Count, Hi, Lo uint64 }

func (s Sum) add(hi, lo uint64) Sum {
	var carry uint64
	s.Lo, carry = bits.Add64(s.Lo, lo, 0)
	s.Hi, _ = bits.Add64(s.Hi, hi, carry)
	s.Count++
	return s
}

func (s Sum) sub(t Sum) Sum {
	var borrow uint64
	s.Lo, borrow = bits.Sub64(s.Lo, t.Lo, 0)
	s.Hi, _ = bits.Sub64(s.Hi, t.Hi, borrow)
	s.Count -= t.Count
	return s
}

// Sums tells the Sum of any stretch of time of any measurement.
type Sums map[string]*sums

type sums struct {
	times []int64
	upTo  []Sum // upTo[i] is of the first i samples
}

// SumsOf hashes every sample.
func SumsOf(c Contents) Sums {
	byName := map[string][]Place{}
	for p := range c {
		byName[p.Measurement] = append(byName[p.Measurement], p)
	}
	out := Sums{}
	for name, list := range byName {
		slices.SortFunc(list, func(a, b Place) int { return cmp.Compare(a.Time, b.Time) })
		s := &sums{upTo: make([]Sum, 1, len(list)+1)}
		for _, p := range list {
			hi, lo := Hash(p, c[p])
			s.times, s.upTo = append(s.times, p.Time), append(s.upTo, s.upTo[len(s.upTo)-1].add(hi, lo))
		}
		out[name] = s
	}
	return out
}

// In is the Sum of the samples of a measurement from start on and before stop.
func (s Sums) In(measurement string, start, stop int64) Sum {
	m := s[measurement]
	if m == nil {
		return Sum{}
	}
	at := func(t int64) int { return sort.Search(len(m.times), func(i int) bool { return m.times[i] >= t }) }
	return m.upTo[at(stop)].sub(m.upTo[at(start)])
}
