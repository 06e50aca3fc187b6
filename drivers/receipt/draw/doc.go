// Package draw turns receipts into dots: whole ones as PNG and SVG for screens and
// files, and single lines and QR codes for printers that cannot print them themselves.
//
// The grid is the printers' own: Latin letters stand in cells of 12 by 24 dots, all
// others in cells of 24 by 24, lines follow each other after 30 dots, and larger sizes
// double the dots. So a drawn line stands on paper where a printed one would, and a
// picture on a screen agrees with the paper line by line.
//
// The letters come from a font file of the system (Debian: fonts-wqy-microhei or
// fonts-noto-cjk), read when the first of them is needed and never wholly kept in
// memory. Drawing SVG and QR codes needs no font.
package draw
