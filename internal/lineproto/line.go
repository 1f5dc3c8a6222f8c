package lineproto

import (
	"math"
	"strconv"
	"strings"

	"influxmirror/internal/mirror"
)

// MaxKey is the longest series key a server takes, in bytes (models.MaxKeyLength).
const MaxKey = 65535

// AppendKey appends the series key: escaped measurement and tags.
func AppendKey(b []byte, measurement string, tags []mirror.Tag) []byte {
	b = appendEscaped(b, measurement, ", ")
	for _, t := range tags {
		b = append(b, ',')
		b = appendEscaped(b, t.Key, ",= ")
		b = append(b, '=')
		b = appendEscaped(b, t.Value, ",= ")
	}
	return b
}

// AppendFieldKey appends the escaped field key and the equals sign.
func AppendFieldKey(b []byte, field string) []byte {
	return append(appendEscaped(b, field, ",= "), '=')
}

// AppendBits appends the value of anything but a string.
func AppendBits(b []byte, t mirror.Type, bits uint64) []byte {
	switch t {
	case mirror.Float:
		return strconv.AppendFloat(b, math.Float64frombits(bits), 'g', -1, 64)
	case mirror.Integer:
		return append(strconv.AppendInt(b, int64(bits), 10), 'i')
	case mirror.Unsigned:
		return append(strconv.AppendUint(b, bits, 10), 'u')
	case mirror.Boolean:
		if bits != 0 {
			return append(b, "true"...)
		}
		return append(b, "false"...)
	}
	panic("lineproto: AppendBits of a string")
}

// AppendQuoted appends the value of a string in quotes.
func AppendQuoted(b []byte, text []byte) []byte {
	b = append(b, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

// AppendLine appends s as a line of its own, with the newline.
func AppendLine(b []byte, s *mirror.Sample) []byte {
	b = append(AppendKey(b, s.Measurement, s.Tags), ' ')
	b = AppendFieldKey(b, s.Field)
	if s.Type == mirror.String {
		b = AppendQuoted(b, []byte(s.Text))
	} else {
		b = AppendBits(b, s.Type, s.Bits)
	}
	b = append(b, ' ')
	b = strconv.AppendInt(b, s.Time, 10)
	return append(b, '\n')
}

func appendEscaped(b []byte, s, special string) []byte {
	for i := 0; i < len(s); i++ {
		if strings.IndexByte(special, s[i]) >= 0 {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return b
}

// UnwritableSeries says why no line can carry the series, or "".
func UnwritableSeries(measurement string, tags []mirror.Tag) string {
	if measurement == "" {
		return "empty measurement name"
	}
	if c := measurement[0]; c == '#' || c == '\t' || c == 0 {
		return "measurement name that starts with " + strconv.Quote(measurement[:1])
	}
	if why := unwritableName(measurement); why != "" {
		return "measurement name " + why
	}
	size := len(measurement)
	for _, t := range tags {
		if t.Key == "time" || t.Key == "" {
			return "tag key " + strconv.Quote(t.Key)
		}
		if why := unwritableName(t.Key); why != "" {
			return "tag key " + why
		}
		if why := unwritableName(t.Value); why != "" {
			return "tag value " + why
		}
		size += len(t.Key) + len(t.Value) + 2
	}
	if size > MaxKey {
		return "series key longer than 65535 bytes"
	}
	return ""
}

// UnwritableField says why no line can carry the field, or "".
func UnwritableField(field string) string {
	if field == "" || field == "time" {
		return "field key " + strconv.Quote(field)
	}
	if c := field[0]; c == '\t' || c == 0 {
		return "field key that starts with " + strconv.Quote(field[:1])
	}
	if strings.Contains(field, `\"`) {
		return "field key with a backslash before a quote"
	}
	if why := unwritableName(field); why != "" {
		return "field key " + why
	}
	return ""
}

// UnwritableBits says why no line can carry the value, or "".
func UnwritableBits(t mirror.Type, bits uint64) string {
	const exponent = 0x7ff << 52
	if t == mirror.Float && bits&exponent == exponent {
		return "NaN or infinite"
	}
	return ""
}

// SplitText is why no line can carry a text with a newline where MisleadsKey or MisleadsField say so.
const SplitText = "text with a newline beside names in which servers lose count of quotes (a backslash before a space, comma or equals sign)"

// MisleadsKey reports whether servers lose count of what is quoted in a line with this escaped series key. They look for the end of a line first, and then a
// character behind an escaped backslash counts as if nothing stood before it (models/points.go, scanLine): a space begins the fields. They may then take a
// newline in a text for the end, and what follows it for a line of its own.
func MisleadsKey(key []byte) bool {
	fields, quoted, open := false, false, 0 // open: equals signs less commas
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case c == '\\':
			i++
		case c == ' ':
			fields = true
		case !fields:
		case !quoted && c == '=':
			open++
		case !quoted && c == ',':
			open--
		case c == '"' && open > 0:
			quoted = !quoted
		}
	}
	return quoted || open != 0
}

// MisleadsField is the same for a field key, as it is.
func MisleadsField(field string) bool {
	run := 0 // of backslashes
	for i := range len(field) {
		switch c := field[i]; {
		case c == '\\':
			run++
			continue
		case run%2 == 1 && (c == ',' || c == '='):
			return true
		}
		run = 0
	}
	return false
}

func unwritableName(s string) string {
	if strings.HasSuffix(s, `\`) {
		return "that ends in a backslash"
	}
	if strings.IndexByte(s, '\n') >= 0 {
		return "with a newline"
	}
	return ""
}
