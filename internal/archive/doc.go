// Package archive is a directory as an endpoint: it holds one bucket as files that need nothing of ours to be read, canonical line protocol
// packed with zstd, and manifests that say what must be in them. It owns the layout on disk (ARCHITECTURE.md, Formats), how a commit becomes
// visible and durable, and which file is damaged. It knows no server and decides nothing about retries.
//
// One process writes at a time, held by a lock in the directory; any number may read beside it.
package archive
