package mirror

import "errors"

// ErrFull is wrapped by what a Ledger returns when its disk has no room: nothing was stored, and as soon as somebody makes room a later try succeeds.
var ErrFull = errors.New("full")
