package mirror

import "fmt"

// Type is the type of a field's value, as one letter; the letter is part of every Sample's hash.
type Type byte

// The five types of InfluxDB.
const (
	Float    Type = 'f'
	Integer  Type = 'i'
	Unsigned Type = 'u'
	Boolean  Type = 'b'
	String   Type = 's'
)

var typeNames = map[Type]string{Float: "float", Integer: "integer", Unsigned: "unsigned", Boolean: "boolean", String: "string"}

func (t Type) String() string { return typeNames[t] }

// ParseType reads InfluxQL's name of a type.
func ParseType(s string) (Type, error) {
	for t, name := range typeNames {
		if s == name {
			return t, nil
		}
	}
	return 0, fmt.Errorf("unknown field type %q", s)
}

// Tag is one key and its value, both raw (unescaped).
type Tag struct{ Key, Value string }

// Sample is one value: series key, field, type, value and time. It is the unit of equality.
type Sample struct {
	Measurement string
	Tags        []Tag // sorted by key, no empty values
	Field       string
	Type        Type
	Bits        uint64 // float bits, integer, unsigned, or 0 and 1; unused for strings
	Text        string // the bytes of a string
	Time        int64
}
