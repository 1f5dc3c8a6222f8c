// Package link is a bad long link between two network namespaces, with real TCP over it: two TUN devices joined by a program that delays, paces,
// drops, doubles and reorders packets.
//
// A kernel's own means (netem) are not in every kernel; a TUN device and a namespace are enough for this. It owns packets and namespaces and knows
// nothing of influxmirror; its tests run the real program and real servers across it. The near side is the process of the tests itself, started
// again in a namespace of its own; the far side is one more, which runs the source's server.
package link
