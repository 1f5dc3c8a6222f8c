package main

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"

	"influxmirror/internal/ledger"
)

// Free space of the state's disk below which doctor fails and warns. A ledger of ten years of one bucket is some MB.
const (
	tooLittleFree = 32 << 20
	littleFree    = 256 << 20
)

// configuration looks at what is on this machine: the config and the state directory.
func (d *doctor) configuration(_ context.Context) {
	c := d.chapter(chapter{title: "config  " + d.cfg.Path})
	mode := ""
	if info, err := os.Stat(d.cfg.Path); err == nil {
		mode = fmt.Sprintf("mode %04o, ", info.Mode().Perm())
	}
	c.ok("file", "%s%s, %s", mode, count(len(d.cfg.Endpoints), "endpoint"), count(len(d.cfg.Mirrors), "mirror"))
	for _, w := range d.cfg.Warnings {
		found, hint := cutHint(w)
		c.warn("file", found, hint)
	}
	if err := d.swapped(d.cfg); err != nil {
		c.failed("direction", err)
	}
	d.state(c)
}

func (d *doctor) state(c *chapter) {
	p, err := ledger.Look(d.dir)
	if err != nil {
		c.failed("state", withCode(exitState, err), "state_dir: another directory")
		return
	}
	self := selfID()
	switch {
	case p.Remote != "":
		c.fail(exitState, "state", fmt.Sprintf("%s is on %s, where locks cannot be trusted", d.dir, p.Remote), "state_dir: a directory on a local disk")
		return
	case p.Exists && p.Owner >= 0 && p.Owner != self:
		name := userName(p.Owner)
		found := fmt.Sprintf("%s belongs to user %s, this process runs as %s", d.dir, name, userName(self))
		next := "sudo -u " + name + " influxmirror doctor --config " + d.cfg.Path
		if self == 0 { // who reads everything cannot say what that user can
			c.warn("state", found, next)
		} else {
			c.fail(exitState, "state", found, next)
		}
	case !p.Writable && p.Exists:
		c.fail(exitState, "state", d.dir+" cannot be written by this user", "chmod 0700 "+d.dir+"; or another one: state_dir: …")
	case !p.Writable:
		c.fail(exitState, "state", fmt.Sprintf("%s does not exist, and %s cannot be written by user %s", d.dir, p.At, userName(self)),
			fmt.Sprintf("sudo install -d -m 0700 -o %s %s; or another one: state_dir: …", userName(self), d.dir))
	case !p.Exists:
		c.ok("state", "%s will be made", d.dir)
	case p.Mode.Perm()&0o077 != 0:
		c.warn("state", fmt.Sprintf("%s is open to others (mode %04o); the next run closes it", d.dir, p.Mode.Perm()), "chmod 0700 "+d.dir)
	default:
		c.ok("state", "%s, mode %04o", d.dir, p.Mode.Perm())
	}
	switch {
	case p.Free < 0:
	case p.Free < tooLittleFree:
		c.fail(exitState, "free space", bytesOf(p.Free)+" left for the ledger; without room nothing can be recorded, and mirroring stops", "df -h "+p.At)
	case p.Free < littleFree:
		c.warn("free space", bytesOf(p.Free)+" left for the ledger", "df -h "+p.At)
	default:
		c.ok("free space", "%s", bytesOf(p.Free))
	}
	d.running(c)
}

// running tells of a running instance and opens the ledger to read where there is one: a pattern's buckets are in it.
func (d *doctor) running(c *chapter) {
	held, err := ledger.Holder(d.dir)
	switch {
	case err != nil:
		c.failed("instance", withCode(exitState, err))
		return
	case held != nil:
		c.ok("instance", "running: %s", heldBy(held))
	default:
		c.ok("instance", "none is running here")
	}
	s, err := d.open(d.cfg, reads)
	if err != nil {
		c.failed("ledger", err)
		return
	}
	d.ledger = s.ledger
}

func userName(id int) string {
	if u, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return u.Username
	}
	return strconv.Itoa(id)
}
