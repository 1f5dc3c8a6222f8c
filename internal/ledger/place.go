package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Place is what can be said of a state directory without touching it.
type Place struct {
	Exists   bool
	Mode     fs.FileMode // of the directory; 0 if it does not exist
	At       string      // the directory, or the nearest one above it that exists
	Owner    int         // of At, −1 where the system does not tell
	Remote   string      // the network file system that At is on, or ""
	Writable bool        // for this process: At can hold new files
	Free     int64       // bytes left for this user, −1 where the system does not tell
}

// Look describes the state directory, or where it would be made. It creates nothing.
func Look(dir string) (Place, error) {
	p := Place{At: dir, Owner: -1, Free: -1}
	for {
		info, err := os.Stat(p.At)
		switch {
		case errors.Is(err, fs.ErrNotExist) && filepath.Dir(p.At) != p.At:
			p.At = filepath.Dir(p.At)
			continue
		case err != nil:
			return p, wrap(p.At, "look at the state directory", err)
		case !info.IsDir():
			return p, fmt.Errorf("%s: not a directory", p.At)
		}
		if p.At == dir {
			p.Exists, p.Mode = true, info.Mode()
		}
		return p, p.inspect(info)
	}
}
