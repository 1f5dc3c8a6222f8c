//go:build tools

// Package v1 pins the InfluxDB 1.13 server that the tests run against.
package v1

import _ "github.com/influxdata/influxdb/cmd/influxd"
