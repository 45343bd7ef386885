-- +goose Up
-- How many requests of a team ended in which way, by the hour: a chart of a
-- week must not read a week of records. It is counted with the records.
CREATE TABLE tallies (
	team_id TEXT    NOT NULL,
	hour    INTEGER NOT NULL, -- its beginning, unix µs
	outcome TEXT    NOT NULL,
	count   INTEGER NOT NULL,
	PRIMARY KEY (team_id, hour, outcome)
) STRICT, WITHOUT ROWID;

INSERT INTO tallies (team_id, hour, outcome, count)
SELECT team_id, time - time % 3600000000, outcome, count(*) FROM records WHERE team_id <> '' GROUP BY 1, 2, 3;
