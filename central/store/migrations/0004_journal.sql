-- What the tills wrote. branch is 0 for the entry that came first at its place; each
-- further branch of a fork counts up. late marks entries that came after their epoch
-- was closed, fault tells why an entry changed no payment although it should have.
CREATE TABLE entries (
	terminal      TEXT NOT NULL,
	epoch         BIGINT NOT NULL,
	seq           BIGINT NOT NULL,
	branch        BIGINT NOT NULL,
	hash          BLOB NOT NULL,
	kind          TEXT NOT NULL,
	payment       TEXT NOT NULL,
	business_date TEXT NOT NULL,
	wall_ms       BIGINT NOT NULL,
	kept_ms       BIGINT NOT NULL,
	late          BIGINT NOT NULL,
	fault         TEXT NOT NULL,
	entry         BLOB NOT NULL,
	PRIMARY KEY (terminal, epoch, seq, branch)
);
CREATE INDEX entries_payment ON entries (terminal, payment);
APPEND ONLY entries;

CREATE TABLE heads (
	terminal   TEXT NOT NULL,
	epoch      BIGINT NOT NULL,
	branch     BIGINT NOT NULL,
	seq        BIGINT NOT NULL,
	head       BLOB NOT NULL,
	first_seq  BIGINT NOT NULL,
	parent     BIGINT NOT NULL,
	moved_ms   BIGINT NOT NULL,
	PRIMARY KEY (terminal, epoch, branch)
);

-- What the first entry of an epoch says of the one before.
CREATE TABLE openings (
	terminal   TEXT NOT NULL,
	epoch      BIGINT NOT NULL,
	reason     TEXT NOT NULL,
	prev_epoch BIGINT NOT NULL,
	prev_seq   BIGINT NOT NULL,
	prev_head  BLOB NOT NULL,
	PRIMARY KEY (terminal, epoch)
);
APPEND ONLY openings;

-- The place from which a till was asked to send again.
CREATE TABLE gaps (
	terminal TEXT NOT NULL,
	epoch    BIGINT NOT NULL,
	from_seq BIGINT NOT NULL,
	seen_seq BIGINT NOT NULL,
	since_ms BIGINT NOT NULL,
	PRIMARY KEY (terminal, epoch)
);

CREATE TABLE forks (
	terminal    TEXT NOT NULL,
	epoch       BIGINT NOT NULL,
	branch      BIGINT NOT NULL,
	seq         BIGINT NOT NULL,
	first_hash  BLOB NOT NULL,
	second_hash BLOB NOT NULL,
	noted_ms    BIGINT NOT NULL,
	PRIMARY KEY (terminal, epoch, branch)
);
APPEND ONLY forks;

-- Payments as the tills' journals say. branch is '' for the journal proper, 'EPOCH/BRANCH'
-- for what a second branch of a fork says.
CREATE TABLE till_payments (
	terminal        TEXT NOT NULL,
	id              TEXT NOT NULL,
	branch          TEXT NOT NULL,
	merchant        TEXT NOT NULL,
	state           TEXT NOT NULL,
	amount          BIGINT NOT NULL,
	institution     TEXT NOT NULL,
	business_date   TEXT NOT NULL,
	settlement_date TEXT NOT NULL,
	created_ms      BIGINT NOT NULL,
	payment         BLOB NOT NULL,
	PRIMARY KEY (id, terminal, branch)
);
CREATE INDEX till_payments_day ON till_payments (business_date, terminal);
CREATE INDEX till_payments_settlement ON till_payments (institution, settlement_date);
CREATE INDEX till_payments_state ON till_payments (state, created_ms);

-- restored is the number at the last restore of the database while the terminal has not
-- told since how far it is; else -1.
CREATE TABLE verdict_heads (
	terminal TEXT PRIMARY KEY,
	number   BIGINT NOT NULL,
	restored BIGINT NOT NULL
);

CREATE TABLE verdicts (
	terminal TEXT NOT NULL,
	number   BIGINT NOT NULL,
	payment  TEXT NOT NULL,
	at_ms    BIGINT NOT NULL,
	verdict  BLOB NOT NULL,
	PRIMARY KEY (terminal, number)
);
APPEND ONLY verdicts;

-- Messages that were no batch, once each; payload is cut.
CREATE TABLE rejects (
	digest   BLOB PRIMARY KEY,
	terminal TEXT NOT NULL,
	reason   TEXT NOT NULL,
	detail   TEXT NOT NULL,
	size     BIGINT NOT NULL,
	payload  BLOB NOT NULL,
	first_ms BIGINT NOT NULL,
	last_ms  BIGINT NOT NULL,
	times    BIGINT NOT NULL
);
CREATE INDEX rejects_terminal ON rejects (terminal, last_ms);
