// Package file opens the till's SQLite file so that a commit is on the disk when it
// returns: every connection is asserted, the schema is compared with what the
// program would have made. It knows no word of the journal; to add a schema
// version, add schema/NNNN.sql, never edit an old one.
package file
