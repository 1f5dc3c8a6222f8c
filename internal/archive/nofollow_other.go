//go:build !linux

package archive

const noFollow = 0
