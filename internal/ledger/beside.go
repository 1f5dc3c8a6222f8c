package ledger

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zeebo/xxh3"
)

// besideLimit bounds a document beside the ledger, in bytes.
const besideLimit = 1 << 20

// besideDoc is a document beside the ledger, with the check of its name and body.
type besideDoc struct {
	Name string          `json:"name"`
	Sum  string          `json:"sum"`
	Body json.RawMessage `json:"body"`
}

func besidePath(dir, name string) (in, file string) {
	return dir, fmt.Sprintf("beside-%016x.json", xxh3.HashString(name))
}

func (d besideDoc) sum() string {
	return fmt.Sprintf("%016x", uint64(sumNote("beside", d.Name, d.Body)))
}

// SetBeside keeps a small named document in a state directory, durably and outside the ledger: for what a process has to say that does not hold the
// Lock, while another one does. Of two that do so at a time the last wins.
func SetBeside(dir, name string, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	d := besideDoc{Name: name, Body: body}
	d.Sum = d.sum()
	data, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if len(data) > besideLimit {
		return fmt.Errorf("write %s: %d bytes are too many", name, len(data))
	}
	in, file := besidePath(dir, name)
	return wrap(dir, "write "+name, writeFile(in, file, append(data, '\n')))
}

// Beside reads a document that SetBeside kept, and reports whether there is one. What does not match its check is none.
func Beside(dir, name string, into any) (bool, error) {
	path := filepath.Join(besidePath(dir, name))
	n, err := size(path)
	if err != nil || n < 0 || n > besideLimit {
		return false, wrap(dir, "read "+name, err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return false, wrap(dir, "read "+name, err)
	}
	var d besideDoc
	if json.Unmarshal(data, &d) != nil || d.Name != name || d.sum() != d.Sum {
		return false, nil
	}
	return true, wrap(dir, "read "+name, json.Unmarshal(d.Body, into))
}
