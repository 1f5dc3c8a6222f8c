package ledger

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

const noFollow = syscall.O_NOFOLLOW

// Magic numbers of network file systems (linux/magic.h and fs/smb/client): neither locks nor SQLite's shared index
// can be trusted there.
var remote = map[uint32]string{0x6969: "NFS", 0xff534d42: "CIFS", 0xfe534d42: "SMB", 0x517b: "SMB", 0x00c36400: "Ceph"}

// checkPlace refuses a directory of another user and one on a network file system.
func checkPlace(dir string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s: the state directory belongs to user %d, this process runs as user %d", dir, st.Uid, os.Geteuid())
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return wrap(dir, "look at the file system", err)
	}
	if name, ok := remote[uint32(st.Type)]; ok {
		return fmt.Errorf("%s: the state directory is on %s, where locks cannot be trusted; use a local disk", dir, name)
	}
	return nil
}

// names returns how many names a file has.
func names(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}

// noSpace reports whether dir's file system has no room left for this user.
func noSpace(dir string) bool {
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) == nil && st.Bavail == 0
}
