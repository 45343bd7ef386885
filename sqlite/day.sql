-- The file of one day: the records whose IDs were made on it (UTC).

PRAGMA application_id = 0x6c6b6479; -- "lkdy": tells this file from anybody else's
PRAGMA user_version = 1;

-- Texts that come again and again. A column that holds a text of its kind holds
-- its number, or, when there are too many, the text itself: never both.
CREATE TABLE words (
	id   INTEGER PRIMARY KEY,
	kind INTEGER NOT NULL,
	text TEXT    NOT NULL,
	UNIQUE (kind, text)
) STRICT;

-- What is not known of a request is NULL.
CREATE TABLE records (
	id                BLOB    PRIMARY KEY CHECK (length(id) = 16), -- the request ID, a UUIDv7: its order is that of time
	time              INTEGER NOT NULL, -- µs after the beginning of the day; below 0 before it
	node              ANY,
	team_id           ANY,
	credential_id     ANY,
	auth              ANY,
	outcome           ANY,
	reason            ANY,
	diagnosis         ANY,
	method            ANY,
	host              ANY,
	path              ANY,
	status            INTEGER NOT NULL,
	bytes_in          INTEGER NOT NULL,
	bytes_out         INTEGER NOT NULL,
	duration_us       INTEGER NOT NULL,
	client_ip         ANY,
	user_agent        ANY,
	client_request_id ANY, -- a UUID as a blob, any other as a text
	trace_id          ANY  -- likewise
) STRICT, WITHOUT ROWID;

-- Each entry ends with the primary key, so that a listing needs no sorting.
CREATE INDEX records_team ON records (team_id) WHERE team_id IS NOT NULL;
CREATE INDEX records_credential ON records (credential_id) WHERE credential_id IS NOT NULL;
CREATE INDEX records_client_request ON records (client_request_id) WHERE client_request_id IS NOT NULL;
CREATE INDEX records_trace ON records (trace_id) WHERE trace_id IS NOT NULL;

-- When each credential was last accepted, by the records of this day.
CREATE TABLE last_used (
	credential_id TEXT    PRIMARY KEY,
	time          INTEGER NOT NULL -- unix µs
) STRICT, WITHOUT ROWID;

-- How many requests of a team ended in which way, by the hour.
CREATE TABLE tallies (
	team_id TEXT    NOT NULL,
	hour    INTEGER NOT NULL, -- its beginning, unix µs
	outcome TEXT    NOT NULL,
	count   INTEGER NOT NULL,
	PRIMARY KEY (team_id, hour, outcome)
) STRICT, WITHOUT ROWID;

-- How many records there are, and how many of them are refusals, or of no team:
-- the first to go where there is no room.
CREATE TABLE sizes (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	records  INTEGER NOT NULL,
	refusals INTEGER NOT NULL
) STRICT;
INSERT INTO sizes VALUES (1, 0, 0);
