// Package engine does the Pass: probe, survey, plan, transfer, report, for one Mirror.
//
// It owns the one law and the order of things: a Cell is recorded as proven only after the source was read to a proven end, every
// write was acknowledged, the target was read back after the last acknowledgement, and FP(source) − FP(excepted) = FP(target) −
// FP(extra). Everything else here may be wrong in speed, never in that. It sees canonical lines and Fingerprints; it does not
// know InfluxQL, files or SQL, and it decides alone what is tried again.
package engine
