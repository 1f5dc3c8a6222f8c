// Command influxmirror mirrors an InfluxDB bucket to another InfluxDB and proves that both are equal.
//
// This package owns the commands, their words, exit codes and log lines, and hands the packages below to each other. What is copied,
// compared and believed is decided in engine; what a server understands is known in influx; what is remembered is kept in ledger.
package main
