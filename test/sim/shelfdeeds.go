package sim

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"

	"influxmirror/internal/mirror"
)

// crash ends the first leg inside a step on the archive's disk, by a kill or by a power cut.
func (c *chain) crash() error {
	l := c.legs[0]
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	power := c.rnd.IntN(2) == 0
	rnd := rand.New(rand.NewPCG(c.rnd.Uint64(), 7))
	in := 1 + c.rnd.IntN(40)
	had := stateOf(c.holds(1)).values()
	hurt := c.shelf.hurt
	var left map[string][]byte
	happened := false
	c.disk.lets(func(n int, _, _ string) ill {
		if n < in {
			return ""
		}
		if happened = true; power {
			left = c.disk.cut(rnd)
		}
		c.disk.dead = true
		cancel()
		return failed
	})
	_, _ = l.pass(ctx, true, false, nil)
	l.close()
	c.disk.lets(nil)
	what := "archive: killed"
	if power {
		what = "archive: power lost"
	}
	if !happened {
		what = "archive: closed"
	}
	c.count(what, 1)
	c.note("%s", what)
	var err error
	if left != nil {
		err = c.disk.put(left)
	} else {
		err = c.disk.reset()
	}
	has := stateOf(c.holds(1)).values()
	if c.shelf.hurt > hurt {
		c.say("%s: %d files of the archive are damaged, %d were before", what, c.shelf.hurt, hurt)
	}
	for place := range had {
		if _, ok := has[place]; !ok {
			c.say("%s: the archive lost %s", what, place)
			break
		}
	}
	l.start()
	return err
}

// fail lets steps on the archive's disk go wrong in a Pass of the first leg.
func (c *chain) fail() error {
	l := c.legs[0]
	kind, forGood, nth := diskIlls[c.rnd.IntN(len(diskIlls))], c.rnd.IntN(2) == 0, 1+c.rnd.IntN(40)
	fired := false
	c.disk.lets(func(n int, op, _ string) ill {
		if n = max(n, -n); n < nth || n > nth && !forGood || kind == short && op != "write" {
			return ""
		}
		fired = true
		return kind
	})
	_, _ = l.pass(context.Background(), true, false, nil)
	c.disk.lets(nil)
	if fired {
		c.count("archive: "+string(kind), 1)
		c.note("archive: %s, for good %t", kind, forGood)
	}
	if c.rnd.IntN(2) == 0 {
		l.restart()
		return nil
	}
	// A process that gave its archive up, behind a sync that failed, says so until it is started again.
	if _, err := l.pass(context.Background(), false, false, nil); mirror.KindOf(err) == mirror.Blocked {
		c.count("archive: given up until a restart", 1)
		l.restart()
	}
	return nil
}

// damage does to a file of the archive what disks and people do.
func (c *chain) damage() error {
	pattern, what := "data/*/*.zst", "file"
	if c.rnd.IntN(3) == 0 {
		pattern, what = "data/*/manifest.json", "manifest"
	}
	all, err := filepath.Glob(filepath.Join(c.dir, pattern))
	if err != nil || len(all) == 0 {
		return err
	}
	name := all[c.rnd.IntN(len(all))]
	b, err := os.ReadFile(name)
	if err != nil || len(b) == 0 {
		return err
	}
	how := []string{"bit flipped", "truncated", "deleted"}[c.rnd.IntN(3)]
	switch how {
	case "bit flipped":
		b[c.rnd.IntN(len(b))] ^= 1 << c.rnd.IntN(8)
	case "truncated":
		b = b[:c.rnd.IntN(len(b))]
	}
	c.count("archive: "+what+" "+how, 1)
	c.note("archive: %s %s %s", what, filepath.Base(name), how)
	for _, l := range c.legs {
		l.blind = true
	}
	if how == "deleted" {
		err = os.Remove(name)
	} else {
		err = os.WriteFile(name, b, 0o644)
	}
	return errors.Join(err, c.disk.reset())
}

// copy is a backup of the archive.
func (c *chain) copy() error {
	c.copied = map[string][]byte{}
	for n := range c.disk.names {
		b, err := os.ReadFile(filepath.Join(c.dir, n))
		if err != nil {
			return err
		}
		c.copied[n] = b
	}
	return nil
}

// putBack is that somebody puts the backup back, while nobody writes.
func (c *chain) putBack() error {
	if c.copied == nil {
		return nil
	}
	c.count("archive: an older one is put back", 1)
	c.note("an older archive is put back")
	for _, l := range c.legs {
		l.close()
		l.blind = true
	}
	err := c.disk.put(c.copied)
	for _, l := range c.legs {
		l.start()
	}
	return err
}
