// Package escpos drives receipt printers that speak ESC/POS.
//
// Encode turns a receipt into bytes for one profile; lines with characters that the
// printer's font lacks are drawn. Printer sends them: it asks the printer how it is before
// the first byte (DLE EOT 1 to 4), listens to its own reports while sending (GS a), and
// asks for a confirmation after the last (GS ( H function 48, else GS r 1). An answer
// makes CONFIRMED, a report makes PAUSED (or waits for a person, and the job goes on), and
// silence makes UNKNOWN: never "printed", never "failed". DESIGN.md says why.
//
// Sources: Epson's ESC/POS command reference (DLE EOT, GS a, GS r, GS I, GS ( H,
// GS v 0, GS ( L, GS ( k,
// ESC *, ESC p, GS V, FS &, DLE ENQ), the masks of receiptio (lib/receiptio.js), and the
// quirks named in the profiles. Known mistakes of the sources: the reference calls
// the drawer's bit "drawer open"; it is the level of pin 3, and what that means
// depends on the drawer (profile: drawer.open_level).
package escpos
