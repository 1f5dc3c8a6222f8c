// Package influx is the client for one bucket on one InfluxDB server: it probes, surveys, reads and writes.
//
// It owns the wire: InfluxQL, msgpack, line protocol bodies, what counts as a whole answer, and which class of error an answer is.
// It holds no state that matters and decides about no retry: a caller that gets an error knows its mirror.Kind and nothing else happened,
// except that after mirror.Unknown a write may have. A Client has no write method; a Target has.
package influx
