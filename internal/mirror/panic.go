package mirror

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// Panic is a bug that showed. It says what kind of bug it was and where, and holds no value of any variable: those may be anything, secrets among them.
type Panic struct {
	What  string   // the runtime's words, or the type of what was panicked with
	Stack []string // functions with file and line, the innermost first
}

func (p *Panic) Error() string {
	at := "an unknown place"
	if len(p.Stack) > 0 {
		at = p.Stack[0]
	}
	return fmt.Sprintf("a bug in influxmirror: %s in %s", p.What, at)
}

// Caught runs fn and returns its error, or a *Panic if it panics.
func Caught(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	return fn()
}

// maxStack bounds how many calls of a Panic are kept.
const maxStack = 32

func panicked(v any) *Panic {
	p := &Panic{What: fmt.Sprintf("panic with a %T", v)}
	if e, ok := v.(runtime.Error); ok {
		p.What = e.Error() // speaks of types and numbers
	}
	var pcs [128]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for more := true; more && len(p.Stack) < maxStack; {
		var f runtime.Frame
		if f, more = frames.Next(); f.Function == "" || strings.HasPrefix(f.Function, "runtime.") {
			continue
		}
		p.Stack = append(p.Stack, fmt.Sprintf("%s (%s:%d)", strings.TrimPrefix(f.Function, "influxmirror/internal/"), filepath.Base(f.File), f.Line))
	}
	return p
}
