package influx

import "syscall"

// limitSegments keeps the segments of both directions small (tcp(7), TCP_MAXSEG): the peer is told in the handshake.
func limitSegments(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, smallSegment)
}
