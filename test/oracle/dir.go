package oracle

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/klauspost/compress/zstd"
)

// ReadDir returns every sample of an archive that lies in within. It does what an archive promises to anybody: all files data/*/*.zst,
// unpacked and one after the other, are the bucket in line protocol. No manifest is asked.
func ReadDir(dir string, within Span) (Contents, error) {
	lines, err := Unpacked(dir)
	if err != nil {
		return nil, err
	}
	all, err := Parse(lines)
	if err != nil {
		return nil, fmt.Errorf("read archive %s: %w", dir, err)
	}
	for p := range all {
		if !within.Holds(p.Time) {
			delete(all, p)
		}
	}
	return all, nil
}

// Unpacked is what zstdcat data/*/*.zst prints in an archive.
func Unpacked(dir string) ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(dir, "data", "*", "*.zst"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var out []byte
	for _, name := range files {
		packed, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		out, err = unpack(packed, out)
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", name, err)
		}
	}
	return out, nil
}

func unpack(packed, out []byte) ([]byte, error) {
	d, err := zstd.NewReader(nil)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.DecodeAll(packed, out)
}

// Parse reads line protocol with nanoseconds, in which no place comes twice. What only names may not hold for the official parser, though
// servers take it, is hidden from it.
func Parse(lines []byte) (Contents, error) {
	hidden, err := hide(lines)
	if err != nil {
		return nil, err
	}
	out := Contents{}
	d := lineprotocol.NewDecoderWithBytes(hidden)
	for d.Next() {
		if err := parseLine(d, out); err != nil {
			return nil, err
		}
	}
	return out, d.Err()
}

func parseLine(d *lineprotocol.Decoder, out Contents) error {
	name, err := d.Measurement()
	if err != nil {
		return err
	}
	measurement, tags := show(name), map[string]string{}
	for {
		key, value, err := d.NextTag()
		if err != nil {
			return err
		}
		if key == nil {
			break
		}
		if _, twice := tags[show(key)]; twice {
			return fmt.Errorf("tag %q twice", key)
		}
		tags[show(key)] = show(value)
	}
	at := TagsOf(tags)
	values := map[string]string{}
	for {
		key, kind, raw, err := d.NextFieldBytes()
		if err != nil {
			return err
		}
		if key == nil {
			break
		}
		var v any
		unsigned := kind == lineprotocol.Uint
		switch kind {
		case lineprotocol.Float:
			v, err = strconv.ParseFloat(string(raw), 64)
		case lineprotocol.Int:
			v, err = strconv.ParseInt(string(raw), 10, 64)
		case lineprotocol.Uint:
			v, err = strconv.ParseUint(string(raw), 10, 64)
		case lineprotocol.Bool:
			v, err = strconv.ParseBool(string(raw))
		case lineprotocol.String:
			v = show(raw)
		default:
			err = fmt.Errorf("field %q is of kind %v", key, kind)
		}
		if err != nil {
			return err
		}
		if values[show(key)], err = Value(v, unsigned); err != nil {
			return err
		}
	}
	raw, err := d.TimeBytes()
	if err != nil {
		return err
	}
	t, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return fmt.Errorf("time of a line of %q: %w", measurement, err)
	}
	if len(values) == 0 {
		return fmt.Errorf("a line of %q without fields", measurement)
	}
	for field, v := range values {
		if err := out.add(Place{measurement, at, field, t}, v); err != nil {
			return err
		}
	}
	return nil
}

// The official parser takes no control characters and only UTF-8 in names. Such bytes become characters of a private plane before it
// reads, and bytes again behind it.
const private = 0xF0000

func hide(lines []byte) ([]byte, error) {
	out := make([]byte, 0, len(lines))
	for i := 0; i < len(lines); {
		c, n := utf8.DecodeRune(lines[i:])
		switch {
		case c >= private && c < private+256:
			return nil, errors.New("a character of the plane that is used to hide others")
		case c == utf8.RuneError && n == 1, c < ' ' && c != '\n', c == 0x7f:
			out = utf8.AppendRune(out, rune(private+int(lines[i])))
			n = 1
		default:
			out = append(out, lines[i:i+n]...)
		}
		i += n
	}
	return out, nil
}

func show(hidden []byte) string {
	out := make([]byte, 0, len(hidden))
	for i := 0; i < len(hidden); {
		c, n := utf8.DecodeRune(hidden[i:])
		if c >= private && c < private+256 {
			out = append(out, byte(c-private))
		} else {
			out = append(out, hidden[i:i+n]...)
		}
		i += n
	}
	return string(out)
}
