-- +goose Up
-- Written by the Go migration of the same number (migrate.go), which adds the
-- first holding in the same transaction.
-- All times are unix µs. NULL is "not yet". Texts that are compared have the
-- collation "C": bytes, whatever the database's language.

-- The database's clock. It goes on during a transaction.
CREATE FUNCTION latchkey_now() RETURNS bigint LANGUAGE sql VOLATILE AS
$$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- Ends a transaction whose premise does not hold (any more).
CREATE FUNCTION latchkey_expect(held boolean) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
	IF held IS NOT TRUE THEN
		RAISE EXCEPTION 'it has changed meanwhile' USING ERRCODE = 'LK001';
	END IF;
END $$;

-- One row. Whoever changes credentials updates it first, so that its lock puts
-- changes into the order of their revisions.
CREATE TABLE meta (
	one           integer PRIMARY KEY CHECK (one = 1),
	probe         bytea  NOT NULL,
	revision      bigint NOT NULL, -- of the last change
	change_id     text   NOT NULL, -- of the last change, random
	purge_horizon bigint NOT NULL  -- the highest revision of a row that was purged
) WITH (fillfactor = 10);

-- All changes, so that a node can show that it knows this history.
CREATE TABLE changes (
	revision  bigint PRIMARY KEY,
	change_id text   NOT NULL,
	at        bigint NOT NULL DEFAULT latchkey_now()
);

CREATE INDEX changes_id ON changes (change_id);

CREATE TABLE teams (
	seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id       text COLLATE "C" NOT NULL CONSTRAINT teams_id UNIQUE,
	name     text    NOT NULL,
	name_key text COLLATE "C" NOT NULL, -- latchkey.Team.NameKey
	disabled boolean NOT NULL,
	created  bigint  NOT NULL,
	deleted  bigint,
	revision bigint  NOT NULL
);

CREATE UNIQUE INDEX teams_name ON teams (name_key) WHERE deleted IS NULL;
CREATE INDEX teams_revision ON teams (revision);

CREATE TABLE credentials (
	seq        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id         text COLLATE "C" NOT NULL CONSTRAINT credentials_id UNIQUE,
	team_id    text COLLATE "C" NOT NULL REFERENCES teams (id),
	kind       text   NOT NULL CHECK (kind IN ('api_key', 'api_secret')),
	digest     bytea  CONSTRAINT credentials_digest UNIQUE, -- of an API key, kept with its tombstone
	sealed     bytea,           -- until it ends
	created    bigint NOT NULL,
	created_by text   NOT NULL,
	until      bigint, -- end of the overlap
	ended      bigint,
	ended_by   text   NOT NULL,
	ended_why  text   NOT NULL,
	revision   bigint NOT NULL,
	CHECK ((kind = 'api_key') = (digest IS NOT NULL)),
	CHECK ((ended IS NULL) = (sealed IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.02); -- until then, who looks for overlaps reads past what is dead

-- It ends with the order in which a team's are asked for: else, of two indexes,
-- the one with all that ever were would do as well.
CREATE INDEX credentials_live ON credentials (team_id, seq) WHERE ended IS NULL;
CREATE INDEX credentials_overlap ON credentials (until) WHERE ended IS NULL AND until IS NOT NULL;
CREATE INDEX credentials_ended ON credentials (ended) WHERE ended IS NOT NULL;
CREATE INDEX credentials_team ON credentials (team_id);
CREATE INDEX credentials_revision ON credentials (revision);

-- Who did what. Nothing alters or removes a line.
CREATE TABLE events (
	id      uuid   PRIMARY KEY, -- UUIDv7
	time    bigint NOT NULL,
	actor   text   NOT NULL,
	source  text   NOT NULL,
	action  text   NOT NULL,
	team_id text COLLATE "C" NOT NULL,
	subject text   NOT NULL,
	detail  text   NOT NULL
);

CREATE INDEX events_team ON events (team_id, id);
CREATE FUNCTION latchkey_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
	RAISE EXCEPTION 'the audit is append-only';
END $$;
CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION latchkey_append_only();
CREATE TRIGGER events_all_stay BEFORE TRUNCATE ON events EXECUTE FUNCTION latchkey_append_only();

-- The nodes that answer from memory.
CREATE TABLE registrations (
	id       text COLLATE "C" PRIMARY KEY,
	node     text   NOT NULL,
	address  text   NOT NULL,
	version  text   NOT NULL,
	lease    bigint NOT NULL, -- ns, as is stale_ok
	stale_ok bigint NOT NULL,
	applied  bigint NOT NULL,
	renewals bigint NOT NULL,
	renewal  text   NOT NULL, -- random, another at each
	renewed  bigint NOT NULL
) WITH (fillfactor = 30);

-- Where the server's log stands in the history of promotions. Another one begins
-- when a standby is promoted; '' where the server does not say, as some do that
-- have no log of their own.
CREATE FUNCTION latchkey_timeline() RETURNS text LANGUAGE plpgsql VOLATILE AS
$$ BEGIN
	RETURN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
EXCEPTION WHEN OTHERS THEN
	IF pg_is_in_recovery() THEN
		RAISE;
	END IF;
	RETURN '';
END $$;

-- The timeline that was marked last, and the longest that any node ever had a
-- lease for, and could answer after it.
CREATE TABLE timeline (
	one      integer PRIMARY KEY CHECK (one = 1),
	name     text   NOT NULL,
	lease    bigint NOT NULL, -- ns, as is stale_ok
	stale_ok bigint NOT NULL
);

INSERT INTO timeline (one, name, lease, stale_ok) VALUES (1, latchkey_timeline(), 0, 0);

-- Marks a timeline that is new. The promotion that began it may have lost
-- registrations whose nodes have good leases: one that nobody renews stands for
-- all of them, with the longest lease there was.
CREATE FUNCTION latchkey_mark(own_lease bigint) RETURNS void LANGUAGE plpgsql AS
$$ DECLARE current text := latchkey_timeline();
BEGIN
	IF EXISTS (SELECT FROM timeline WHERE name = current) THEN
		RETURN;
	END IF;
	UPDATE timeline SET name = current WHERE name <> current;
	IF FOUND THEN
		INSERT INTO registrations (id, node, address, version, lease, stale_ok, applied, renewals, renewal, renewed)
		SELECT 'lost_' || gen_random_uuid(), '(lost at failover)', '', '', greatest(lease, own_lease), stale_ok,
			0, 0, gen_random_uuid()::text, latchkey_now()
		FROM timeline;
	END IF;
END $$;

-- When a person said that this history is the right one.
CREATE TABLE acceptances (
	seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	id  text   NOT NULL,
	at  bigint NOT NULL
);

-- Written to by a commit that must be durable and says nothing else: if it is,
-- so are those before it.
CREATE TABLE proofs (
	one   integer PRIMARY KEY CHECK (one = 1),
	count bigint NOT NULL
) WITH (fillfactor = 30);

INSERT INTO proofs (one, count) VALUES (1, 0);
