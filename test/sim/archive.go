package sim

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"influxmirror/influxtest"
	"influxmirror/test/oracle"
)

var unzstd, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))

// shelf reads an archive as its format promises, by other means than the product's: what its manifests name and what is sound.
type shelf struct {
	dir   string
	hurt  int                            // damaged files that the manifests name, when it was last read
	parts map[string][]influxtest.Sample // by the digest of a file, which says what is in it
}

// dump returns all that the archive holds. What a damaged file or manifest held is not there.
func (s *shelf) dump() (all []influxtest.Sample, err error) {
	manifests, err := filepath.Glob(filepath.Join(s.dir, "data", "*", "manifest.json"))
	if err != nil {
		return nil, err
	}
	s.hurt = 0
	for _, name := range manifests {
		doc, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		first, rest, _ := bytes.Cut(doc, []byte("\n"))
		var m struct {
			Files []struct{ Name, SHA256 string }
		}
		sum := sha256.Sum256(rest)
		if !bytes.Contains(first, []byte(hex.EncodeToString(sum[:]))) || json.Unmarshal(doc, &m) != nil {
			continue
		}
		for _, f := range m.Files {
			packed, err := os.ReadFile(filepath.Join(filepath.Dir(name), f.Name))
			if errors.Is(err, fs.ErrNotExist) {
				s.hurt++
				continue
			}
			if err != nil {
				return nil, err
			}
			sum := sha256.Sum256(packed)
			if hex.EncodeToString(sum[:]) != f.SHA256 {
				s.hurt++
				continue
			}
			part, known := s.parts[f.SHA256]
			if !known {
				lines, err := unzstd.DecodeAll(packed, nil)
				if err != nil {
					return nil, err
				}
				c, err := oracle.Parse(lines)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", f.Name, err)
				}
				part = samplesOf(c)
				s.parts[f.SHA256] = part
			}
			all = append(all, part...)
		}
	}
	slices.SortStableFunc(all, func(a, b influxtest.Sample) int { return cmp.Compare(a.Measurement, b.Measurement) })
	return all, nil
}

// samplesOf turns what the judge read into what the double shows.
func samplesOf(c oracle.Contents) []influxtest.Sample {
	out := make([]influxtest.Sample, 0, len(c))
	for p, v := range c {
		s := influxtest.Sample{Measurement: p.Measurement, Field: p.Field, Time: p.Time}
		for _, t := range tagsOf(p.Tags) {
			s.Tags = append(s.Tags, influxtest.Tag{Key: t[0], Value: t[1]})
		}
		if v[0] == 's' {
			s.Value = v[1:]
		} else {
			n := binary.BigEndian.Uint64([]byte(v[1:]))
			s.Value = map[byte]any{'f': math.Float64frombits(n), 'i': int64(n), 'u': n, 'b': n == 1}[v[0]]
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b influxtest.Sample) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), strings.Compare(place(a), place(b)))
	})
	return out
}

// tree is a digest of all that lies in a directory, but for locks.
func tree(dir string) (string, error) {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == ".lock" {
			return err
		}
		b, err := os.ReadFile(name)
		fmt.Fprintf(h, "%s %x\n", name, sha256.Sum256(b))
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// tagsOf undoes oracle.TagsOf.
func tagsOf(s string) (out [][2]string) {
	for len(s) > 0 {
		var tag [2]string
		for i := range tag {
			n := binary.BigEndian.Uint32([]byte(s))
			tag[i], s = s[4:4+n], s[4+n:]
		}
		out = append(out, tag)
	}
	return out
}
