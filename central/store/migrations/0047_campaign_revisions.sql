-- The terms of a campaign's versions after the first, each as it was logged.
CREATE TABLE campaign_revisions (
	campaign TEXT NOT NULL,
	version  BIGINT NOT NULL CHECK (version > 1),
	text     BLOB NOT NULL,
	PRIMARY KEY (campaign, version)
);
APPEND ONLY campaign_revisions;

-- Versions that one person proposes and another confirms, as they would be published.
CREATE TABLE campaign_drafts (
	number      IDENTITY,
	campaign    TEXT NOT NULL,
	version     BIGINT NOT NULL,
	text        BLOB NOT NULL,
	area        BLOB NOT NULL,
	terms       BLOB NOT NULL,
	reason      TEXT NOT NULL,
	proposed_by TEXT NOT NULL,
	proposed_ms BIGINT NOT NULL,
	state       TEXT NOT NULL,
	closed_by   TEXT NOT NULL,
	closed_ms   BIGINT NOT NULL
);
CREATE UNIQUE INDEX campaign_drafts_open ON campaign_drafts (campaign) WHERE state = 'open';
