CREATE TABLE merchants (
	id      TEXT PRIMARY KEY,
	name_zh TEXT NOT NULL,
	name_en TEXT NOT NULL
);

CREATE TABLE shops (
	id        TEXT PRIMARY KEY,
	merchant  TEXT NOT NULL REFERENCES merchants (id),
	name_zh   TEXT NOT NULL,
	name_en   TEXT NOT NULL,
	terminals BIGINT NOT NULL
);

CREATE TABLE terminals (
	id          TEXT PRIMARY KEY,
	merchant    TEXT NOT NULL REFERENCES merchants (id),
	shop        TEXT NOT NULL REFERENCES shops (id),
	env         TEXT NOT NULL,
	class       TEXT NOT NULL,
	nats_key    TEXT NOT NULL UNIQUE,
	epoch       BIGINT NOT NULL,
	state       TEXT NOT NULL,
	reason      TEXT NOT NULL,
	enrolled_ms BIGINT NOT NULL
);

CREATE TABLE epochs (
	terminal   TEXT NOT NULL REFERENCES terminals (id),
	epoch      BIGINT NOT NULL,
	suite      TEXT NOT NULL,
	public_key BLOB NOT NULL,
	reason     TEXT NOT NULL,
	opened_ms  BIGINT NOT NULL,
	closed_ms  BIGINT NOT NULL,
	PRIMARY KEY (terminal, epoch)
);
CREATE INDEX epochs_key ON epochs (public_key);

CREATE TABLE contacts (
	terminal TEXT PRIMARY KEY,
	at_ms    BIGINT NOT NULL,
	epoch    BIGINT NOT NULL,
	seq      BIGINT NOT NULL,
	receipt  BIGINT NOT NULL,
	verdict  BIGINT NOT NULL,
	skew_ms  BIGINT NOT NULL,
	boot_id  TEXT NOT NULL,
	version  TEXT NOT NULL,
	policies BIGINT NOT NULL,
	unsent   BIGINT NOT NULL
);

CREATE TABLE enrol_codes (
	hash       BLOB PRIMARY KEY,
	shop       TEXT NOT NULL REFERENCES shops (id),
	class      TEXT NOT NULL,
	terminal   TEXT NOT NULL,
	reason     TEXT NOT NULL,
	uses_left  BIGINT NOT NULL CHECK (uses_left >= 0),
	expires_ms BIGINT NOT NULL,
	issued_by  TEXT NOT NULL
);

CREATE TABLE enrolments (
	hash       BLOB NOT NULL,
	public_key BLOB NOT NULL,
	nats_key   TEXT NOT NULL,
	terminal   TEXT NOT NULL,
	epoch      BIGINT NOT NULL,
	at_ms      BIGINT NOT NULL,
	PRIMARY KEY (hash, public_key, nats_key)
);
APPEND ONLY enrolments;

CREATE TABLE limits (
	version BIGINT PRIMARY KEY,
	limits  BLOB NOT NULL,
	set_by  TEXT NOT NULL,
	at_ms   BIGINT NOT NULL
);
APPEND ONLY limits;
