package fence

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/planar"
)

// Limits of an area from outside.
const (
	MaxSize     = 4 << 20 // bytes of GeoJSON
	maxVertices = 100_000
	maxRings    = 1000
)

// object is any GeoJSON object that an area may be made of.
type object struct {
	Type        string          `json:"type"`
	Datum       Datum           `json:"datum"`
	Features    []object        `json:"features"`
	Geometry    *object         `json:"geometry"`
	Coordinates json.RawMessage `json:"coordinates"`
}

// ring is one ring and where it stands in the file.
type ring struct {
	orb.Ring
	feature, polygon, ring int
}

// Error names what is wrong with an area and where, counted from 0.
type Error struct {
	Feature  int // in the collection
	Polygon  int // in the feature
	Ring     int // in the polygon: 0 is the outer one, the others are holes
	Position int // in the ring; -1 is the ring as such
	Err      error
}

func (e *Error) Error() string {
	s := fmt.Sprintf("feature %d, polygon %d, ring %d", e.Feature, e.Polygon, e.Ring)
	if e.Position >= 0 {
		s += fmt.Sprintf(", position %d", e.Position)
	}
	return s + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func (r ring) fault(position int, err error) error {
	return &Error{r.feature, r.polygon, r.ring, position, err}
}

// Parse reads an area. The faults of its shape are *Error.
func Parse(b []byte) (*Fence, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("area of %d bytes, at most %d", len(b), MaxSize)
	}
	var top object
	if err := json.Unmarshal(b, &top); err != nil {
		return nil, fmt.Errorf("area: %w", err)
	}
	if !top.Datum.Valid() {
		return nil, fmt.Errorf("area: datum %.8q: want the member \"datum\" with wgs84, gcj02 or bd09", top.Datum)
	}
	p := parser{datum: top.Datum}
	if err := p.add(top); err != nil {
		return nil, err
	}
	if len(p.rings) == 0 {
		return nil, errors.New("area: want at least one polygon")
	}
	return build(p.rings)
}

type parser struct {
	datum    Datum
	rings    []ring
	vertices int
}

func (p *parser) add(top object) error {
	features := []object{top}
	if top.Type == "FeatureCollection" {
		features = top.Features
	}
	for i, f := range features {
		g := f
		if f.Type == "Feature" {
			if f.Geometry == nil {
				return fmt.Errorf("feature %d: no geometry", i)
			}
			g = *f.Geometry
		}
		if err := p.geometry(i, g); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) geometry(feature int, g object) error {
	var polygons [][][][]float64
	switch g.Type {
	case "Polygon":
		polygons = make([][][][]float64, 1)
		if err := json.Unmarshal(g.Coordinates, &polygons[0]); err != nil {
			return fmt.Errorf("feature %d: coordinates: %w", feature, err)
		}
	case "MultiPolygon":
		if err := json.Unmarshal(g.Coordinates, &polygons); err != nil {
			return fmt.Errorf("feature %d: coordinates: %w", feature, err)
		}
	default:
		return fmt.Errorf("feature %d: type %.24q: want Polygon or MultiPolygon", feature, g.Type)
	}
	for i, rings := range polygons {
		if len(rings) == 0 {
			return fmt.Errorf("feature %d, polygon %d: no ring", feature, i)
		}
		for j, positions := range rings {
			r := ring{feature: feature, polygon: i, ring: j}
			if err := p.ring(r, positions); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	errShort     = errors.New("want at least four positions")
	errOpen      = errors.New("the ring is not closed: its last position must be its first")
	errPosition  = errors.New("want [longitude, latitude] or [longitude, latitude, altitude]")
	errExchanged = errors.New("latitude and longitude are exchanged: GeoJSON has the longitude first")
	errCrosses   = errors.New("the area crosses or touches itself here")
	errFlat      = errors.New("the ring encloses nothing")
	errHole      = errors.New("the hole is not inside its polygon")
	errNested    = errors.New("the part lies inside another part")
)

func (p *parser) ring(r ring, positions [][]float64) error {
	p.vertices += len(positions)
	if p.vertices > maxVertices || len(p.rings) >= maxRings {
		return r.fault(-1, fmt.Errorf("more than %d positions or %d rings", maxVertices, maxRings))
	}
	if len(positions) < 4 {
		return r.fault(-1, errShort)
	}
	for i, c := range positions {
		if len(c) != 2 && len(c) != 3 {
			return r.fault(i, errPosition)
		}
		lon, lat := c[0], c[1]
		if here, there := (Point{lat, lon}), (Point{lon, lat}); !here.InChina() && there.InChina() {
			return r.fault(i, errExchanged)
		}
		w, err := p.datum.ToWGS84(lat, lon)
		if err != nil {
			return r.fault(i, err)
		}
		r.Ring = append(r.Ring, orb.Point{w.Lon, w.Lat})
	}
	if !r.Closed() {
		return r.fault(len(positions)-1, errOpen)
	}
	if b := r.Bound(); b.Min[0] == b.Max[0] || b.Min[1] == b.Max[1] {
		return r.fault(-1, errFlat)
	}
	p.rings = append(p.rings, r)
	return nil
}

// checkNesting refuses a hole outside of its polygon and a part inside another. Rings
// do not cross, so one vertex off the other's border decides.
func checkNesting(rings []ring) error {
	outer := map[[2]int]ring{}
	for _, r := range rings {
		if r.ring == 0 {
			outer[[2]int{r.feature, r.polygon}] = r
		}
	}
	for _, r := range rings {
		own := [2]int{r.feature, r.polygon}
		if r.ring > 0 && !within(r.Ring, outer[own].Ring) {
			return r.fault(-1, errHole)
		}
		for key, o := range outer {
			if r.ring > 0 || key == own || !o.Bound().Intersects(r.Bound()) || !within(r.Ring, o.Ring) {
				continue
			}
			if !inHole(r, key, rings) {
				return r.fault(-1, errNested)
			}
		}
	}
	return nil
}

// inHole reports that an island lies in a hole of the other part.
func inHole(island ring, part [2]int, rings []ring) bool {
	for _, h := range rings {
		if h.ring > 0 && part == [2]int{h.feature, h.polygon} && within(island.Ring, h.Ring) {
			return true
		}
	}
	return false
}

// within reports that the ring a, which does not cross b, lies inside b. The middles of
// edges are asked too, because every vertex may stand on b's border.
func within(a, b orb.Ring) bool {
	for i := range a[1:] {
		for _, p := range []orb.Point{a[i], {(a[i][0] + a[i+1][0]) / 2, (a[i][1] + a[i+1][1]) / 2}} {
			if !onRing(p, b) {
				return planar.RingContains(b, p)
			}
		}
	}
	return true // the same ring
}

func onRing(p orb.Point, r orb.Ring) bool {
	for i := range r[1:] {
		if segmentDistance(r[i], r[i+1], p, 1, 1) < 1e-12 {
			return true
		}
	}
	return false
}
