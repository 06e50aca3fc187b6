// Package fence answers whether a phone is inside the area of a campaign.
//
// Phones and maps in China speak three datums that differ by hundreds of metres
// (361 m in Chengdu, 662 m in Changsha), so each coordinate carries its own; everything
// is turned into WGS-84 before it is compared. A position is a circle, not a point: the
// answer is inside, outside, or ambiguous where the circle meets the border.
//
// An area is GeoJSON (RFC 7946) with the member "datum" beside "type": polygons with
// holes, multipolygons and features with detached parts. Parse refuses what has no
// clear inside, and names the feature and the position.
//
// To add a datum, add its way to WGS-84 to Datum.ToWGS84 with golden points.
package fence
