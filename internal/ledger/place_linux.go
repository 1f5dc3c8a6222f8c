package ledger

import (
	"io/fs"
	"syscall"
)

func (p *Place) inspect(info fs.FileInfo) error {
	const writeAndEnter = 2 | 1 // W_OK and X_OK of access(2)
	p.Writable = syscall.Access(p.At, writeAndEnter) == nil
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		p.Owner = int(st.Uid)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(p.At, &st); err != nil {
		return wrap(p.At, "look at the file system", err)
	}
	p.Remote = remote[uint32(st.Type)]
	p.Free = int64(st.Bavail) * int64(st.Bsize)
	return nil
}
