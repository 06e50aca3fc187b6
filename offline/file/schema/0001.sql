-- The journal: one column per field of pos.Entry. hash covers every column but sig,
-- sig signs hash. NULL stands for what the entry lacks (prev of an epoch's first
-- entry, payment of an entry without one) and for nothing else.
CREATE TABLE journal (
  terminal      TEXT    NOT NULL,
  epoch         INTEGER NOT NULL CHECK (epoch BETWEEN 1 AND 4294967295),
  seq           INTEGER NOT NULL CHECK (seq >= 1),
  env           TEXT    NOT NULL CHECK (env IN ('live', 'lab')),
  kind          TEXT    NOT NULL,
  payment       BLOB    CHECK (length(payment) = 16),
  operator      TEXT    NOT NULL,
  wall_ms       INTEGER NOT NULL,
  mono_ms       INTEGER NOT NULL,
  boot_id       TEXT    NOT NULL,
  centre_ms     INTEGER NOT NULL,
  business_date TEXT    NOT NULL,
  body          BLOB    NOT NULL,
  prev          BLOB    CHECK (length(prev) = 32),
  hash          BLOB    NOT NULL CHECK (length(hash) = 32),
  sig           BLOB    NOT NULL CHECK (length(sig) = 64),
  PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;

-- What the journal says of each payment. Every column follows from doc and from the
-- positions of the first and last entry; a rebuild gives the same rows.
CREATE TABLE payments (
  id            BLOB    NOT NULL PRIMARY KEY,
  first_epoch   INTEGER NOT NULL,
  first_seq     INTEGER NOT NULL,
  last_epoch    INTEGER NOT NULL,
  last_seq      INTEGER NOT NULL,
  caller        TEXT    NOT NULL,
  key           TEXT    NOT NULL,
  order_id      TEXT    NOT NULL,
  business_date TEXT    NOT NULL,
  state         TEXT    NOT NULL,
  amount        INTEGER NOT NULL,
  updated_ms    INTEGER NOT NULL,
  code_hash     BLOB,
  wallet        TEXT,
  counter       INTEGER,
  doc           TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX payments_key ON payments (caller, key);
CREATE UNIQUE INDEX payments_first ON payments (first_epoch, first_seq);
CREATE UNIQUE INDEX payments_evidence ON payments (wallet, counter) WHERE wallet IS NOT NULL;
CREATE INDEX payments_order ON payments (caller, business_date, order_id);
CREATE INDEX payments_date ON payments (business_date, first_epoch, first_seq);
CREATE INDEX payments_state ON payments (state, last_epoch, last_seq);
CREATE INDEX payments_code ON payments (code_hash) WHERE code_hash IS NOT NULL;

CREATE TABLE refunds (
  caller  TEXT NOT NULL,
  key     TEXT NOT NULL,
  payment BLOB NOT NULL REFERENCES payments (id),
  refund  BLOB NOT NULL,
  PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;

-- Up to where the centre keeps everything, with its signed receipt.
CREATE TABLE cursor (
  one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  epoch      INTEGER NOT NULL,
  seq        INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  receipt    BLOB
) STRICT;
INSERT INTO cursor (one, epoch, seq, generation) VALUES (1, 0, 0, 0);

CREATE TABLE meta (
  key   TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE operators (
  number          TEXT    NOT NULL PRIMARY KEY,
  name            TEXT    NOT NULL,
  role            TEXT    NOT NULL,
  pin_hash        TEXT    NOT NULL,
  active          INTEGER NOT NULL CHECK (active IN (0, 1)),
  failures        INTEGER NOT NULL,
  locked_until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
