-- +goose Up
-- Whoever waits for a table keeps others from it, and every renewal reads this
-- one: rather no upgrade than a cluster without leases.
SET LOCAL lock_timeout = '500ms';

-- The protocol that the nodes of this database keep (docs/protocol.md). It moves
-- only when nodes of the version before would break the promise.
ALTER TABLE meta ADD COLUMN protocol integer NOT NULL DEFAULT 1;

-- Ends a transaction of a node that keeps another.
-- +goose StatementBegin
CREATE FUNCTION latchkey_keeps(theirs integer, ours integer) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
	IF theirs <> ours THEN
		RAISE EXCEPTION 'the nodes keep protocol %', theirs USING ERRCODE = 'LK002', DETAIL = theirs;
	END IF;
END $$;
-- +goose StatementEnd
