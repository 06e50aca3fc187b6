-- Payments as the centre asked for them, or heard of them from a till's journal. next_ms
-- is when the institution is asked again, 0 when nothing is left to ask.
CREATE TABLE payments (
	id              TEXT PRIMARY KEY,
	terminal        TEXT NOT NULL,
	merchant        TEXT NOT NULL,
	mode            TEXT NOT NULL,
	amount          BIGINT NOT NULL CHECK (amount >= 0),
	body            BLOB,
	institution     TEXT NOT NULL,
	state           TEXT NOT NULL,
	reason          TEXT NOT NULL,
	detail          TEXT NOT NULL,
	txn             TEXT NOT NULL,
	settlement_date TEXT NOT NULL,
	fee             BIGINT NOT NULL,
	envelope        BIGINT NOT NULL,
	qr              TEXT NOT NULL,
	valid_until_ms  BIGINT NOT NULL,
	expires_ms      BIGINT NOT NULL,
	evidence        BLOB,
	late_paid       BIGINT NOT NULL,
	told            BIGINT NOT NULL,
	step            BIGINT NOT NULL,
	next_ms         BIGINT NOT NULL,
	created_ms      BIGINT NOT NULL,
	updated_ms      BIGINT NOT NULL
);
CREATE INDEX payments_due ON payments (next_ms) WHERE next_ms > 0;
CREATE INDEX payments_settlement ON payments (institution, settlement_date);
CREATE INDEX payments_created ON payments (created_ms, id);
CREATE INDEX payments_terminal ON payments (terminal, created_ms, id);

CREATE TABLE refunds (
	id              TEXT PRIMARY KEY,
	payment         TEXT NOT NULL,
	terminal        TEXT NOT NULL,
	merchant        TEXT NOT NULL,
	amount          BIGINT NOT NULL CHECK (amount > 0),
	state           TEXT NOT NULL,
	auto            BIGINT NOT NULL,
	authorized      BIGINT NOT NULL,
	operator        TEXT NOT NULL,
	reason          TEXT NOT NULL,
	detail          TEXT NOT NULL,
	txn             TEXT NOT NULL,
	settlement_date TEXT NOT NULL,
	told            BIGINT NOT NULL,
	step            BIGINT NOT NULL,
	next_ms         BIGINT NOT NULL,
	created_ms      BIGINT NOT NULL,
	updated_ms      BIGINT NOT NULL
);
CREATE INDEX refunds_due ON refunds (next_ms) WHERE next_ms > 0;
CREATE INDEX refunds_payment ON refunds (payment, created_ms);

-- How far the tills' journals were read for what they ask of the centre.
CREATE TABLE payment_cursors (
	terminal TEXT NOT NULL,
	epoch    BIGINT NOT NULL,
	seq      BIGINT NOT NULL,
	PRIMARY KEY (terminal, epoch)
);
