package pos

import (
	"errors"
	"fmt"
	"math"
)

// Point is a place on the earth in the datum WGS-84, in millionths of a degree (11 cm at most).
type Point struct {
	LatE6 int64 `json:"lat_e6"` // north
	LonE6 int64 `json:"lon_e6"` // east
}

const micro = 1e6

// PointAt is the place at latitude and longitude in degrees: ErrBadRequest beyond ±90 and ±180.
func PointAt(lat, lon float64) (Point, error) {
	if !(math.Abs(lat) <= 90 && math.Abs(lon) <= 180) { // NaN is none either
		return Point{}, FieldError(ErrBadRequest, "place", errors.New("want degrees: latitude -90 to 90, longitude -180 to 180"))
	}
	return Point{LatE6: int64(math.Round(lat * micro)), LonE6: int64(math.Round(lon * micro))}, nil
}

// String is latitude and longitude in degrees, such as 39.904200,116.407400.
func (p Point) String() string {
	return fmt.Sprintf("%.6f,%.6f", float64(p.LatE6)/micro, float64(p.LonE6)/micro)
}

// Metres is the shortest way over the ground, the earth taken as a ball (haversine): within 0.6 per cent of the way
// on the ellipsoid.
func (p Point) Metres(q Point) int64 {
	const radius = 6371000 // metres: the mean of IUGG, rounded
	rad := math.Pi / 180 / micro
	lat, lon := math.Sin(float64(q.LatE6-p.LatE6)*rad/2), math.Sin(float64(q.LonE6-p.LonE6)*rad/2)
	h := lat*lat + math.Cos(float64(p.LatE6)*rad)*math.Cos(float64(q.LatE6)*rad)*lon*lon
	return int64(math.Round(2 * radius * math.Asin(math.Sqrt(min(1, h)))))
}
