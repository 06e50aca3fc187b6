-- Where receipts of the centre ended, at most one a day: an old one is where forgetting may end.
CREATE TABLE receipts (
  epoch     INTEGER NOT NULL,
  seq       INTEGER NOT NULL,
  centre_ms INTEGER NOT NULL,
  receipt   BLOB    NOT NULL,
  PRIMARY KEY (epoch, seq)
) STRICT, WITHOUT ROWID;

-- Up to where entries were forgotten; body is that of the entry (entry_epoch, entry_seq), of
-- kind checkpoint.
CREATE TABLE checkpoint (
  one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  epoch       INTEGER NOT NULL,
  seq         INTEGER NOT NULL,
  entry_epoch INTEGER NOT NULL,
  entry_seq   INTEGER NOT NULL,
  body        BLOB    NOT NULL
) STRICT;

-- Payments and print jobs as the forgotten entries left them. The checkpoint's hash covers
-- every column.
CREATE TABLE carried (
  kind        TEXT    NOT NULL CHECK (kind IN ('payment', 'print')),
  id          BLOB    NOT NULL,
  first_epoch INTEGER NOT NULL,
  first_seq   INTEGER NOT NULL,
  last_epoch  INTEGER NOT NULL,
  last_seq    INTEGER NOT NULL,
  doc         TEXT    NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- A row goes only behind a checkpoint, and only when the centre has receipted it.
DROP TRIGGER journal_no_delete;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal
WHEN NOT EXISTS (SELECT 1 FROM checkpoint AS k, cursor AS c
  WHERE (OLD.epoch, OLD.seq) <= (k.epoch, k.seq) AND (OLD.epoch, OLD.seq) <= (c.epoch, c.seq))
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
