-- What wallets have signed offline, by their own counters: one row per statement (dcep.Statement).
-- Two rows under one counter are a double spending. apart marks what only a fork's further branch
-- or an island has: it asks for no money, and its evidence is kept here; else it is with the payment.
CREATE TABLE wallet_evidence (
	institution TEXT NOT NULL,
	wallet      TEXT NOT NULL,
	counter     BIGINT NOT NULL,
	statement   BLOB NOT NULL,
	payment     TEXT NOT NULL,
	terminal    TEXT NOT NULL,
	amount      BIGINT NOT NULL,
	apart       BIGINT NOT NULL,
	evidence    BLOB,
	seen_ms     BIGINT NOT NULL,
	PRIMARY KEY (institution, wallet, counter, statement)
);
CREATE INDEX wallet_evidence_payment ON wallet_evidence (payment);

-- Counters under which a wallet has signed more than one statement, as they were found.
CREATE TABLE wallet_conflicts (
	number      IDENTITY,
	institution TEXT NOT NULL,
	wallet      TEXT NOT NULL,
	counter     BIGINT NOT NULL,
	found_ms    BIGINT NOT NULL
);
CREATE UNIQUE INDEX wallet_conflicts_counter ON wallet_conflicts (institution, wallet, counter);
APPEND ONLY wallet_conflicts;

-- Wallets that people here have revoked, or ask to: state is proposed, revoked, rejected or lifted.
CREATE TABLE wallet_revocations (
	number      IDENTITY,
	institution TEXT NOT NULL,
	wallet      TEXT NOT NULL,
	state       TEXT NOT NULL,
	reason      TEXT NOT NULL,
	proposed_by TEXT NOT NULL,
	proposed_ms BIGINT NOT NULL,
	closed_by   TEXT NOT NULL,
	closed_ms   BIGINT NOT NULL
);
CREATE UNIQUE INDEX wallet_revocations_open ON wallet_revocations (institution, wallet) WHERE state IN ('proposed', 'revoked');

-- How far the further branches of journals were read for evidence; payment_cursors is of branch 0.
CREATE TABLE branch_cursors (
	terminal TEXT NOT NULL,
	epoch    BIGINT NOT NULL,
	branch   BIGINT NOT NULL,
	seq      BIGINT NOT NULL,
	PRIMARY KEY (terminal, epoch, branch)
);

-- Evidence that was there before the index stands in it when indexed is 1.
ALTER TABLE payments ADD COLUMN indexed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX payments_unindexed ON payments (id) WHERE indexed = 0 AND evidence IS NOT NULL;
