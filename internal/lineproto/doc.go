// Package lineproto turns Samples into what is hashed and into canonical line protocol, and says what line protocol cannot carry.
// It owns the two frozen formats (the hashed form and the canonical line); it does no I/O and knows no server.
//
// A canonical line holds one series and one time: measurement, tags sorted by key, fields sorted by name, the shortest decimal
// form of a float that reads back to the same bits, and the time in nanoseconds. What is escaped follows the parser of InfluxDB
// 1.x and 2.x (models/points.go), not the published grammar: there a backslash is literal unless it stands before a character that needs escaping.
package lineproto
