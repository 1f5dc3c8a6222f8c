package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// guarded is where words of servers and files may come through: whatever a terminal would obey, or show otherwise than it is, is written as \u001b, which
// says the same inside JSON. Newlines stay. What is to move the cursor or colour goes to unguarded.
type guarded struct{ w io.Writer }

func guard(w io.Writer) io.Writer { return &guarded{w} }

// unguarded returns the stream itself.
func unguarded(w io.Writer) io.Writer {
	if g, ok := w.(*guarded); ok {
		return g.w
	}
	return w
}

func (g *guarded) Write(p []byte) (int, error) {
	if s := visible(string(p)); s != string(p) {
		if _, err := io.WriteString(g.w, s); err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return g.w.Write(p)
}

// visible escapes what is neither printable nor a newline.
func visible(s string) string {
	hidden := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
	if utf8.ValidString(s) && !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s { // a byte that is no UTF-8 comes as U+FFFD
		switch {
		case !hidden(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// oneLine is visible, and a newline too.
func oneLine(s string) string { return strings.ReplaceAll(visible(s), "\n", `\n`) }

// visibleLog makes messages visible before they are coloured, and keeps each in its line.
type visibleLog struct{ slog.Handler }

func (h visibleLog) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, oneLine(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(visibleAttr(a))
		return true
	})
	return h.Handler.Handle(ctx, out)
}

func (h visibleLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = visibleAttr(a)
	}
	return visibleLog{h.Handler.WithAttrs(out)}
}

func (h visibleLog) WithGroup(name string) slog.Handler { return visibleLog{h.Handler.WithGroup(name)} }

// visibleAttr leaves what is only text or an error as visible text, and everything else alone.
func visibleAttr(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, oneLine(v.String()))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			return slog.String(a.Key, oneLine(err.Error()))
		}
	}
	return a
}
