package main

import (
	"errors"
	"fmt"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
)

// swapped refuses to run the old script's settings the other way round where this machine remembers the first way: it was
// how the old script restored a server, and is not what anybody wants by mistake.
func (a *app) swapped(cfg *config.Config) error {
	if cfg.SwappedStateDir == "" || a.flags.stateDir != "" || !hasLedger(cfg.SwappedStateDir) || hasLedger(a.stateDir(cfg)) {
		return nil
	}
	which := "--all"
	if len(cfg.Mirrors) == 1 {
		which = cfg.Mirrors[0].Name
	}
	from, to := cfg.Endpoints[1].Address(), cfg.Endpoints[0].Address()
	return &engine.Blocked{Reason: fmt.Sprintf("%s: LOCAL and REMOTE are swapped: this machine mirrored %s to %s until now, and nothing was written the other way; "+
		"to give %s back what it lost swap them back, and then: influxmirror recover --config %s %s; if it is intended: influxmirror accept %s", cfg.Path, from, to, from, cfg.Path, which, cfg.Mirrors[0].Name)}
}

// hasLedger reports whether anything is remembered in dir, readable or not.
func hasLedger(dir string) bool {
	l, err := ledger.OpenReader(dir)
	if err == nil {
		l.Close()
	}
	return !errors.Is(err, ledger.ErrNoLedger)
}
