-- How many envelopes an institution is sent in a second; absent: the centre's default.
CREATE TABLE issuance_paces (
	institution TEXT PRIMARY KEY,
	per_second  BIGINT NOT NULL CHECK (per_second >= 0)
);

-- What a refund gave back to envelopes, and what of it the fund takes back; the rest was own money.
ALTER TABLE refunds ADD COLUMN envelope BIGINT NOT NULL DEFAULT 0;
ALTER TABLE refunds ADD COLUMN recalled BIGINT NOT NULL DEFAULT 0;
