-- The settlement dates that the serving centre is to reconcile: asked for by a person or by the hour,
-- due until they are answered (due_ms 0), so that a killed centre goes on.
CREATE TABLE reconcile_asks (
	date     TEXT PRIMARY KEY,
	number   BIGINT NOT NULL,
	asked_by TEXT NOT NULL,
	at_ms    BIGINT NOT NULL,
	due_ms   BIGINT NOT NULL,
	tries    BIGINT NOT NULL,
	lacks_zh TEXT NOT NULL,
	lacks_en TEXT NOT NULL
);
CREATE INDEX reconcile_asks_due ON reconcile_asks (due_ms) WHERE due_ms > 0;
