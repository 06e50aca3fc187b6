package draw

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
)

// WriteList writes entries.csv. The entries come in ascending order of their tickets;
// one that does not is refused. The same entries make the same bytes.
func WriteList(w io.Writer, entries iter.Seq2[Entry, error]) error {
	out := bufio.NewWriterSize(w, 1<<16)
	if _, err := out.WriteString(listHead); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	var last Ticket
	first := true
	for e, err := range entries {
		if err != nil {
			return fmt.Errorf("write list: %w", err)
		}
		if !first && bytes.Compare(last[:], e.Ticket[:]) >= 0 {
			return fmt.Errorf("write list: %w", errOrder)
		}
		last, first = e.Ticket, false
		if _, err := out.WriteString(e.Line() + "\n"); err != nil {
			return fmt.Errorf("write list: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write list: %w", err)
	}
	return nil
}
