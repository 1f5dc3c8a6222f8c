package archive

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zeebo/xxh3"
)

const (
	rootName     = "archive.json"
	readmeName   = "README.txt"
	lockName     = ".lock"
	dataName     = "data"
	tmpName      = "tmp"
	manifestName = "manifest.json"
	// liveSuffix is of files that are part of the archive and of nothing else: zstdcat data/*/*.zst is the whole bucket.
	liveSuffix    = ".lp.zst"
	damagedSuffix = ".damaged"
	// maxDirName leaves room for what file systems and tools put around a name; the limit is 255 bytes.
	maxDirName = 200
)

// dirName returns the directory of a measurement: the name itself where it is of a-z, 0-9, _ and -, and dots inside it. An upper-case
// letter is + and the lower-case one, because two names may not become one where case does not count; any other byte is % and two
// digits. A name that becomes too long ends in ~ and its hash; the manifest holds the true name of every one.
func dirName(measurement string) string {
	var b strings.Builder
	for i := 0; i < len(measurement); i++ {
		switch c := measurement[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '-', c == '.' && i > 0 && i < len(measurement)-1:
			b.WriteByte(c)
		case 'A' <= c && c <= 'Z':
			b.WriteByte('+')
			b.WriteByte(c + 'a' - 'A')
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	name := b.String()
	if len(name) > maxDirName {
		sum := xxh3.Hash128([]byte(measurement)).Bytes()
		name = name[:maxDirName-33] + "~" + hex.EncodeToString(sum[:])
	}
	return name
}

// measurementOf is the inverse of dirName; ok is false for names that were shortened and for what dirName never returns.
func measurementOf(dir string) (measurement string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(dir); i++ {
		switch c := dir[i]; {
		case c == '+' && i+1 < len(dir):
			i++
			b.WriteByte(dir[i] - 'a' + 'A')
		case c == '%' && i+2 < len(dir):
			n, err := strconv.ParseUint(dir[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			b.WriteByte(byte(n))
			i += 2
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), dir != "" && dirName(b.String()) == dir
}

// fileName begins with the generation, so that a glob lists what is newer behind what it replaces, and then says where the first and the
// last line lie.
func fileName(generation uint64, first, last int64) string {
	return fmt.Sprintf("%012d_%s_%s%s", generation, fileTime(first), fileTime(last), liveSuffix)
}

func fileTime(t int64) string { return time.Unix(0, t).UTC().Format("20060102T150405.999999999Z") }

// generationOf reads the generation of a file's name back.
func generationOf(name string) (uint64, bool) {
	number, _, ok := strings.Cut(name, "_")
	n, err := strconv.ParseUint(number, 10, 64)
	return n, ok && err == nil && n > 0
}
