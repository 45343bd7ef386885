-- +goose Up
-- All times are unix µs. What is not known of a request is an empty text.

PRAGMA application_id = 0x6c6b7265; -- "lkre": tells this file from anybody else's

CREATE TABLE records (
	id                BLOB    PRIMARY KEY CHECK (length(id) = 16), -- the request ID, a UUIDv7: its order is that of time
	time              INTEGER NOT NULL,
	node              TEXT    NOT NULL,
	team_id           TEXT    NOT NULL,
	credential_id     TEXT    NOT NULL,
	auth              TEXT    NOT NULL,
	outcome           TEXT    NOT NULL,
	reason            TEXT    NOT NULL,
	diagnosis         TEXT    NOT NULL,
	method            TEXT    NOT NULL,
	host              TEXT    NOT NULL,
	path              TEXT    NOT NULL,
	status            INTEGER NOT NULL,
	bytes_in          INTEGER NOT NULL,
	bytes_out         INTEGER NOT NULL,
	duration_us       INTEGER NOT NULL,
	client_ip         TEXT    NOT NULL,
	user_agent        TEXT    NOT NULL,
	client_request_id TEXT    NOT NULL,
	trace_id          TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Each entry ends with the primary key, so that a listing needs no sorting.
CREATE INDEX records_team ON records (team_id) WHERE team_id <> '';
CREATE INDEX records_credential ON records (credential_id) WHERE credential_id <> '';

-- When each credential was last accepted: kept beside the records, so that it
-- is one look-up, and outlives them.
CREATE TABLE last_used (
	credential_id TEXT    PRIMARY KEY,
	time          INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- By how much a record's time is ahead of the time in its ID, at most. It turns
-- "since" into a bound of the primary key.
CREATE TABLE lead (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	time INTEGER NOT NULL
) STRICT;

INSERT INTO lead (one, time) VALUES (1, 0);

-- Who uses what: a row for each credential, day and caller. All callers beyond
-- the hundredth of a day share one with empty texts.
CREATE TABLE usage (
	credential_id TEXT    NOT NULL,
	day           INTEGER NOT NULL, -- midnight UTC
	client_ip     TEXT    NOT NULL,
	user_agent    TEXT    NOT NULL,
	auth          TEXT    NOT NULL,
	team_id       TEXT    NOT NULL,
	accepted      INTEGER NOT NULL,
	refused       INTEGER NOT NULL,
	last          INTEGER NOT NULL,
	PRIMARY KEY (credential_id, day, client_ip, user_agent, auth)
) STRICT, WITHOUT ROWID;
