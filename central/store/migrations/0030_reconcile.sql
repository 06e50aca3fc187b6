-- Reconciliations that were carried out; a later run of the same id replaces the row.
CREATE TABLE reconcile_runs (
	id         TEXT PRIMARY KEY,
	date       TEXT NOT NULL,
	started_ms BIGINT NOT NULL,
	millis     BIGINT NOT NULL,
	folder     TEXT NOT NULL,
	waiting    TEXT NOT NULL,
	ours       BIGINT NOT NULL,
	theirs     BIGINT NOT NULL,
	matched    BIGINT NOT NULL,
	breaks     BIGINT NOT NULL,
	closes     BIGINT NOT NULL
);
