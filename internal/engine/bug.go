package engine

import (
	"errors"
	"strings"

	"influxmirror/internal/mirror"
)

// safely runs what a caller asked of the Mirror. A bug that panics in it, in whichever goroutine, blocks this Mirror and no other. What the Mirror
// holds in memory may be half of something then, so nothing of it is remembered, and it is not to be asked again.
func (m *Mirror) safely(fn func() error) error {
	err := mirror.Caught(fn)
	p := (*mirror.Panic)(nil)
	if b := (*Blocked)(nil); !errors.As(err, &p) || errors.As(err, &b) && b.Cause == error(p) {
		return err
	}
	m.log.Error("a bug in influxmirror: please report it with these lines", "bug", p.What, "stack", strings.Join(p.Stack, " < "))
	return &Blocked{Reason: "mirror " + m.word() + " was stopped by " + p.Error() + "; what is proven is as it was, and nothing else is claimed; to try again: influxmirror sync " + m.word(), Cause: p}
}

// isBug reports whether a panic is the cause of err.
func isBug(err error) bool { return errors.As(err, new(*mirror.Panic)) }
