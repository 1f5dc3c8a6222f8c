package archive

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"influxmirror/internal/mirror"
)

const (
	layoutVersion = 1
	layoutFormat  = "influxmirror archive"
	// maxDocument bounds what is read of a document: a manifest of a million files.
	maxDocument = 512 << 20
)

// A document is JSON whose first line is {"sha256":"…", and holds the hash of everything behind that line.
const (
	sealHead = `{"sha256":"`
	sealTail = "\",\n"
	sealSize = len(sealHead) + 2*sha256.Size + len(sealTail)
)

var errSeal = errors.New("its first line is not the SHA-256 of the rest")

// seal puts the first line before an object's text without its opening brace.
func seal(body []byte) []byte {
	sum := sha256.Sum256(body)
	out := append(make([]byte, 0, sealSize+len(body)), sealHead...)
	out = hex.AppendEncode(out, sum[:])
	return append(append(out, sealTail...), body...)
}

// unseal proves a document and reads it.
func unseal(doc []byte, into any) error {
	if len(doc) < sealSize || string(doc[:len(sealHead)]) != sealHead || string(doc[sealSize-len(sealTail):sealSize]) != sealTail {
		return errSeal
	}
	var want digest
	if err := want.UnmarshalText(doc[len(sealHead) : sealSize-len(sealTail)]); err != nil || sha256.Sum256(doc[sealSize:]) != want {
		return errSeal
	}
	return json.Unmarshal(doc, into)
}

// root is the document of the whole archive. All but the list of measurements is fixed when it is made.
type root struct {
	Format     string `json:"format"`
	Version    int    `json:"version"`
	ID         string `json:"id"`
	Bucket     text   `json:"bucket"`
	ShardGroup int64  `json:"shard_group_ns"`
	Created    string `json:"created"`
	// Measurements are those that must have a directory, so that a lost one is missed.
	Measurements []text   `json:"measurements"`
	names        []string // the same, sorted
}

func (r *root) lists(measurement string) bool {
	_, ok := slices.BinarySearch(r.names, measurement)
	return ok
}

func (r *root) encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, err
	}
	return seal(append(b[2:], '\n')), nil // without brace and newline
}

// newerError is a layout that this version does not know.
type newerError int

func (e newerError) Error() string {
	return fmt.Sprintf("it is an archive of layout version %d, and this influxmirror knows version %d: use a newer one", int(e), layoutVersion)
}

func decodeRoot(doc []byte) (*root, error) {
	var r root
	if err := unseal(doc, &r); err != nil {
		return nil, err
	}
	switch id, err := hex.DecodeString(r.ID); {
	case r.Format != layoutFormat:
		return nil, fmt.Errorf("its format is %q", r.Format)
	case r.Version > layoutVersion:
		return nil, newerError(r.Version)
	case r.Version != layoutVersion || err != nil || len(id) != 16 || r.ShardGroup <= 0:
		return nil, errors.New("it says what cannot be")
	}
	for _, m := range r.Measurements {
		r.names = append(r.names, string(m))
	}
	slices.Sort(r.names)
	return &r, nil
}

// file is one file of a measurement.
type file struct {
	Generation uint64
	First      int64 // time of the first and of the last line
	Last       int64
	Lines      uint64
	Print      mirror.Fingerprint
	Bytes      int64 // of the lines
	Size       int64 // of the file
	SHA256     digest
}

func (f *file) name() string          { return fileName(f.Generation, f.First, f.Last) }
func (f *file) window() mirror.Window { return mirror.Window{Start: f.First, Stop: f.Last + 1} }

type fileDoc struct {
	Name       string `json:"name"`
	Generation uint64 `json:"generation"`
	First      int64  `json:"first_ns"`
	Last       int64  `json:"last_ns"`
	Lines      uint64 `json:"lines"`
	Samples    uint64 `json:"samples"`
	Sum        string `json:"sum"` // of the hashes of the samples
	Bytes      int64  `json:"bytes"`
	Size       int64  `json:"size"`
	SHA256     digest `json:"sha256"`
}

// manifest says which files hold a measurement. It is never changed, but replaced.
type manifest struct {
	measurement string
	dir         string // of the measurement
	generation  uint64
	tags        []string // every tag key there ever was, sorted
	files       []file   // by time, disjoint
}

type manifestDoc struct {
	Format      string    `json:"format"`
	Version     int       `json:"version"`
	Measurement text      `json:"measurement"`
	Generation  uint64    `json:"generation"`
	Tags        []text    `json:"tag_keys"`
	Files       []fileDoc `json:"files,omitempty"`
}

// encode writes one line for each file.
func (m *manifest) encode() ([]byte, error) {
	head, err := json.Marshal(manifestDoc{Format: layoutFormat, Version: layoutVersion, Measurement: text(m.measurement), Generation: m.generation, Tags: texts(m.tags)})
	if err != nil {
		return nil, err
	}
	b := bytes.NewBuffer(append(head[1:len(head)-1], ",\n\"files\":["...))
	for i := range m.files {
		f := &m.files[i]
		line, err := json.Marshal(fileDoc{f.name(), f.Generation, f.First, f.Last, f.Lines, f.Print.Count, sumOf(f.Print), f.Bytes, f.Size, f.SHA256})
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		b.Write(line)
	}
	b.WriteString("\n]}\n")
	return seal(b.Bytes()), nil
}

func decodeManifest(doc []byte, dir string) (*manifest, error) {
	var d manifestDoc
	if err := unseal(doc, &d); err != nil {
		return nil, err
	}
	switch {
	case d.Format != layoutFormat:
		return nil, fmt.Errorf("its format is %q", d.Format)
	case d.Version > layoutVersion:
		return nil, newerError(d.Version)
	case d.Version != layoutVersion || d.Measurement == "":
		return nil, errors.New("it says what cannot be")
	case dirName(string(d.Measurement)) != dir:
		return nil, fmt.Errorf("it belongs to measurement %q", string(d.Measurement))
	}
	m := &manifest{measurement: string(d.Measurement), dir: dir, generation: d.Generation, files: make([]file, 0, len(d.Files))}
	for _, t := range d.Tags {
		m.tags = append(m.tags, string(t))
	}
	if !slices.IsSorted(m.tags) {
		return nil, errors.New("its tag keys are not sorted")
	}
	before := int64(math.MinInt64)
	for _, f := range d.Files {
		sum, err := hex.DecodeString(f.Sum)
		if err != nil || len(sum) != 16 {
			return nil, fmt.Errorf("file %q: a sum of the wrong length", f.Name)
		}
		e := file{Generation: f.Generation, First: f.First, Last: f.Last, Lines: f.Lines, Bytes: f.Bytes, Size: f.Size, SHA256: f.SHA256,
			Print: mirror.Fingerprint{Count: f.Samples, Hi: binary.BigEndian.Uint64(sum), Lo: binary.BigEndian.Uint64(sum[8:])}}
		if e.First < mirror.MinTime || e.First <= before || e.Last < e.First || e.Last > mirror.MaxTime || e.Lines == 0 || e.Lines > e.Print.Count ||
			e.Bytes <= 0 || e.Size <= 0 || e.Generation == 0 || e.Generation > m.generation || f.Name != e.name() {
			return nil, fmt.Errorf("file %q: it says what cannot be", f.Name)
		}
		before = e.Last
		m.files = append(m.files, e)
	}
	return m, nil
}

func sumOf(f mirror.Fingerprint) string {
	return hex.EncodeToString(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, f.Hi), f.Lo))
}

// overlapping returns the files that may hold something of w.
func (m *manifest) overlapping(w mirror.Window) []file {
	i, _ := slices.BinarySearchFunc(m.files, w.Start, func(f file, t int64) int { return cmp.Compare(f.Last, t) })
	j := i
	for j < len(m.files) && m.files[j].First < w.Stop {
		j++
	}
	return m.files[i:j]
}

// digest is a SHA-256.
type digest [sha256.Size]byte

// MarshalText writes it in hexadecimal.
func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *digest) UnmarshalText(b []byte) error {
	if len(b) == 2*len(d) {
		if _, err := hex.Decode(d[:], b); err == nil && hex.EncodeToString(d[:]) == string(b) {
			return nil
		}
	}
	return fmt.Errorf("%q is not a SHA-256 in lower-case hexadecimal", b)
}

// text is a name that need not be UTF-8, which JSON cannot say: such a one is written as {"base64":"…"}.
type text string

type base64Doc struct {
	Base64 string `json:"base64"`
}

// MarshalJSON keeps every byte.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return json.Marshal(base64Doc{base64.StdEncoding.EncodeToString([]byte(t))})
}

// UnmarshalJSON reads both forms.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(t))
	}
	var d base64Doc
	if err := json.Unmarshal(b, &d); err != nil {
		return err
	}
	raw, err := base64.StdEncoding.DecodeString(d.Base64)
	*t = text(raw)
	return err
}

func texts(list []string) []text {
	out := make([]text, len(list))
	for i, s := range list {
		out[i] = text(s)
	}
	return out
}
