-- +goose Up
-- Records move into a file for each day (day.go): their end is that of a file.
-- Nothing was released with the tables that go here.
DROP TABLE records;
DROP TABLE lead;
DROP TABLE tallies;

-- How far a record's time is ahead of the time in its ID, at most, and how far
-- behind, in µs: it turns times into bounds of IDs. It is moved before a record
-- is written that needs it.
CREATE TABLE span (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	lead INTEGER NOT NULL,
	lag  INTEGER NOT NULL
) STRICT;

INSERT INTO span (one, lead, lag) VALUES (1, 0, 0);

CREATE TABLE gaps (
	node    TEXT    NOT NULL,
	"from"  INTEGER NOT NULL,
	"to"    INTEGER NOT NULL,
	count   INTEGER NOT NULL,
	at_most INTEGER NOT NULL CHECK (at_most IN (0, 1)),
	PRIMARY KEY (node, "from")
) STRICT, WITHOUT ROWID;

CREATE TABLE retention (
	one   INTEGER PRIMARY KEY CHECK (one = 1),
	age   INTEGER NOT NULL, -- µs; 0: for ever
	bytes INTEGER NOT NULL  -- 0: any number
) STRICT;

INSERT INTO retention (one, age, bytes) VALUES (1, 0, 0);
