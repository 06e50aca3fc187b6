-- What print jobs print that is laid out by their callers, by the SHA-256 of doc in hexadecimal,
-- which the job's entry names. It is no part of the chain and of no rebuild: what is lost is not printed.
CREATE TABLE attachments (
  hash    TEXT    NOT NULL PRIMARY KEY,
  kept_ms INTEGER NOT NULL,
  doc     BLOB    NOT NULL
) STRICT;
