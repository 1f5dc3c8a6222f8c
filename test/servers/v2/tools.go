//go:build tools

// Package v2 pins the InfluxDB 2.7 server that the tests run against.
package v2

import _ "github.com/influxdata/influxdb/v2/cmd/influxd"
