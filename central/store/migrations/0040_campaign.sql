-- Published campaigns. A version never changes.
CREATE TABLE campaigns (
	name         TEXT NOT NULL,
	version      BIGINT NOT NULL CHECK (version > 0),
	text         BLOB NOT NULL,
	area         BLOB NOT NULL,
	hash         TEXT NOT NULL,
	published_ms BIGINT NOT NULL,
	PRIMARY KEY (name, version)
);
APPEND ONLY campaigns;

-- Registrations: hashes under the campaign's key, and what only that key opens.
CREATE TABLE registrations (
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
	PRIMARY KEY (campaign, ref)
);
CREATE UNIQUE INDEX registrations_person ON registrations (campaign, person) WHERE confirmed_ms > 0;
CREATE UNIQUE INDEX registrations_phone ON registrations (campaign, phone) WHERE confirmed_ms > 0;
CREATE UNIQUE INDEX registrations_ticket ON registrations (campaign, ticket) WHERE confirmed_ms > 0;
CREATE UNIQUE INDEX registrations_query ON registrations (campaign, query) WHERE confirmed_ms > 0;

CREATE TABLE registration_keys (
	campaign TEXT PRIMARY KEY,
	wrapped  BLOB NOT NULL
);

CREATE TABLE registration_ends (
	campaign  TEXT PRIMARY KEY,
	frozen_ms BIGINT NOT NULL
);
APPEND ONLY registration_ends;
