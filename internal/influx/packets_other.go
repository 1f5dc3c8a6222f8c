//go:build !linux

package influx

func limitSegments(uintptr) {}
