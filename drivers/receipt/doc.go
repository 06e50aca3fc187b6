// Package receipt is what a till prints, before any printer is chosen: a Receipt is
// a list of Items (text, columns, rule, QR code, picture, feed, cut, drawer), built by the
// caller and kept with the journal for a later reprint. Layout fits it to a width
// once; Text shows that layout as plain text, package draw as PNG and SVG, and package
// escpos sends the same layout to a printer, so what is on a screen and on paper are one.
//
// Widths are those of Chinese receipt printers: a character of ASCII takes one
// column (12 dots), every other character takes two (24 dots), because the printer
// has it in its Chinese font, which is full-width also for “ ” · — √ and the like.
//
// To add an item: a Kind, a constructor, and its case in Layout.
package receipt
