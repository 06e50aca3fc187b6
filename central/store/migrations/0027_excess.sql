-- What a wallet's class allows is weighed over all tills: when it was signed by the till's clock, the class that its
-- certificate tells (0: none) and the version of the policy by which its till took it (0: not told). Of statements from before
-- this, the time at which they came here stands for the first, and the rest is not known.
ALTER TABLE wallet_evidence ADD COLUMN signed_ms BIGINT NOT NULL DEFAULT 0;
ALTER TABLE wallet_evidence ADD COLUMN class BIGINT NOT NULL DEFAULT 0;
ALTER TABLE wallet_evidence ADD COLUMN policy BIGINT NOT NULL DEFAULT 0;
UPDATE wallet_evidence SET signed_ms = seen_ms;
CREATE INDEX wallet_evidence_signed ON wallet_evidence (institution, wallet, signed_ms);

-- Wallets that signed beyond a cap of their class: one row for each cap and each day, or year, in which it was passed,
-- with the payment by which it was found. The payments themselves are as others are.
CREATE TABLE wallet_excesses (
	number      IDENTITY,
	institution TEXT NOT NULL,
	wallet      TEXT NOT NULL,
	cap         TEXT NOT NULL,
	period      TEXT NOT NULL,
	class       BIGINT NOT NULL,
	most        BIGINT NOT NULL,
	sum         BIGINT NOT NULL,
	count       BIGINT NOT NULL,
	policy      BIGINT NOT NULL,
	payment     TEXT NOT NULL,
	signed_ms   BIGINT NOT NULL,
	found_ms    BIGINT NOT NULL
);
CREATE UNIQUE INDEX wallet_excesses_period ON wallet_excesses (institution, wallet, cap, period);
APPEND ONLY wallet_excesses;
