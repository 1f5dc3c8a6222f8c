// Package ledger remembers what is proved: Proofs, exceptions, passes and small notes of each pair of buckets, in one
// SQLite file. It also owns the state directory: its rights, the lock that admits one writer, and the generation that
// finds out that an older ledger was put back.
//
// The ledger is a cache. Losing any part of it costs reading again, never data, so whatever does not check out is
// dropped and counts as not proven. It does not judge what should be proven, does not speak to servers, holds no
// secrets and takes no decision from the local clock.
package ledger
