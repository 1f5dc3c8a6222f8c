// Package security drives influxmirror as a process against what is hostile: names that a terminal would obey, links and modes in its directories, streams that
// end, servers that send without end. That no secret is told is shown by the canary test beside the commands.
package security
