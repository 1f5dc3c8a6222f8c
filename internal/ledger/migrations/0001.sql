-- Names that come from a server are BLOBs: they are bytes, not always text.
-- There is no secondary index: the check at start does not compare indexes with their tables.

CREATE TABLE ledger (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	schema  INTEGER NOT NULL, -- the same as user_version: one flipped bit must not look like a newer program
	nonce   BLOB    NOT NULL,
	counter INTEGER NOT NULL
) STRICT;

CREATE TABLE pair (
	id    INTEGER PRIMARY KEY,
	key   TEXT    NOT NULL UNIQUE, -- both identities, unordered, and the digest of the mapping
	stale INTEGER NOT NULL         -- 1: an older ledger was put back, nothing was checked since
) STRICT;

CREATE TABLE mirror (
	name   TEXT    PRIMARY KEY,
	pair   INTEGER NOT NULL,
	source TEXT    NOT NULL,
	target TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE proof (
	id   INTEGER PRIMARY KEY,
	body BLOB NOT NULL -- see blob.go
) STRICT;

-- What each group adds up to, apart from the bodies so that listing 200 000 groups reads no body.
CREATE TABLE summary (
	pair        INTEGER NOT NULL,
	measurement BLOB    NOT NULL,
	start       INTEGER NOT NULL,
	stop        INTEGER NOT NULL,
	cells       INTEGER NOT NULL,
	source      INTEGER NOT NULL,
	target      INTEGER NOT NULL,
	excepted    INTEGER NOT NULL,
	extra       INTEGER NOT NULL,
	as_of       INTEGER NOT NULL,
	proof       INTEGER NOT NULL,
	body_sum    INTEGER NOT NULL, -- over the key, the body and the exceptions
	sum         INTEGER NOT NULL, -- over the key and the columns above
	PRIMARY KEY (pair, measurement, start)
) STRICT, WITHOUT ROWID;

CREATE TABLE exception (
	pair        INTEGER NOT NULL,
	measurement BLOB    NOT NULL,
	start       INTEGER NOT NULL, -- of the group
	n           INTEGER NOT NULL,
	class       TEXT    NOT NULL,
	body        BLOB    NOT NULL, -- see exception.go
	sum         INTEGER NOT NULL,
	PRIMARY KEY (pair, measurement, start, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE note (
	pair INTEGER NOT NULL,
	name TEXT    NOT NULL,
	body BLOB    NOT NULL, -- JSON
	sum  INTEGER NOT NULL,
	PRIMARY KEY (pair, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE pass (
	pair    INTEGER NOT NULL,
	id      INTEGER NOT NULL,
	started INTEGER NOT NULL,
	ended   INTEGER NOT NULL,
	result  TEXT    NOT NULL,
	read    INTEGER NOT NULL,
	written INTEGER NOT NULL,
	reason  TEXT    NOT NULL,
	PRIMARY KEY (pair, id)
) STRICT, WITHOUT ROWID;

INSERT INTO ledger (id, schema, nonce, counter) VALUES (1, 0, x'', 0);
