-- +goose Up
-- All locks at once, in the order in which nodes take them, or none: hand-ins and
-- look-ups would wait behind them.
SET LOCAL lock_timeout = '500ms';
LOCK TABLE hand_ins, open_records IN ACCESS EXCLUSIVE MODE;

-- A node of a name that is taken visits for a while, with a journal of its own:
-- what it says is not said for the other.
ALTER TABLE open_records DROP CONSTRAINT open_records_node_fkey;
ALTER TABLE hand_ins DROP CONSTRAINT hand_ins_pkey;
ALTER TABLE hand_ins ADD COLUMN journal text NOT NULL DEFAULT '' COLLATE "C";
ALTER TABLE hand_ins ADD PRIMARY KEY (node, journal);
ALTER TABLE open_records ADD COLUMN journal text NOT NULL DEFAULT '' COLLATE "C";
ALTER TABLE open_records ADD FOREIGN KEY (node, journal) REFERENCES hand_ins ON DELETE CASCADE;
DROP INDEX open_records_node;
CREATE INDEX open_records_node ON open_records (node, journal);
