-- Until when a payment that a till stored without a network may be asked for; 0: it was not stored.
ALTER TABLE payments ADD COLUMN until_ms BIGINT NOT NULL DEFAULT 0;
