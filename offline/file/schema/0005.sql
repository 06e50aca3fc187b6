-- Sealed codes of payments that are stored, until they are charged or not: a row goes in the
-- transaction in which its payment becomes final. It is no part of the chain and of no rebuild.
CREATE TABLE codes (
  payment BLOB NOT NULL PRIMARY KEY CHECK (length(payment) = 16),
  doc     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
