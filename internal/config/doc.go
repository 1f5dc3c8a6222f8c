// Package config turns a configuration file and the environment into a Config, or into the list of everything that is
// wrong with them, each with its line. It owns the format of influxmirror.yaml, the settings.yaml of the old script,
// the variables and secret files that both refer to, and the rule that a secret is never shown.
// It opens no connection and starts no goroutine; whether a server, a bucket or a right exists is for others to find out.
//
// # Values
//
// In every value of influxmirror.yaml (not in keys, and after YAML has been parsed)
//
//	${NAME}           is the variable NAME, which must be set
//	${NAME:-default}  is default where NAME is unset or empty
//	${NAME:?message}  is an error with that message where NAME is unset or empty
//	$${               is a literal ${
//
// and any other $ stays as it is. Values of variables are not expanded again, and settings.yaml knows no variables.
//
// Durations are Go's, with d for days of 24 hours and w for weeks: 30s, 12h, 1d12h, 2w. Times are RFC 3339.
// Relative paths start at the directory of the file; those of secrets at $CREDENTIALS_DIRECTORY first.
package config
