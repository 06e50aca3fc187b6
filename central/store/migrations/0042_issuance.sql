-- Campaigns whose envelopes are given out; the plan never changes.
CREATE TABLE issuances (
	campaign TEXT PRIMARY KEY,
	plan     BLOB NOT NULL,
	standing TEXT NOT NULL,
	seeded   BIGINT NOT NULL
);

-- Envelopes: face = left + spent + recalled. rank is below 0 for the waiting list's.
CREATE TABLE envelopes (
	id          TEXT PRIMARY KEY,
	campaign    TEXT NOT NULL,
	ticket      BLOB NOT NULL,
	tier        BIGINT NOT NULL,
	rank        BIGINT NOT NULL,
	stratum     TEXT NOT NULL,
	institution TEXT NOT NULL,
	state       TEXT NOT NULL,
	face        BIGINT NOT NULL CHECK (face > 0),
	left_fen    BIGINT NOT NULL CHECK (left_fen >= 0),
	spent       BIGINT NOT NULL CHECK (spent >= 0),
	recalled    BIGINT NOT NULL CHECK (recalled >= 0),
	threshold   BIGINT NOT NULL,
	from_ms     BIGINT NOT NULL,
	until_ms    BIGINT NOT NULL,
	wallet      TEXT NOT NULL,
	next_ms     BIGINT NOT NULL,
	tries       BIGINT NOT NULL,
	detail      TEXT NOT NULL,
	offered_ms  BIGINT NOT NULL,
	claimed_ms  BIGINT NOT NULL,
	updated_ms  BIGINT NOT NULL,
	CHECK (face = left_fen + spent + recalled)
);
CREATE UNIQUE INDEX envelopes_ticket ON envelopes (campaign, ticket);
CREATE INDEX envelopes_due ON envelopes (campaign, state, institution, next_ms, rank);

-- How far each institution's numbered claims were read.
CREATE TABLE envelope_feeds (
	institution TEXT PRIMARY KEY,
	n           BIGINT NOT NULL
);

-- Shares of payments. reason: why the institution is not owed it; empty: it is.
CREATE TABLE envelope_spends (
	payment     TEXT NOT NULL,
	n           BIGINT NOT NULL,
	envelope    TEXT NOT NULL,
	campaign    TEXT NOT NULL,
	tier        BIGINT NOT NULL,
	institution TEXT NOT NULL,
	merchant    TEXT NOT NULL,
	store       TEXT NOT NULL,
	channel     TEXT NOT NULL,
	category    TEXT NOT NULL,
	price       BIGINT NOT NULL,
	amount      BIGINT NOT NULL CHECK (amount > 0),
	returned    BIGINT NOT NULL CHECK (returned BETWEEN 0 AND amount),
	at_ms       BIGINT NOT NULL,
	date        TEXT NOT NULL,
	reason      TEXT NOT NULL,
	PRIMARY KEY (payment, n)
);
CREATE INDEX envelope_spends_campaign ON envelope_spends (campaign, at_ms);
CREATE INDEX envelope_spends_envelope ON envelope_spends (envelope);

CREATE TABLE envelope_returns (
	refund   TEXT NOT NULL,
	payment  TEXT NOT NULL,
	envelope TEXT NOT NULL,
	campaign TEXT NOT NULL,
	amount   BIGINT NOT NULL CHECK (amount > 0),
	recalled BIGINT NOT NULL,
	at_ms    BIGINT NOT NULL,
	PRIMARY KEY (refund, envelope)
);
CREATE INDEX envelope_returns_campaign ON envelope_returns (campaign, at_ms);
APPEND ONLY envelope_returns;

-- Payments from the window that came after the recall: two people decide.
CREATE TABLE envelope_lates (
	payment  TEXT PRIMARY KEY,
	terminal TEXT NOT NULL,
	campaign TEXT NOT NULL,
	shares   BLOB NOT NULL,
	at_ms    BIGINT NOT NULL,
	decided  TEXT NOT NULL
);

CREATE TABLE issuance_proposals (
	number      IDENTITY,
	campaign    TEXT NOT NULL,
	what        TEXT NOT NULL,
	payment     TEXT NOT NULL,
	reason      TEXT NOT NULL,
	proposed_by TEXT NOT NULL,
	proposed_ms BIGINT NOT NULL,
	state       TEXT NOT NULL,
	closed_by   TEXT NOT NULL,
	closed_ms   BIGINT NOT NULL
);
CREATE UNIQUE INDEX issuance_proposals_open ON issuance_proposals (campaign, what, payment) WHERE state = 'open';

-- Where and for what a payment is, as JSON; empty: in a store, not told.
ALTER TABLE payments ADD COLUMN place TEXT NOT NULL DEFAULT '';

-- The part of town, for the statement of a campaign.
ALTER TABLE shops ADD COLUMN district TEXT NOT NULL DEFAULT '';
