// Package noise holds the fuzz targets of what reads profiles and writes their drafts. They
// have a test binary of their own: the engine looks at every counter of the binary after
// every input, and the schema's library beside them had three times as many as all that is
// to be attacked.
package noise
