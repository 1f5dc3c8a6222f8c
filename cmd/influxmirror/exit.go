package main

import (
	"context"
	"errors"
	"slices"

	"influxmirror/internal/config"
	"influxmirror/internal/engine"
	"influxmirror/internal/ledger"
	"influxmirror/internal/mirror"
)

// The exit codes.
const (
	exitOK          = 0   // everything up to the goal is proven, no difference
	exitError       = 1   // anything else
	exitUsage       = 2   // usage or config
	exitIncomplete  = 3   // something is unproven
	exitDifferent   = 4   // differences, or exceptions that are not known
	exitUnreachable = 5   // an end is unreachable, try again
	exitRefused     = 6   // refused by a server
	exitRights      = 7   // the token may not
	exitBlocked     = 8   // needs a decision of the owner
	exitHeld        = 10  // another instance
	exitState       = 11  // ledger or disk
	exitInterrupted = 130 // by a signal
)

// gravest orders exit codes where several mirrors end in several ways.
var gravest = []int{exitInterrupted, exitState, exitHeld, exitUsage, exitBlocked, exitRights, exitRefused, exitDifferent, exitUnreachable, exitError, exitIncomplete, exitOK}

// worst returns the graver of two exit codes.
func worst(a, b int) int {
	if slices.Index(gravest, a) <= slices.Index(gravest, b) {
		return a
	}
	return b
}

// byKind says what an endpoint's error comes to.
var byKind = map[mirror.Kind]int{
	mirror.Unreachable: exitUnreachable,
	mirror.Busy:        exitUnreachable,
	mirror.Broken:      exitUnreachable,
	mirror.Unknown:     exitUnreachable,
	mirror.Foreign:     exitUnreachable,
	mirror.TooLarge:    exitRefused,
	mirror.Rejected:    exitRefused,
	mirror.Rights:      exitRights,
	mirror.Missing:     exitUsage,
	mirror.Blocked:     exitBlocked,
}

// coded is an error with an exit code of its own. An empty text was said before.
type coded struct {
	code int
	err  error
}

func (e *coded) Error() string { return e.err.Error() }
func (e *coded) Unwrap() error { return e.err }

// errSaid stands for what was said already.
var errSaid = errors.New("")

// ended ends a command with a code after everything was said.
func ended(code int) error {
	if code == exitOK {
		return nil
	}
	return &coded{code, errSaid}
}

func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &coded{code, err}
}

// isBug reports whether a panic is the cause of err.
func isBug(err error) bool { return errors.As(err, new(*mirror.Panic)) }

// codeOf returns the exit code for err.
func codeOf(err error) int {
	var own *coded
	var faults *config.Errors
	var held *ledger.HeldError
	var blocked *engine.Blocked
	var schema *ledger.SchemaError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &own):
		return own.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &faults):
		return exitUsage
	case errors.As(err, &held):
		return exitHeld
	case errors.As(err, &blocked):
		return exitBlocked
	case errors.As(err, &schema), errors.Is(err, ledger.ErrDisk), errors.Is(err, ledger.ErrReplaced), errors.Is(err, ledger.ErrDamaged),
		errors.Is(err, ledger.ErrNoLedger), errors.Is(err, ledger.ErrReadOnly):
		return exitState
	}
	if code, ok := byKind[mirror.KindOf(err)]; ok {
		return code
	}
	return exitError
}
