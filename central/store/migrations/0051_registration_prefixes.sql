-- While people register, as little as can be is kept at random places: what finds a registration is the first 16
-- bytes of a hash. A ticket is looked for when the list is frozen and no earlier; the list is kept then, in its order.
CREATE TABLE registrations_narrow (
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
	query         BLOB NOT NULL
);
INSERT INTO registrations_narrow (campaign, ref, person, phone, institution, stratum, place, last_fix, fix_ms, score, doubts, sealed,
	code, code_until_ms, sent_ms, sends, tries, created_ms, confirmed_ms, placed_ms, salt, ticket, query)
SELECT campaign, ref, person, phone, institution, stratum, place, last_fix, fix_ms, score, doubts, sealed,
	code, code_until_ms, sent_ms, sends, tries, created_ms, confirmed_ms, placed_ms, salt, ticket, query FROM registrations ORDER BY created_ms;
DROP TABLE registrations;
ALTER TABLE registrations_narrow RENAME TO registrations;
CREATE UNIQUE INDEX registrations_ref ON registrations (substr(ref, 1, 16));
CREATE UNIQUE INDEX registrations_person ON registrations (substr(person, 1, 16)) WHERE confirmed_ms > 0;
CREATE UNIQUE INDEX registrations_phone ON registrations (substr(phone, 1, 16)) WHERE confirmed_ms > 0;
CREATE UNIQUE INDEX registrations_query ON registrations (substr(query, 1, 16)) WHERE confirmed_ms > 0;

CREATE TABLE registration_list (
	campaign    TEXT NOT NULL,
	ticket      BLOB NOT NULL,
	ref         BLOB NOT NULL,
	stratum     TEXT NOT NULL,
	institution TEXT NOT NULL,
	place       TEXT NOT NULL,
	PRIMARY KEY (campaign, ticket)
) WITHOUT ROWID;
INSERT INTO registration_list (campaign, ticket, ref, stratum, institution, place)
SELECT campaign, ticket, ref, stratum, institution, place FROM registrations
WHERE confirmed_ms > 0 AND campaign IN (SELECT campaign FROM registration_ends) ORDER BY campaign, ticket;

-- What changes a registration on PostgreSQL locks the row of its lane.
CREATE TABLE registration_lanes (lane BIGINT PRIMARY KEY);
INSERT INTO registration_lanes (lane) VALUES (0), (1), (2), (3), (4), (5), (6), (7);
