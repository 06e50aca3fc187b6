-- Who may sign in to the console. hash is a PHC string of argon2id.
CREATE TABLE console_accounts (
	name       TEXT PRIMARY KEY,
	role       TEXT NOT NULL,
	hash       TEXT NOT NULL,
	disabled   BIGINT NOT NULL,
	created_ms BIGINT NOT NULL
);

-- Signed-in browsers. hash is of the token that the browser holds.
CREATE TABLE console_sessions (
	hash       BLOB PRIMARY KEY,
	account    TEXT NOT NULL REFERENCES console_accounts (name),
	csrf       TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	seen_ms    BIGINT NOT NULL
);
CREATE INDEX console_sessions_account ON console_sessions (account);
CREATE INDEX console_sessions_created ON console_sessions (created_ms);
