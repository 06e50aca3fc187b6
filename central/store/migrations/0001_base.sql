-- What belongs to the database itself.
CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
);

-- Each restore from a backup is one more generation; receipts carry the highest.
CREATE TABLE restores (
	generation BIGINT PRIMARY KEY,
	at_ms      BIGINT NOT NULL,
	note       TEXT NOT NULL
);
APPEND ONLY restores;

CREATE TABLE audit (
	id      IDENTITY,
	at_ms   BIGINT NOT NULL,
	actor   TEXT NOT NULL,
	what    TEXT NOT NULL,
	subject TEXT NOT NULL,
	detail  TEXT NOT NULL
);
CREATE INDEX audit_subject ON audit (subject, id);
APPEND ONLY audit;
