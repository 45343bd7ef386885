-- +goose Up
-- What the clock said when old records were last removed, and since when it is
-- in doubt, in unix µs; 0: never, and not. See Store.doubts.
ALTER TABLE retention ADD COLUMN seen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE retention ADD COLUMN doubted INTEGER NOT NULL DEFAULT 0;
