-- The statements that came, with the verdict on each; a file is known by its bytes.
CREATE TABLE statement_files (
	institution TEXT NOT NULL,
	date        TEXT NOT NULL,
	hash        TEXT NOT NULL,
	format      TEXT NOT NULL,
	size        BIGINT NOT NULL,
	lines       BIGINT NOT NULL,
	verdict     TEXT NOT NULL,
	reason_zh   TEXT NOT NULL,
	reason_en   TEXT NOT NULL,
	at_ms       BIGINT NOT NULL,
	PRIMARY KEY (institution, date, hash)
);
CREATE INDEX statement_files_hash ON statement_files (hash);

-- What a run was made of (the same inputs need no work), and its verdicts, as JSON.
ALTER TABLE reconcile_runs ADD COLUMN inputs TEXT NOT NULL DEFAULT '';
ALTER TABLE reconcile_runs ADD COLUMN rules TEXT NOT NULL DEFAULT '';
ALTER TABLE reconcile_runs ADD COLUMN verdicts TEXT NOT NULL DEFAULT '[]';

-- A break as somebody's work. difference and fees are what it keeps in suspense, booked what
-- was taken out again, claimed the part of it that an institution was asked for.
CREATE TABLE break_cases (
	id           TEXT PRIMARY KEY,
	date         TEXT NOT NULL,
	kind         TEXT NOT NULL,
	txn          TEXT NOT NULL,
	bank         TEXT NOT NULL,
	merchant     TEXT NOT NULL,
	ours         BIGINT NOT NULL,
	theirs       BIGINT NOT NULL,
	ours_status  TEXT NOT NULL,
	their_status TEXT NOT NULL,
	field        TEXT NOT NULL,
	ours_value   TEXT NOT NULL,
	theirs_value TEXT NOT NULL,
	rule         TEXT NOT NULL,
	outcome      TEXT NOT NULL,
	batch        TEXT NOT NULL,
	orig         TEXT NOT NULL,
	party        TEXT NOT NULL,
	difference   BIGINT NOT NULL,
	fees         BIGINT NOT NULL,
	booked       BIGINT NOT NULL,
	claimed      BIGINT NOT NULL,
	matched      BIGINT NOT NULL,
	state        TEXT NOT NULL,
	assignee     TEXT NOT NULL,
	cause        TEXT NOT NULL,
	note         TEXT NOT NULL,
	until        TEXT NOT NULL,
	file         TEXT NOT NULL,
	revision     BIGINT NOT NULL,
	opened_ms    BIGINT NOT NULL,
	changed_ms   BIGINT NOT NULL
);
CREATE INDEX break_cases_date ON break_cases (date, bank);
CREATE INDEX break_cases_state ON break_cases (state, date);
CREATE INDEX break_cases_txn ON break_cases (txn);
CREATE INDEX break_cases_party ON break_cases (party) WHERE party <> '';

CREATE TABLE break_remedies (
	id          TEXT PRIMARY KEY,
	break_id    TEXT NOT NULL REFERENCES break_cases (id),
	kind        TEXT NOT NULL,
	state       TEXT NOT NULL,
	amount      BIGINT NOT NULL,
	reason      TEXT NOT NULL,
	proposed_by TEXT NOT NULL,
	decided_by  TEXT NOT NULL,
	detail      TEXT NOT NULL,
	at_ms       BIGINT NOT NULL,
	changed_ms  BIGINT NOT NULL
);
CREATE INDEX break_remedies_break ON break_remedies (break_id, id);
CREATE INDEX break_remedies_state ON break_remedies (state);

CREATE TABLE break_events (
	id       IDENTITY,
	break_id TEXT NOT NULL,
	at_ms    BIGINT NOT NULL,
	actor    TEXT NOT NULL,
	what     TEXT NOT NULL,
	state    TEXT NOT NULL,
	detail   TEXT NOT NULL
);
CREATE INDEX break_events_break ON break_events (break_id, id);
APPEND ONLY break_events;

-- The second leg: what a settlement date's statement is worth, and what was credited.
CREATE TABLE settlements (
	bank       TEXT NOT NULL,
	date       TEXT NOT NULL,
	state      TEXT NOT NULL,
	matched    BIGINT NOT NULL,
	gross      BIGINT NOT NULL,
	fees       BIGINT NOT NULL,
	credit     BIGINT NOT NULL,
	file       TEXT NOT NULL,
	revision   BIGINT NOT NULL,
	changed_ms BIGINT NOT NULL,
	PRIMARY KEY (bank, date)
);

-- The account that bears a refund which is the remedy of a break; empty for all others.
ALTER TABLE refunds ADD COLUMN source TEXT NOT NULL DEFAULT '';
