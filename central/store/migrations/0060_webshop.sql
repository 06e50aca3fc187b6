-- Merchants' web shops. Their payments are rows of payments with terminal 'web:' and the id.
CREATE TABLE webshops (
	id          TEXT PRIMARY KEY,
	merchant    TEXT NOT NULL REFERENCES merchants (id),
	name_zh     TEXT NOT NULL,
	name_en     TEXT NOT NULL,
	institution TEXT NOT NULL,
	categories  TEXT NOT NULL,
	per_payment BIGINT NOT NULL CHECK (per_payment > 0),
	per_day     BIGINT NOT NULL CHECK (per_day > 0),
	per_minute  BIGINT NOT NULL CHECK (per_minute > 0),
	hook        TEXT NOT NULL,
	hook_on     BIGINT NOT NULL,
	suspended   BIGINT NOT NULL,
	created_ms  BIGINT NOT NULL
);

-- Public halves: the centre could not sign in a shop's name.
CREATE TABLE webshop_keys (
	id         TEXT PRIMARY KEY,
	shop       TEXT NOT NULL REFERENCES webshops (id),
	public_key BLOB NOT NULL,
	created_ms BIGINT NOT NULL,
	revoked_ms BIGINT NOT NULL
);
CREATE INDEX webshop_keys_shop ON webshop_keys (shop);

-- Nonces of requests that change something, kept for longer than a signature is good for.
CREATE TABLE webshop_nonces (
	key_id TEXT NOT NULL,
	nonce  TEXT NOT NULL,
	at_ms  BIGINT NOT NULL,
	PRIMARY KEY (key_id, nonce)
);
CREATE INDEX webshop_nonces_at ON webshop_nonces (at_ms);

-- Idempotency keys, kept for ever: what was asked under the key, and its payment or refund.
CREATE TABLE webshop_requests (
	shop   TEXT NOT NULL,
	idem   TEXT NOT NULL,
	body   BLOB NOT NULL,
	id     TEXT NOT NULL UNIQUE,
	key_id TEXT NOT NULL,
	at_ms  BIGINT NOT NULL,
	PRIMARY KEY (shop, idem)
);
APPEND ONLY webshop_requests;

-- What a web shop asked for. Its state is that of the row in payments, where there is one.
CREATE TABLE webshop_payments (
	id            TEXT PRIMARY KEY,
	shop          TEXT NOT NULL,
	order_id      TEXT NOT NULL,
	business_date TEXT NOT NULL,
	amount        BIGINT NOT NULL CHECK (amount > 0),
	lines         TEXT NOT NULL,
	institution   TEXT NOT NULL,
	valid_ms      BIGINT NOT NULL,
	expires_ms    BIGINT NOT NULL,
	refused       TEXT NOT NULL,
	created_ms    BIGINT NOT NULL
);
CREATE INDEX webshop_payments_order ON webshop_payments (shop, order_id, created_ms);
CREATE INDEX webshop_payments_day ON webshop_payments (shop, business_date);

-- What web shops are told, written in the transaction that moved the money.
CREATE TABLE webshop_events (
	number          IDENTITY,
	id              TEXT NOT NULL UNIQUE,
	shop            TEXT NOT NULL,
	kind            TEXT NOT NULL,
	payment         TEXT NOT NULL,
	refund          TEXT NOT NULL,
	amount          BIGINT NOT NULL,
	envelope        BIGINT NOT NULL,
	reason          TEXT NOT NULL,
	institution     TEXT NOT NULL,
	txn             TEXT NOT NULL,
	settlement_date TEXT NOT NULL,
	at_ms           BIGINT NOT NULL,
	tries           BIGINT NOT NULL,
	next_ms         BIGINT NOT NULL,
	done_ms         BIGINT NOT NULL
);
CREATE INDEX webshop_events_due ON webshop_events (next_ms) WHERE next_ms > 0;
CREATE INDEX webshop_events_shop ON webshop_events (shop, number);

-- Every try to deliver one.
CREATE TABLE webshop_deliveries (
	number   IDENTITY,
	event    TEXT NOT NULL,
	shop     TEXT NOT NULL,
	try      BIGINT NOT NULL,
	at_ms    BIGINT NOT NULL,
	took_ms  BIGINT NOT NULL,
	status   BIGINT NOT NULL,
	error    TEXT NOT NULL
);
APPEND ONLY webshop_deliveries;
CREATE INDEX webshop_deliveries_shop ON webshop_deliveries (shop, number);
