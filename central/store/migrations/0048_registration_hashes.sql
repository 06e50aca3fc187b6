-- The indexes of registrations begin with the hash. While they began with the campaign, of which
-- PostgreSQL knew nothing while the table was new, it took "this campaign" for as narrow as "this
-- campaign and this hash", kept that plan, and read the whole campaign for each entrant.
CREATE TABLE registrations_by_hash (
	campaign      TEXT NOT NULL,
	ref           BLOB NOT NULL,
	person        BLOB NOT NULL,
	phone         BLOB NOT NULL,
	institution   TEXT NOT NULL,
	stratum       TEXT NOT NULL,
	place         TEXT NOT NULL,
	last_fix      BLOB NOT NULL,
	fix_ms        BIGINT NOT NULL,
	score         BIGINT NOT NULL,
	doubts        TEXT NOT NULL,
	sealed        BLOB NOT NULL,
	code          BLOB NOT NULL,
	code_until_ms BIGINT NOT NULL,
	sent_ms       BIGINT NOT NULL,
	sends         BIGINT NOT NULL,
	tries         BIGINT NOT NULL,
	created_ms    BIGINT NOT NULL,
	confirmed_ms  BIGINT NOT NULL,
	placed_ms     BIGINT NOT NULL,
	salt          BLOB NOT NULL,
	ticket        BLOB NOT NULL,
	query         BLOB NOT NULL,
	PRIMARY KEY (ref, campaign)
);
INSERT INTO registrations_by_hash (campaign, ref, person, phone, institution, stratum, place, last_fix, fix_ms, score, doubts, sealed,
	code, code_until_ms, sent_ms, sends, tries, created_ms, confirmed_ms, placed_ms, salt, ticket, query)
SELECT campaign, ref, person, phone, institution, stratum, place, last_fix, fix_ms, score, doubts, sealed,
	code, code_until_ms, sent_ms, sends, tries, created_ms, confirmed_ms, placed_ms, salt, ticket, query FROM registrations;
DROP TABLE registrations;
ALTER TABLE registrations_by_hash RENAME TO registrations;
CREATE UNIQUE INDEX registrations_person ON registrations (person, campaign) WHERE confirmed_ms > 0;
CREATE UNIQUE INDEX registrations_phone ON registrations (phone, campaign) WHERE confirmed_ms > 0;
CREATE UNIQUE INDEX registrations_ticket ON registrations (ticket, campaign) WHERE confirmed_ms > 0;
CREATE UNIQUE INDEX registrations_query ON registrations (query, campaign) WHERE confirmed_ms > 0;
