//go:build !linux

package ledger

import "io/fs"

func (p *Place) inspect(info fs.FileInfo) error {
	p.Writable = info.Mode().Perm()&0o200 != 0
	return nil
}
