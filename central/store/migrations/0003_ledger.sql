-- Double entry. Balances are kept beside the postings and move in the same transaction.
CREATE TABLE accounts (
	name     TEXT PRIMARY KEY,
	-- The bounds stop a sum long before 64 bits do; SQLite would go on in floating point.
	balance  BIGINT NOT NULL CHECK (balance BETWEEN -4611686018427387904 AND 4611686018427387904),
	moved_ms BIGINT NOT NULL
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
