// Package mirror holds the vocabulary that every other package speaks: windows, cells, chunks, fingerprints, surveys,
// proofs, exceptions, probes and the classes of errors. It owns values only: nothing here does I/O, keeps time or knows a server.
package mirror
