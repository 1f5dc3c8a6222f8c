package archive

import (
	"bytes"
	"testing"
)

// FuzzManifest: whatever a manifest says, sealed or not, is refused or comes back byte for byte, and names no file outside.
func FuzzManifest(f *testing.F) {
	m := &manifest{measurement: "m", dir: "m", generation: 3, tags: []string{"a", "\xff"}, files: []file{
		{Generation: 2, First: -5, Last: 5, Lines: 2, Bytes: 50, Size: 40}, {Generation: 3, First: 6, Last: 6, Lines: 1, Bytes: 50, Size: 40}}}
	for i := range m.files {
		m.files[i].Print.Count = 7
	}
	doc, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(doc[sealSize:], false)
	f.Add(doc, true)
	f.Add([]byte(`"format":"influxmirror archive","version":1,"measurement":"m","files":null}`), false)
	f.Fuzz(func(t *testing.T, doc []byte, raw bool) {
		if !raw {
			doc = seal(doc)
		}
		_, _ = decodeRoot(doc)
		m, err := decodeManifest(doc, "m")
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		n, err := decodeManifest(again, "m")
		if err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		twice, err := n.encode()
		if err != nil || !bytes.Equal(again, twice) {
			t.Fatalf("%v: %s", err, twice)
		}
		for i := range m.files {
			if name := m.files[i].name(); bytes.ContainsAny([]byte(name), "/\\") {
				t.Fatal(name)
			}
		}
	})
}
