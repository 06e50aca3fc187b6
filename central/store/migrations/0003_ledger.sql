-- Double entry. Balances are kept beside the postings and move in the same transaction.
-- An account's balance is the sum of its parts: a busy account has several, so that
-- transactions of PostgreSQL that move it at once need not wait for one another.
CREATE TABLE accounts (
	name     TEXT NOT NULL,
	part     BIGINT NOT NULL,
	-- The bounds keep the sum of 16 parts within 63 bits; SQLite would go on in floating point.
	balance  BIGINT NOT NULL CHECK (balance BETWEEN -288230376151711744 AND 288230376151711744),
	moved_ms BIGINT NOT NULL,
	PRIMARY KEY (name, part)
);

CREATE TABLE ledger_transactions (
	number    IDENTITY,
	key       TEXT NOT NULL UNIQUE,
	date      TEXT NOT NULL,
	posted_ms BIGINT NOT NULL
);
APPEND ONLY ledger_transactions;

CREATE TABLE postings (
	number  BIGINT NOT NULL REFERENCES ledger_transactions (number),
	account TEXT NOT NULL,
	amount  BIGINT NOT NULL,
	PRIMARY KEY (account, number)
);
CREATE INDEX postings_number ON postings (number);
APPEND ONLY postings;
