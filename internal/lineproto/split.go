package lineproto

import (
	"bytes"
	"strconv"
)

// Next returns the first canonical line of b, with its newline, and the rest. Newlines inside quotes belong to the line.
func Next(b []byte) (line, rest []byte) {
	i := keyEnd(b) + 1
	for i < len(b) {
		_, end := field(b, i)
		if end >= len(b) {
			break
		}
		i = end + 1
		if b[end] == ' ' {
			if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
				return b[:i+n+1], b[i+n+1:]
			}
			break
		}
	}
	return b, nil
}

// Count returns the number of canonical lines in b.
func Count(b []byte) (n int) {
	for len(b) > 0 {
		_, b = Next(b)
		n++
	}
	return n
}

// Half splits b between two lines, near its middle; the second part is empty if b is one line.
func Half(b []byte) (first, second []byte) {
	rest := b
	for len(rest) > 0 {
		_, rest = Next(rest)
		if len(rest) <= len(b)/2 {
			if len(rest) == 0 {
				// one line fills more than half of b: split before it
				return splitLast(b)
			}
			return b[:len(b)-len(rest)], rest
		}
	}
	return b, nil
}

func splitLast(b []byte) (first, second []byte) {
	rest := b
	for {
		line, next := Next(rest)
		if len(next) == 0 {
			if at := len(b) - len(line); at > 0 {
				return b[:at], b[at:]
			}
			return b, nil
		}
		rest = next
	}
}

// Fields calls fn with each field of a canonical line as a line of its own; the slice is reused.
func Fields(line []byte, fn func(field, single []byte)) {
	key := keyEnd(line)
	stop := bytes.LastIndexByte(line, ' ')
	var single []byte
	for start := key + 1; start < stop; {
		eq, end := field(line, start)
		single = append(single[:0], line[:key+1]...)
		single = append(single, line[start:end]...)
		single = append(single, line[stop:]...)
		fn(line[start:eq], single)
		start = end + 1
	}
}

// Place returns the escaped key of the first field of a line, and its time.
func Place(line []byte) (field string, time int64) {
	Fields(line, func(f, _ []byte) {
		if field == "" {
			field = string(f)
		}
	})
	at := bytes.LastIndexByte(line, ' ')
	time, _ = strconv.ParseInt(string(bytes.TrimSuffix(line[at+1:], []byte{'\n'})), 10, 64)
	return field, time
}

// Unsigned reports whether a canonical line of one field holds an unsigned integer.
func Unsigned(line []byte) bool {
	at := bytes.LastIndexByte(line, ' ')
	return at > 0 && line[at-1] == 'u'
}

// Key returns the escaped measurement and tags of a canonical line.
func Key(line []byte) []byte { return line[:keyEnd(line)] }

// keyEnd returns where the series key ends: the first space that no backslash precedes.
func keyEnd(b []byte) int {
	for i := 1; i < len(b); i++ {
		if b[i] == ' ' && b[i-1] != '\\' {
			return i
		}
	}
	return len(b)
}

// field returns where the key of the field at b[start] ends (at its equals sign) and where its value ends (at a comma or a space).
func field(b []byte, start int) (eq, end int) {
	eq = start + 1
	for eq < len(b) && (b[eq] != '=' || b[eq-1] == '\\') {
		eq++
	}
	end = eq + 1
	if end < len(b) && b[end] == '"' {
		for end++; end < len(b) && b[end] != '"'; end++ {
			if b[end] == '\\' {
				end++
			}
		}
		return eq, min(end+1, len(b))
	}
	for end < len(b) && b[end] != ',' && b[end] != ' ' {
		end++
	}
	return eq, min(end, len(b))
}
