-- +goose Up
-- Written by the Go migration of the same number (migrate.go), which adds the
-- first holding in the same transaction.
-- All times are unix µs. NULL is "not yet".

PRAGMA application_id = 0x6c6b6372; -- "lkcr": tells this file from anybody else's

CREATE TABLE meta (
	one           INTEGER PRIMARY KEY CHECK (one = 1),
	probe         BLOB    NOT NULL,
	revision      INTEGER NOT NULL, -- of the last change
	change_id     TEXT    NOT NULL, -- of the last change, random
	purge_horizon INTEGER NOT NULL  -- the highest revision of a row that was purged
) STRICT;

CREATE TABLE teams (
	seq      INTEGER PRIMARY KEY, -- the order in which they were made
	id       TEXT    NOT NULL UNIQUE,
	name     TEXT    NOT NULL,
	name_key TEXT    NOT NULL, -- latchkey.Team.NameKey
	disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
	created  INTEGER NOT NULL,
	deleted  INTEGER,
	revision INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX teams_name ON teams (name_key) WHERE deleted IS NULL;
CREATE INDEX teams_revision ON teams (revision);

CREATE TABLE credentials (
	seq        INTEGER PRIMARY KEY,
	id         TEXT    NOT NULL UNIQUE,
	team_id    TEXT    NOT NULL REFERENCES teams (id),
	kind       TEXT    NOT NULL CHECK (kind IN ('api_key', 'api_secret')),
	digest     BLOB    UNIQUE, -- of an API key, kept with its tombstone
	sealed     BLOB,           -- until it ends
	created    INTEGER NOT NULL,
	created_by TEXT    NOT NULL,
	until      INTEGER, -- end of the overlap
	ended      INTEGER,
	ended_by   TEXT    NOT NULL,
	ended_why  TEXT    NOT NULL,
	revision   INTEGER NOT NULL,
	CHECK ((kind = 'api_key') = (digest IS NOT NULL)),
	CHECK ((ended IS NULL) = (sealed IS NOT NULL))
) STRICT;

CREATE INDEX credentials_live ON credentials (team_id) WHERE ended IS NULL;
CREATE INDEX credentials_overlap ON credentials (until) WHERE ended IS NULL AND until IS NOT NULL;
CREATE INDEX credentials_ended ON credentials (ended) WHERE ended IS NOT NULL;
CREATE INDEX credentials_team ON credentials (team_id);
CREATE INDEX credentials_revision ON credentials (revision);

CREATE TABLE contacts (
	id           INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice
	team_id      TEXT    NOT NULL,
	first        TEXT    NOT NULL,
	last         TEXT    NOT NULL,
	display_name TEXT    NOT NULL,
	email        TEXT    NOT NULL,
	phone        TEXT    NOT NULL,
	custom       TEXT    NOT NULL, -- a JSON object of strings
	created      INTEGER NOT NULL,
	updated      INTEGER NOT NULL,
	rev          INTEGER NOT NULL
) STRICT;

CREATE INDEX contacts_team ON contacts (team_id, id);

-- Who did what. Nothing alters or removes a line.
CREATE TABLE events (
	id      BLOB    PRIMARY KEY CHECK (length(id) = 16), -- UUIDv7
	time    INTEGER NOT NULL,
	actor   TEXT    NOT NULL,
	source  TEXT    NOT NULL,
	action  TEXT    NOT NULL,
	team_id TEXT    NOT NULL,
	subject TEXT    NOT NULL,
	detail  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX events_team ON events (team_id);
CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER events_hold BEFORE UPDATE ON events BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;

-- The users of the console.
CREATE TABLE users (
	seq        INTEGER PRIMARY KEY,
	id         TEXT    NOT NULL UNIQUE,
	email      TEXT    NOT NULL,
	team_id    TEXT    NOT NULL, -- empty for support
	role       TEXT    NOT NULL CHECK (role IN ('admin', 'member', 'support')),
	password   TEXT    NOT NULL, -- argon2id in PHC form; empty until it is set
	epoch      INTEGER NOT NULL,
	created    INTEGER NOT NULL,
	created_by TEXT    NOT NULL,
	removed    INTEGER,
	CHECK ((role = 'support') = (team_id = ''))
) STRICT;

CREATE UNIQUE INDEX users_email ON users (email) WHERE removed IS NULL;
CREATE INDEX users_team ON users (team_id) WHERE removed IS NULL;

CREATE TABLE invitations (
	digest  BLOB    PRIMARY KEY CHECK (length(digest) = 32),
	user_id TEXT    NOT NULL UNIQUE, -- one at a time; empty: the set-up link
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
	token  TEXT    PRIMARY KEY, -- a digest of it
	data   BLOB    NOT NULL,
	expiry INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_expiry ON sessions (expiry);
