-- What a person proposed about money in suspense, and who confirmed or rejected it.
CREATE TABLE suspense_proposals (
	number      IDENTITY,
	key         TEXT NOT NULL,
	decision    TEXT NOT NULL,
	reason      TEXT NOT NULL,
	proposed_by TEXT NOT NULL,
	proposed_ms BIGINT NOT NULL,
	state       TEXT NOT NULL,
	closed_by   TEXT NOT NULL,
	closed_ms   BIGINT NOT NULL
);
CREATE UNIQUE INDEX suspense_proposals_open ON suspense_proposals (key) WHERE state = 'open';
