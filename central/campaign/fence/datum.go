package fence

import (
	"fmt"
	"math"
)

// Datum says which coordinates these are.
type Datum string

// The datums.
const (
	WGS84 Datum = "wgs84" // GPS, GeoJSON
	GCJ02 Datum = "gcj02" // Chinese maps and most Chinese phones' location services
	BD09  Datum = "bd09"  // Baidu's maps: GCJ-02, shifted once more
)

// Valid reports that the datum is known.
func (d Datum) Valid() bool { return d == WGS84 || d == GCJ02 || d == BD09 }

// Point is a place in degrees of WGS-84.
type Point struct{ Lat, Lon float64 }

// The constants of GCJ-02's public form: the semi-major axis and the squared
// eccentricity of Krasovsky 1940; and BD-09's offsets.
const (
	gcjAxis = 6378245.0
	gcjEcc2 = 0.00669342162296594323
	bdTurn  = math.Pi * 3000 / 180
	bdLat   = 0.006
	bdLon   = 0.0065
)

// InChina is the rectangle in which GCJ-02 shifts; outside it is WGS-84.
func (p Point) InChina() bool {
	return p.Lon >= 72.004 && p.Lon <= 137.8347 && p.Lat >= 0.8293 && p.Lat <= 55.8271
}

// ToWGS84 turns a coordinate of this datum into WGS-84. Inside of China the way back
// through FromWGS84 is within a centimetre.
func (d Datum) ToWGS84(lat, lon float64) (Point, error) {
	p := Point{lat, lon}
	if !d.Valid() {
		return p, fmt.Errorf("datum %.8q: want wgs84, gcj02 or bd09", d)
	}
	if !(math.Abs(lat) <= 90 && math.Abs(lon) <= 180) { // NaN is none of these
		return p, fmt.Errorf("latitude %g, longitude %g: out of range", lat, lon)
	}
	if d == WGS84 || !p.InChina() {
		return p, nil
	}
	if d == BD09 {
		p = inverse(p, bdShift)
	}
	return inverse(p, gcjShift), nil
}

// FromWGS84 turns WGS-84 into this datum.
func (d Datum) FromWGS84(p Point) Point {
	if d == WGS84 || !p.InChina() {
		return p
	}
	p = gcjShift(p)
	if d == BD09 {
		p = bdShift(p)
	}
	return p
}

// inverse finds the point that shift moves to p. The shift changes by less than a
// hundredth of the way walked, so each step gains at least two digits.
func inverse(p Point, shift func(Point) Point) Point {
	const enough = 1e-10 // degrees: a hundredth of a millimetre
	q := p
	for range 20 {
		s := shift(q)
		dLat, dLon := s.Lat-p.Lat, s.Lon-p.Lon
		q.Lat, q.Lon = q.Lat-dLat, q.Lon-dLon
		if math.Abs(dLat) < enough && math.Abs(dLon) < enough {
			break
		}
	}
	return q
}

// gcjShift is the public form of GCJ-02: polynomials and sines of the distance from
// 35° N 105° E, in metres, laid on the ellipsoid.
func gcjShift(p Point) Point {
	x, y := p.Lon-105, p.Lat-35
	root := math.Sqrt(math.Abs(x))
	common := 20*math.Sin(6*math.Pi*x) + 20*math.Sin(2*math.Pi*x)
	north := -100 + 2*x + 3*y + 0.2*y*y + 0.1*x*y + 0.2*root + (common+
		20*math.Sin(math.Pi*y)+40*math.Sin(math.Pi*y/3)+
		160*math.Sin(math.Pi*y/12)+320*math.Sin(math.Pi*y/30))*2/3
	east := 300 + x + 2*y + 0.1*x*x + 0.1*x*y + 0.1*root + (common+
		20*math.Sin(math.Pi*x)+40*math.Sin(math.Pi*x/3)+
		150*math.Sin(math.Pi*x/12)+300*math.Sin(math.Pi*x/30))*2/3
	lat, lon := metres(p.Lat, gcjAxis, gcjEcc2)
	return Point{p.Lat + north/lat, p.Lon + east/lon}
}

// bdShift is BD-09 over GCJ-02: turned and stretched by its own place, then moved.
func bdShift(p Point) Point {
	z := math.Hypot(p.Lon, p.Lat) + 0.00002*math.Sin(p.Lat*bdTurn)
	theta := math.Atan2(p.Lat, p.Lon) + 0.000003*math.Cos(p.Lon*bdTurn)
	return Point{z*math.Sin(theta) + bdLat, z*math.Cos(theta) + bdLon}
}

// metres is the length of a degree of latitude and of longitude on an ellipsoid.
func metres(lat, axis, ecc2 float64) (perLat, perLon float64) {
	phi := lat * math.Pi / 180
	w2 := 1 - ecc2*math.Sin(phi)*math.Sin(phi)
	w := math.Sqrt(w2)
	return axis * (1 - ecc2) / (w2 * w) * math.Pi / 180, axis / w * math.Cos(phi) * math.Pi / 180
}
