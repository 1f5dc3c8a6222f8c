// Package archive mirrors into a directory and back out of it with the whole engine, against influxtest.
package archive
