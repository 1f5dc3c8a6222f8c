//go:build !linux

package ledger

import "io/fs"

const noFollow = 0

func checkPlace(string, fs.FileInfo) error { return nil }

func names(fs.FileInfo) uint64 { return 1 }

func noSpace(string) bool { return false }
