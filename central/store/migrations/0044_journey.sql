-- Where a store is, WGS-84 in millionths of a degree; NULL: not told.
ALTER TABLE shops ADD COLUMN lat_e6 BIGINT;
ALTER TABLE shops ADD COLUMN lon_e6 BIGINT;

-- In which time a statement was signed, as far as its till could prove; 0: not told.
ALTER TABLE wallet_evidence ADD COLUMN earliest_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE wallet_evidence ADD COLUMN latest_ms BIGINT NOT NULL DEFAULT 0;

-- Wallets that were seen at two stores between which nobody travels in the time: one row for each day, with the payments,
-- the places as they were then, and what was held possible. The payments themselves are as others are.
CREATE TABLE wallet_journeys (
	number      IDENTITY,
	institution TEXT NOT NULL,
	wallet      TEXT NOT NULL,
	day         TEXT NOT NULL,
	first       TEXT NOT NULL,
	first_at    TEXT NOT NULL,
	second      TEXT NOT NULL,
	second_at   TEXT NOT NULL,
	metres      BIGINT NOT NULL,
	most_ms     BIGINT NOT NULL,
	speed_kmh   BIGINT NOT NULL,
	slack_km    BIGINT NOT NULL,
	found_ms    BIGINT NOT NULL
);
CREATE UNIQUE INDEX wallet_journeys_day ON wallet_journeys (institution, wallet, day);
APPEND ONLY wallet_journeys;
