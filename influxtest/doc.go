// Package influxtest is an InfluxDB in memory, for tests: net/http/httptest for programs that talk to InfluxDB 1.x or 2.x.
//
// It answers what a program needs to read, write and compare data over HTTP: /ping, /health, /ready, /metrics, the bucket, organisation
// and DBRP calls of /api/v2, line protocol on /write and /api/v2/write, and InfluxQL on /query in JSON and MessagePack. Where real
// servers have sharp edges (types that differ between shards, the ends of the time axis, answers that are empty instead of refused)
// the edges are here too; test/conformance holds both to the same answers. Faults can be scripted with Server.Fault, and
// Server.Requests tells what was asked.
//
// It does not do Flux, storage on disk, InfluxQL beyond what is listed at Server.query, or speed worth measuring.
package influxtest
