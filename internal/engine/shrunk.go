package engine

import (
	"fmt"
	"time"

	"influxmirror/internal/mirror"
)

// loadTime is how long after a restart of the source its shards may still be loading. Until then fewer samples than were proven are not
// taken for a fact: the shard groups concerned wait, and what is known of them stays.
const loadTime = 3600 * second

// shrink is what a look found the source to hold less of than was proven.
type shrink struct {
	groups  int
	samples uint64
}

// restarted notes when the source was found to have been restarted, or may have been.
func (m *Mirror) restarted(e ends) {
	was, now := m.seen.Source.Started, e.src.Counters.Started
	unknown := !m.seenKnown && len(m.sums) > 0 // an older ledger was put back: the restart may have been in between
	if now != "" && (m.seenKnown && was != "" && was != now || unknown) {
		m.seen.Restarted = e.src.Date
	}
}

// loading reports whether the source was restarted so lately that it may not show everything yet.
func (m *Mirror) loading(e ends) bool {
	return m.seen.Restarted != 0 && e.src.Date-m.seen.Restarted < loadTime
}

// shrank reports whether the source counts fewer Samples in a shard group than were proven, of those it keeps, and whether that has to wait.
// Otherwise it is taken for what it is: what is gone stays on the target, is enumerated as extra, and is said once.
func (m *Mirror) shrank(e ends, s mirror.Summary, source, target uint64, found *shrink) (wait bool) {
	k, had := key{s.Measurement, s.Window.Start}, s.Source
	if m.loading(e) && !m.Recover { // who is given back what it lost has more of its own
		had = max(had, target-min(target, s.Extra)) // what was copied and is not proven was there as well
	}
	if source >= had || s.Window.Start < e.policy.SourceFloor {
		delete(m.fewer, k)
		return false
	}
	if m.loading(e) {
		found.groups++
		found.samples += had - source
		return true
	}
	if m.fewer[k] != source+1 {
		m.fewer[k] = source + 1
		if m.gone.groups++; m.gone.groups == 1 {
			m.goneFirst = k
		}
		m.gone.samples += had - source
		m.log.Debug("the source holds fewer samples than were proven", "measurement", s.Measurement, "window", s.Window, "samples", had-source)
	}
	return false
}

// tell says once what the last look found to be gone.
func (m *Mirror) tell(e ends) {
	if f := m.gone; f.groups > 0 {
		m.observe(Event{Kind: "alarm", Err: fmt.Errorf("source bucket %s holds %d samples fewer than were proven, in %d shard groups, one of them %q %s: deleted there, or lost; the target keeps them",
			e.src.Bucket, f.samples, f.groups, m.goneFirst.measurement, e.policy.Grid.Group(m.goneFirst.start))})
	}
	m.gone = shrink{}
}

// say is one sentence for the Report.
func (f shrink) say(e ends, restarted int64) string {
	return fmt.Sprintf("source bucket %s shows %d samples less than were proven, in %d shard groups, since its server was restarted; waiting until %s for it to load them; nothing is changed meanwhile",
		e.src.Bucket, f.samples, f.groups, time.Unix(0, restarted+loadTime).UTC().Format("15:04Z"))
}
