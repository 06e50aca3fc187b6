-- The terms of a campaign's draw, fixed before anybody is asked to witness them.
CREATE TABLE campaign_terms (
	campaign TEXT PRIMARY KEY,
	version  BIGINT NOT NULL,
	text     BLOB NOT NULL
);
APPEND ONLY campaign_terms;

-- The campaign's public log: a record is here before the witness sees it.
CREATE TABLE campaign_log (
	campaign TEXT NOT NULL,
	n        BIGINT NOT NULL CHECK (n > 0),
	record   BLOB NOT NULL,
	PRIMARY KEY (campaign, n)
);
APPEND ONLY campaign_log;

-- Checkpoints of the log's first n records, signed by publisher and witness.
CREATE TABLE campaign_checkpoints (
	campaign TEXT NOT NULL,
	n        BIGINT NOT NULL CHECK (n > 0),
	text     BLOB NOT NULL,
	PRIMARY KEY (campaign, n)
);
APPEND ONLY campaign_checkpoints;

-- The beacon's round that decided.
CREATE TABLE campaign_rounds (
	campaign TEXT PRIMARY KEY,
	text     BLOB NOT NULL
);
APPEND ONLY campaign_rounds;
