-- +goose Up
-- All times are unix µs. What is not known of a request is an empty text.
-- Texts are compared byte by byte: "C" is the same everywhere, and an index
-- outlives an upgrade of the system's collations.

-- A partition for each day (UTC) of the times in the IDs, which are UUIDv7: an
-- ID itself says which partition it is in, and their order is that of time.
-- Partitions are made as they are needed, and dropped whole; see partitions.go.
CREATE TABLE records (
	id                uuid    NOT NULL PRIMARY KEY,
	time              bigint  NOT NULL,
	bytes_in          bigint  NOT NULL,
	bytes_out         bigint  NOT NULL,
	duration_us       bigint  NOT NULL,
	status            integer NOT NULL,
	node              text    NOT NULL COLLATE "C",
	team_id           text    NOT NULL COLLATE "C",
	credential_id     text    NOT NULL COLLATE "C",
	auth              text    NOT NULL COLLATE "C",
	outcome           text    NOT NULL COLLATE "C",
	reason            text    NOT NULL COLLATE "C",
	diagnosis         text    NOT NULL COLLATE "C",
	method            text    NOT NULL COLLATE "C",
	host              text    NOT NULL COLLATE "C",
	path              text    NOT NULL COLLATE "C",
	client_ip         text    NOT NULL COLLATE "C",
	user_agent        text    NOT NULL COLLATE "C",
	client_request_id text    NOT NULL COLLATE "C",
	trace_id          text    NOT NULL COLLATE "C"
) PARTITION BY RANGE (id);

-- Indexes hold a hash of a text, eight bytes of it: they take half the room, and
-- no text is too long for one. The first two end with the ID, so that a listing
-- needs no sorting, however much a team sends. Whoever selects by one of these
-- columns compares the text as well; see selection.go.
CREATE INDEX records_team ON records (hashtextextended(team_id, 0), id) WHERE team_id <> '';
CREATE INDEX records_credential ON records (hashtextextended(credential_id, 0), id) WHERE credential_id <> '';
CREATE INDEX records_client_request ON records (hashtextextended(client_request_id, 0)) WHERE client_request_id <> '';
CREATE INDEX records_trace ON records (hashtextextended(trace_id, 0)) WHERE trace_id <> '';
CREATE INDEX records_client_ip ON records (hashtextextended(client_ip, 0)) WHERE client_ip <> '';

-- How far a record's time is ahead of the time in its ID, at most, and how far
-- behind: it turns times into bounds of IDs. It is moved with the record that
-- needs it.
CREATE TABLE record_span (
	one  integer PRIMARY KEY CHECK (one = 1),
	lead bigint  NOT NULL,
	lag  bigint  NOT NULL
);

INSERT INTO record_span (one, lead, lag) VALUES (1, 0, 0);

-- When each credential was last accepted: kept beside the records, so that it
-- is one look-up, and outlives them.
CREATE TABLE last_used (
	credential_id text   COLLATE "C" PRIMARY KEY,
	time          bigint NOT NULL
) WITH (fillfactor = 50); -- each batch moves most of them, in place

-- How many requests of a team ended in which way, by the hour. It is counted
-- with the records.
CREATE TABLE tallies (
	team_id text   NOT NULL COLLATE "C",
	hour    bigint NOT NULL, -- its beginning
	outcome text   NOT NULL COLLATE "C",
	count   bigint NOT NULL,
	PRIMARY KEY (team_id, hour, outcome)
) WITH (fillfactor = 50);

CREATE INDEX tallies_hour ON tallies (hour);

-- The times in which some records could not be kept.
CREATE TABLE gaps (
	node    text    NOT NULL COLLATE "C",
	"from"  bigint  NOT NULL,
	"to"    bigint  NOT NULL,
	count   bigint  NOT NULL,
	at_most boolean NOT NULL,
	PRIMARY KEY (node, "from")
);

CREATE TABLE retention (
	one   integer PRIMARY KEY CHECK (one = 1),
	age   bigint  NOT NULL, -- µs; 0: for ever
	bytes bigint  NOT NULL  -- 0: any number
);

INSERT INTO retention (one, age, bytes) VALUES (1, 0, 0);

-- How far each node has handed in its records, by the database's clock.
CREATE TABLE hand_ins (
	node  text   COLLATE "C" PRIMARY KEY,
	until bigint NOT NULL
) WITH (fillfactor = 50);

-- The responses of each node that go on for long: what of them is a record when
-- they end. They go with their node.
CREATE TABLE open_records (
	id     uuid PRIMARY KEY,
	node   text NOT NULL COLLATE "C" REFERENCES hand_ins ON DELETE CASCADE,
	record text NOT NULL -- JSON
);

CREATE INDEX open_records_node ON open_records (node);

-- Who uses what: a row for each credential, day and caller. All callers beyond
-- the hundredth of a day share one with empty texts.
CREATE TABLE usage (
	credential_id text   NOT NULL COLLATE "C",
	day           bigint NOT NULL, -- midnight UTC
	caller        uuid   NOT NULL, -- of the three texts that follow: the beginning of a SHA-256, as any text may be too long for a key
	client_ip     text   NOT NULL,
	user_agent    text   NOT NULL,
	auth          text   NOT NULL,
	team_id       text   NOT NULL,
	accepted      bigint NOT NULL,
	refused       bigint NOT NULL,
	last          bigint NOT NULL,
	PRIMARY KEY (credential_id, day, caller)
) WITH (fillfactor = 70);

CREATE INDEX usage_day ON usage (day);

CREATE TABLE contacts (
	id           bigint GENERATED ALWAYS AS IDENTITY, -- never used twice
	team_id      text   NOT NULL COLLATE "C",
	first        text   NOT NULL,
	last         text   NOT NULL,
	display_name text   NOT NULL,
	email        text   NOT NULL,
	phone        text   NOT NULL,
	custom       text   NOT NULL, -- a JSON object of strings
	created      bigint NOT NULL,
	updated      bigint NOT NULL,
	rev          bigint NOT NULL,
	PRIMARY KEY (team_id, id) -- all are asked for by their team
);

-- The users of the console.
CREATE TABLE users (
	seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id         text   NOT NULL COLLATE "C" CONSTRAINT users_id UNIQUE,
	email      text   NOT NULL COLLATE "C",
	team_id    text   NOT NULL COLLATE "C", -- empty for support
	role       text   NOT NULL CHECK (role IN ('admin', 'member', 'support')),
	password   text   NOT NULL, -- argon2id in PHC form; empty until it is set
	epoch      bigint NOT NULL,
	created    bigint NOT NULL,
	created_by text   NOT NULL,
	removed    bigint,
	CHECK ((role = 'support') = (team_id = ''))
);

CREATE UNIQUE INDEX users_email ON users (email) WHERE removed IS NULL;
CREATE INDEX users_team ON users (team_id) WHERE removed IS NULL;

CREATE TABLE invitations (
	digest  bytea  PRIMARY KEY CHECK (length(digest) = 32),
	user_id text   NOT NULL COLLATE "C" CONSTRAINT invitations_user UNIQUE, -- one at a time; empty: the set-up link
	expires bigint NOT NULL
);

CREATE TABLE sessions (
	token  text   COLLATE "C" PRIMARY KEY, -- a digest of it
	data   bytea  NOT NULL,
	expiry bigint NOT NULL
);

CREATE INDEX sessions_expiry ON sessions (expiry);
