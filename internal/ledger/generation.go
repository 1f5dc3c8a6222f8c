package ledger

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// generation is a new random number each time a ledger is opened and closed for writing, and how often that was. It is
// kept in the ledger and in a file beside it; a ledger put back from a backup does not agree with the file (fault B5).
type generation struct {
	nonce   [16]byte
	counter uint64
}

func (g generation) String() string { return fmt.Sprintf("%x %d", g.nonce, g.counter) }

func parseGeneration(line []byte) (g generation, err error) {
	nonce, counter, _ := bytes.Cut(line, []byte(" "))
	if len(nonce) != hex.EncodedLen(len(g.nonce)) {
		return g, fmt.Errorf("malformed generation %q", line)
	}
	if _, err := hex.Decode(g.nonce[:], nonce); err != nil {
		return g, err
	}
	_, err = fmt.Sscan(string(counter), &g.counter)
	return g, err
}

// readGenerations reads the file: one line, or two while the ledger moves from the first to the second. What is not
// whole counts as absent.
func readGenerations(dir string) ([]generation, error) {
	path := filepath.Join(dir, generationName)
	n, err := size(path)
	if err != nil || n < 0 || n > 4096 {
		return nil, err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []generation
	for line := range bytes.Lines(b) {
		g, err := parseGeneration(bytes.TrimSpace(line))
		if err != nil {
			return nil, nil
		}
		all = append(all, g)
	}
	return all, nil
}

func writeGenerations(dir string, all ...generation) error {
	var b []byte
	for _, g := range all {
		b = fmt.Appendln(b, g)
	}
	return writeFile(dir, generationName, b)
}

// bump moves ledger and file to a new generation. If they disagreed and the ledger was opened before, it marks every pair
// stale in the same transaction and returns true.
func (l *Ledger) bump(ctx context.Context) (stale bool, err error) {
	inFile, err := readGenerations(l.dir)
	if err != nil {
		return false, err
	}
	var next generation
	err = l.write(ctx, func(tx *sql.Tx) error {
		var old generation
		var nonce []byte
		if err := tx.QueryRowContext(ctx, `SELECT nonce, counter FROM ledger`).Scan(&nonce, &old.counter); err != nil {
			return err
		}
		copy(old.nonce[:], nonce)
		var during []generation
		next, during, stale = successor(old, inFile)
		if stale {
			if _, err := tx.ExecContext(ctx, `UPDATE pair SET stale = 1`); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE ledger SET nonce = ?, counter = ?`, next.nonce[:], int64(next.counter))
		if err != nil {
			return err
		}
		return writeGenerations(l.dir, during...)
	})
	if err != nil {
		return false, err
	}
	return stale, writeGenerations(l.dir, next)
}

// successor returns the generation after that of the ledger, what the file names until the ledger has it, and whether
// the ledger is not the one the file speaks of. A crash in between is no disagreement, so the file names both, unless
// they disagreed: then it must not vouch for the old one before the mark is durable.
func successor(ledger generation, file []generation) (next generation, during []generation, stale bool) {
	next.counter = ledger.counter
	for _, g := range file {
		next.counter = max(next.counter, g.counter)
	}
	next.counter = (next.counter + 1) & (1<<62 - 1)
	rand.Read(next.nonce[:])
	if ledger.counter > 0 && !slices.Contains(file, ledger) {
		return next, []generation{next}, true
	}
	return next, []generation{ledger, next}, false
}
