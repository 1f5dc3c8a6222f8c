// Package conformance holds real InfluxDB servers and the in-memory ones of package influxtest to the same answers.
//
// Each case is run on both; whatever it looks at must be equal, and where a case states an answer, both must give that one. Case names carry the
// number of the fact about InfluxDB that they hold. The package owns no server and no code beside its tests.
package conformance
