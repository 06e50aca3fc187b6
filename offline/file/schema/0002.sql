-- What the journal says of each print job. Every column follows from doc and from the
-- positions of the first and last entry; a rebuild gives the same rows.
CREATE TABLE prints (
  id          TEXT    NOT NULL PRIMARY KEY,
  first_epoch INTEGER NOT NULL,
  first_seq   INTEGER NOT NULL,
  last_epoch  INTEGER NOT NULL,
  last_seq    INTEGER NOT NULL,
  caller      TEXT,
  key         TEXT,
  payment     BLOB,
  open        INTEGER NOT NULL CHECK (open IN (0, 1)),
  doc         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX prints_key ON prints (caller, key) WHERE key IS NOT NULL;
CREATE INDEX prints_first ON prints (first_epoch, first_seq);
CREATE INDEX prints_payment ON prints (payment) WHERE payment IS NOT NULL;
CREATE INDEX prints_open ON prints (first_epoch, first_seq) WHERE open = 1;
