package config

import (
	"bytes"
	"os"
	"regexp"
	"testing"
)

// archive is several files in one, in the txtar format.
type archive struct {
	Comment []byte
	Files   []file
}

type file struct {
	Name string
	Data []byte
}

var marker = regexp.MustCompile(`(?m)^-- (\S+) --\n`)

func readArchive(t testing.TB, path string) archive {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	marks := marker.FindAllSubmatchIndex(text, -1)
	if len(marks) == 0 {
		t.Fatalf("%s holds no files", path)
	}
	a := archive{Comment: text[:marks[0][0]]}
	for i, m := range marks {
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		a.Files = append(a.Files, file{string(text[m[2]:m[3]]), text[m[1]:end]})
	}
	return a
}

func (a archive) format() []byte {
	out := bytes.NewBuffer(bytes.Clone(a.Comment))
	for _, f := range a.Files {
		out.WriteString("-- " + f.Name + " --\n")
		out.Write(f.Data)
	}
	return out.Bytes()
}
