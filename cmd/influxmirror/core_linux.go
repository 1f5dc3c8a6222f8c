package main

import "golang.org/x/sys/unix"

// noCore keeps what is in memory, the secrets among it, out of core dumps. The limit covers dumps to files; programs that take dumps
// (systemd-coredump, apport) are not bound by it, so the process is no longer dumpable, which keeps other processes of the
// same user from reading its memory as well: core(5), prctl(2). Where either is refused, what the administrator set stays in force.
func noCore() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
