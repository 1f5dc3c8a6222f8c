package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID marks the file as ours in its header: "iflx".
const applicationID = 0x69666c78

//go:embed migrations/*.sql
var migrationFiles embed.FS

// steps returns the migrations in order; step i brings a ledger from schema i to i+1. A step may not touch
// application_id, user_version and ledger.schema, which migrate keeps.
func steps() []string {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		panic(err)
	}
	slices.Sort(names)
	var all []string
	for _, name := range names {
		b, err := migrationFiles.ReadFile(name)
		if err != nil {
			panic(err)
		}
		all = append(all, string(b))
	}
	return all
}

// migrate brings the ledger from schema have to the newest, in one transaction. A copy of the old one is kept aside.
func (l *Ledger) migrate(ctx context.Context, steps []string, have int) error {
	if have == len(steps) {
		return nil
	}
	if have > 0 {
		name, err := freeName(l.dir, fmt.Sprintf("ledger.schema-%d", have))
		if err != nil {
			return err
		}
		kept := filepath.Join(l.dir, name)
		if err = makePrivate(kept); err == nil {
			_, err = l.w.ExecContext(ctx, `VACUUM INTO ?`, kept)
		}
		if err == nil {
			err = l.apply(ctx, steps, have)
		}
		if err != nil {
			os.Remove(kept) // the original is as it was
		}
		return err
	}
	return l.apply(ctx, steps, have)
}

func (l *Ledger) apply(ctx context.Context, steps []string, have int) error {
	return l.write(ctx, func(tx *sql.Tx) error {
		for _, step := range steps[have:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return err
			}
		}
		for _, q := range []string{
			fmt.Sprintf(`UPDATE ledger SET schema = %d`, len(steps)),
			fmt.Sprintf(`PRAGMA application_id = %d`, applicationID),
			fmt.Sprintf(`PRAGMA user_version = %d`, len(steps)),
		} {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// inspect returns the schema of the ledger behind db. It changes nothing. It returns a *SchemaError for a newer one, and
// what asDamage recognizes if the file is no ledger.
func inspect(ctx context.Context, db *sql.DB, steps []string) (have int, err error) {
	var app int
	if err := db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&app); err != nil {
		return 0, err
	}
	if err := db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&have); err != nil {
		return 0, err
	}
	objects, err := schemaOf(ctx, db)
	if err != nil {
		return 0, err
	}
	if len(objects) == 0 && app == 0 && have == 0 {
		return 0, nil
	}
	if app != applicationID {
		return 0, fmt.Errorf("%w: application id %#x", ErrDamaged, app)
	}
	var schema int
	if err := db.QueryRowContext(ctx, `SELECT schema FROM ledger WHERE id = 1`).Scan(&schema); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = ErrDamaged
		}
		return 0, err
	}
	if have != schema || have < 1 {
		return 0, fmt.Errorf("%w: user version %d in a ledger of schema %d", ErrDamaged, have, schema)
	}
	if have > len(steps) {
		return 0, &SchemaError{Have: have, Want: len(steps)}
	}
	want, err := schemaAt(ctx, steps[:have])
	if err != nil {
		return 0, err
	}
	if !slices.Equal(objects, want) {
		return 0, fmt.Errorf("%w: its tables are not those of schema %d", ErrDamaged, have)
	}
	return have, nil
}

// quickCheck asks SQLite to walk the whole file, and the only index there is beside its table, which a quick check does not compare with it.
func quickCheck(ctx context.Context, db *sql.DB) error {
	for _, pragma := range []string{`PRAGMA quick_check(1)`, `PRAGMA integrity_check(pair)`} {
		if err := sound(ctx, db, pragma); err != nil {
			return err
		}
	}
	return nil
}

func sound(ctx context.Context, db *sql.DB, pragma string) error {
	var first string
	if err := db.QueryRowContext(ctx, pragma).Scan(&first); err != nil {
		return err
	}
	if first == "ok" {
		return nil
	}
	// A page that the disk did not give says nothing of what is on it.
	if _, after, ok := strings.Cut(first, "error code"); ok {
		if rc, err := strconv.Atoi(strings.Trim(after, "= ")); err == nil && rc&0xff != sqlite3.SQLITE_CORRUPT && rc&0xff != sqlite3.SQLITE_NOTADB {
			return fmt.Errorf("%w: %s", ErrDisk, first)
		}
	}
	return fmt.Errorf("%w: %s", ErrDamaged, first)
}

// object is a table or index as SQLite remembers it.
type object struct{ kind, name, table, sql string }

func schemaOf(ctx context.Context, db *sql.DB) ([]object, error) {
	rows, err := db.QueryContext(ctx, `SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []object
	for rows.Next() {
		var o object
		if err := rows.Scan(&o.kind, &o.name, &o.table, &o.sql); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		all = append(all, o)
	}
	return all, rows.Err()
}

// schemaAt returns the schema that the steps make.
func schemaAt(ctx context.Context, steps []string) ([]object, error) {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, step := range steps {
		if _, err := db.ExecContext(ctx, step); err != nil {
			return nil, err
		}
	}
	return schemaOf(ctx, db)
}
