package main

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// canaries are secrets by what they are for. None of them may be anywhere: not whole, not encoded, and no part of more than fifteen characters.
type canaries map[string]string

func (c canaries) add(name string) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	b := make([]byte, 60)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	c[name] = string(b) + "=="
}

const needle = 12

// needles are parts of all forms of the canaries, so many that each part of 15 bytes holds one.
func (c canaries) needles() map[string]string {
	out := map[string]string{}
	for name, v := range c {
		for form, text := range map[string]string{
			"": v, " (URL-encoded)": url.QueryEscape(v), " (hex)": hex.EncodeToString([]byte(v)), " (HEX)": strings.ToUpper(hex.EncodeToString([]byte(v))), " (backwards)": backwards(v),
			" (base64)": inner64(base64.StdEncoding, v, 0), " (base64+1)": inner64(base64.StdEncoding, v, 1), " (base64+2)": inner64(base64.StdEncoding, v, 2),
			" (base64url)": inner64(base64.URLEncoding, v, 0), " (base64url+1)": inner64(base64.URLEncoding, v, 1), " (base64url+2)": inner64(base64.URLEncoding, v, 2),
		} {
			for i := 0; i+needle <= len(text); i += 4 {
				out[text[i:i+needle]] = name + form
			}
		}
	}
	return out
}

// inner64 is how v looks inside the base64 of something longer, behind so many bytes.
func inner64(e *base64.Encoding, v string, before int) string {
	s := e.EncodeToString([]byte(strings.Repeat("x", before) + v))
	return s[4 : len(s)-4]
}

func backwards(s string) string {
	b := []byte(s)
	for i := range len(b) / 2 {
		b[i], b[len(b)-1-i] = b[len(b)-1-i], b[i]
	}
	return string(b)
}

// find returns which canary is in text.
func (c canaries) find(text []byte) string {
	all := c.needles()
	for i := 0; i+needle <= len(text); i++ {
		if name, ok := all[string(text[i:i+needle])]; ok {
			return name
		}
	}
	for i := 0; ; { // what was packed
		j := bytes.Index(text[i:], []byte{0x1f, 0x8b, 8})
		if j < 0 {
			break
		}
		i += j
		if z, err := gzip.NewReader(bytes.NewReader(text[i:])); err == nil {
			inside, _ := io.ReadAll(io.LimitReader(z, 16<<20))
			if name := c.find(inside); name != "" {
				return name + " in gzip"
			}
		}
		i++
	}
	if bytes.HasPrefix(text, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		if z, err := zstd.NewReader(bytes.NewReader(text)); err == nil {
			defer z.Close()
			inside, _ := io.ReadAll(io.LimitReader(z, 64<<20))
			if name := c.find(inside); name != "" {
				return name + " in zstd"
			}
		}
	}
	return ""
}

func (c canaries) hunt(t *testing.T, where string, text []byte) {
	t.Helper()
	if name := c.find(text); name != "" {
		t.Errorf("%s holds the %s", where, name)
		if testing.Verbose() {
			t.Logf("%.3000s", text)
		}
	}
}

// huntTree looks into every file, and into every value of every table: in the file a value may be cut by the end of a page.
func (c canaries) huntTree(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		c.hunt(t, path, append([]byte(e.Name()+"\n"), b...))
		if bytes.HasPrefix(b, []byte("SQLite format 3\x00")) {
			c.hunt(t, "the tables of "+path, tables(path))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// tables is all that a database holds; of a damaged one what can be read.
func tables(path string) []byte {
	var out bytes.Buffer
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		return nil
	}
	defer db.Close()
	column := func(query string) (all []string) {
		rows, err := db.Query(query)
		if err != nil {
			return nil
		}
		defer rows.Close()
		for rows.Next() {
			names, _ := rows.Columns()
			values := make([]any, len(names))
			for i := range values {
				values[i] = new(any)
			}
			if rows.Scan(values...) != nil {
				break
			}
			for _, v := range values {
				text := fmt.Sprint(*v.(*any))
				if b, ok := (*v.(*any)).([]byte); ok {
					text = string(b)
				}
				all = append(all, text)
			}
		}
		return all
	}
	for _, name := range column(`SELECT name FROM sqlite_schema WHERE type = 'table'`) {
		for _, v := range column(`SELECT * FROM "` + name + `"`) {
			out.WriteString(v + "\n")
		}
	}
	return out.Bytes()
}

// TestCanariesAreFound: a search that finds nothing proves something only if it finds what is there.
func TestCanariesAreFound(t *testing.T) {
	c := canaries{}
	c.add("token")
	v := c["token"]
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte("Authorization: Token " + v))
	_ = z.Close()
	for name, text := range map[string]string{
		"as it is": "x" + v + "y", "its middle": v[20:36], "its beginning, cut": "Token " + v[:15] + "…", "for a URL": "/?t=" + url.QueryEscape(v), "hex": hex.EncodeToString([]byte(v)),
		"in Basic": base64.StdEncoding.EncodeToString([]byte("reader:" + v)), "in base64url": base64.URLEncoding.EncodeToString([]byte("ab:" + v)),
		"quoted": fmt.Sprintf("%q", v), "packed": "junk" + packed.String(),
	} {
		if c.find([]byte(text)) == "" {
			t.Errorf("%s: it is not found in %q", name, text)
		}
	}
	if name := c.find([]byte(strings.Repeat("nothing to see here ", 100))); name != "" {
		t.Errorf("found %s", name)
	}
	dir := t.TempDir()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`CREATE TABLE t (a TEXT, b BLOB)`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`INSERT INTO t VALUES ('x', ?)`, []byte(v)); err != nil {
		t.Fatal(err)
	}
	if c.find(tables(filepath.Join(dir, "x.db"))) == "" {
		t.Error("it is not found in a table")
	}
}
