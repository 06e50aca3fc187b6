-- What tills may accept offline, as it was signed. Versions are one row for the whole fleet.
CREATE TABLE policies (
	version  BIGINT PRIMARY KEY,
	store    TEXT NOT NULL,
	terminal TEXT NOT NULL,
	body     BLOB NOT NULL,
	sig      BLOB NOT NULL,
	set_by   TEXT NOT NULL,
	at_ms    BIGINT NOT NULL
);
APPEND ONLY policies;
CREATE INDEX policies_scope ON policies (store, terminal, version);

DROP TABLE limits;
