// Package process holds the built program, as a process, to what it promises when processes, disks and state directories fail: it is killed
// at named moments of the network and at system calls, system calls fail, its disk fills up, its state is taken away while it runs, it is
// stopped and goes on, it is told to end.
//
// The servers run inside the test, so that both sides can be read exactly at any moment, and every Proof in the ledger that a killed process
// left behind is held against them. It owns no fault of a link (test/proxy, test/link) and no power cut (internal/ledger).
package process
