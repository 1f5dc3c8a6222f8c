package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
)

// handler makes the log for stderr: JSON, coloured lines on a terminal (of the service), else lines as every command says them.
func (a *app) handler(service bool) slog.Handler { return visibleLog{a.format(service)} }

func (a *app) format(service bool) slog.Handler {
	level := slog.LevelInfo
	switch {
	case a.flags.verbose:
		level = slog.LevelDebug
	case a.flags.quiet:
		level = slog.LevelWarn
	}
	switch {
	case a.flags.logFormat == "json":
		return slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level})
	case service && a.terminal && a.flags.logFormat != "text":
		noColor, _ := a.env("NO_COLOR")
		return tint.NewTextHandler(unguarded(a.err), &tint.Options{Level: level, TimeFormat: time.RFC3339, NoColor: noColor != ""})
	}
	journal, _ := a.env("JOURNAL_STREAM") // journald writes the time itself
	return &plain{w: a.err, mu: &sync.Mutex{}, level: level, dated: service && journal == ""}
}

// plain writes records as "influxmirror: [time ][warning: ][mirror: ]message key=value".
type plain struct {
	mu    *sync.Mutex // guards w
	w     io.Writer
	level slog.Level
	dated bool
	attrs []slog.Attr
}

func (h *plain) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level }

func (h *plain) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.attrs = append(append([]slog.Attr{}, h.attrs...), attrs...)
	return &c
}

func (h *plain) WithGroup(string) slog.Handler { return h }

func (h *plain) Handle(_ context.Context, r slog.Record) error {
	var b, rest strings.Builder
	b.WriteString("influxmirror: ")
	if h.dated {
		b.WriteString(r.Time.UTC().Format("2006-01-02T15:04:05Z "))
	}
	switch {
	case r.Level >= slog.LevelError:
		b.WriteString("error: ")
	case r.Level >= slog.LevelWarn:
		b.WriteString("warning: ")
	}
	add := func(a slog.Attr) bool {
		if a.Key == "mirror" {
			fmt.Fprintf(&b, "%s: ", a.Value)
			return true
		}
		v := a.Value.String()
		if strings.ContainsAny(v, " \"=\n\t") {
			v = fmt.Sprintf("%q", v)
		}
		fmt.Fprintf(&rest, " %s=%s", a.Key, v)
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	b.WriteString(r.Message)
	b.WriteString(rest.String())
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}
