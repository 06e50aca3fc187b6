package fence

import (
	"fmt"
	"math"
	"slices"

	"github.com/paulmach/orb"
)

// Verdict says where a position is.
type Verdict string

// The verdicts.
const (
	Inside    Verdict = "inside"
	Outside   Verdict = "outside"
	Ambiguous Verdict = "ambiguous" // the circle of the position meets the border: ask for a better one
)

// onBorder is how near, in metres, counts as on the border; the border belongs to the area.
const onBorder = 0.01

// WGS-84's ellipsoid.
const (
	wgsAxis = 6378137.0
	wgsEcc2 = 0.00669437999014
)

// Fix is a position as a phone reports it: a circle of Accuracy metres.
type Fix struct {
	Datum    Datum   `json:"datum"`
	Lat      float64 `json:"lat"`
	Lon      float64 `json:"lon"`
	Accuracy float64 `json:"accuracy_m"`
}

// edge is a piece of the border.
type edge struct {
	a, b orb.Point
	from int // ring
	at   int // position of a in the ring
	next int // at of the edge that follows in the ring
}

// Fence is an area, ready to be asked. It does not change; many may ask at once.
type Fence struct {
	bound orb.Bound
	bands [][]edge // by latitude: the edges that come through each
	step  float64  // height of a band in degrees
}

// build checks rings and sorts their edges into bands. Where two parts share an edge,
// as two districts do, it is no border and falls out.
func build(rings []ring) (*Fence, error) {
	f := &Fence{bound: rings[0].Bound()}
	var edges []edge
	seen := map[[4]float64]int{}
	for i, r := range rings {
		f.bound = f.bound.Union(r.Bound())
		for _, e := range edgesOf(i, r.Ring) {
			seen[e.key()]++
			edges = append(edges, e)
		}
	}
	f.spread(edges)
	if err := f.checkCrossings(rings); err != nil {
		return nil, err
	}
	if err := checkNesting(rings); err != nil {
		return nil, err
	}
	border := slices.DeleteFunc(edges, func(e edge) bool { return seen[e.key()] == 2 })
	if len(border) == 0 {
		return nil, rings[0].fault(-1, errFlat)
	}
	f.spread(border)
	return f, nil
}

// edgesOf leaves out repeated positions.
func edgesOf(index int, r orb.Ring) []edge {
	var edges []edge
	for i := range r[1:] {
		if r[i] != r[i+1] {
			edges = append(edges, edge{a: r[i], b: r[i+1], from: index, at: i})
		}
	}
	for i := range edges {
		edges[i].next = edges[(i+1)%len(edges)].at
	}
	return edges
}

// key is the edge whatever its direction.
func (e edge) key() [4]float64 {
	if e.a[0] < e.b[0] || (e.a[0] == e.b[0] && e.a[1] < e.b[1]) {
		return [4]float64{e.a[0], e.a[1], e.b[0], e.b[1]}
	}
	return [4]float64{e.b[0], e.b[1], e.a[0], e.a[1]}
}

// maxBands bounds the memory that long edges take: each stands in all bands it crosses.
const maxBands = 1024

func (f *Fence) spread(edges []edge) {
	n := min(maxBands, max(1, len(edges)/4))
	f.step = (f.bound.Max[1] - f.bound.Min[1]) / float64(n)
	f.bands = make([][]edge, n)
	for _, e := range edges {
		low, high := minMax(e.a[1], e.b[1])
		for i := f.band(low); i <= f.band(high); i++ {
			f.bands[i] = append(f.bands[i], e)
		}
	}
}

// band is the band of a latitude, the nearest for one beyond the area.
func (f *Fence) band(lat float64) int {
	i := (lat - f.bound.Min[1]) / f.step
	return int(max(0, min(float64(len(f.bands)-1), i)))
}

func minMax(a, b float64) (low, high float64) { return min(a, b), max(a, b) }

// Contains reports that the point is in the area; on the border itself either is
// possible (Locate decides there by distance).
func (f *Fence) Contains(p Point) bool {
	if !f.bound.Contains(orb.Point{p.Lon, p.Lat}) {
		return false
	}
	in := false
	for _, e := range f.bands[f.band(p.Lat)] { // a ray to the east, even and odd
		if (e.a[1] > p.Lat) != (e.b[1] > p.Lat) &&
			p.Lon < e.a[0]+(e.b[0]-e.a[0])*(p.Lat-e.a[1])/(e.b[1]-e.a[1]) {
			in = !in
		}
	}
	return in
}

// Locate gives the verdict on a position. A radius that just reaches the border is
// still clear; on the border, with no radius, is inside.
func (f *Fence) Locate(fix Fix) (Verdict, error) {
	if !(fix.Accuracy >= 0 && fix.Accuracy <= 1e7) {
		return "", fmt.Errorf("accuracy of %g metres: want 0 to 10,000,000", fix.Accuracy)
	}
	p, err := fix.Datum.ToWGS84(fix.Lat, fix.Lon)
	if err != nil {
		return "", err
	}
	far := max(fix.Accuracy, onBorder)
	d := f.Distance(p, far)
	switch {
	case d < fix.Accuracy:
		return Ambiguous, nil
	case d < onBorder || f.Contains(p):
		return Inside, nil
	}
	return Outside, nil
}

// Distance is how many metres the border is from the point, measured on the plane that
// touches the earth there; limit if it is farther than that.
func (f *Fence) Distance(p Point, limit float64) float64 {
	perLat, perLon := metres(p.Lat, wgsAxis, wgsEcc2)
	dLat, dLon := limit/perLat, limit/max(perLon, 1)
	if p.Lat+dLat < f.bound.Min[1] || p.Lat-dLat > f.bound.Max[1] || p.Lon+dLon < f.bound.Min[0] || p.Lon-dLon > f.bound.Max[0] {
		return limit
	}
	best := limit
	at := orb.Point{p.Lon, p.Lat}
	for i := f.band(p.Lat - dLat); i <= f.band(p.Lat+dLat); i++ {
		for _, e := range f.bands[i] {
			if west, east := minMax(e.a[0], e.b[0]); east < p.Lon-dLon || west > p.Lon+dLon {
				continue
			}
			best = min(best, segmentDistance(e.a, e.b, at, perLon, perLat))
		}
	}
	return best
}

// segmentDistance is the distance of p from the segment a–b, with degrees stretched by
// sx and sy.
func segmentDistance(a, b, p orb.Point, sx, sy float64) float64 {
	ax, ay := (a[0]-p[0])*sx, (a[1]-p[1])*sy
	dx, dy := (b[0]-a[0])*sx, (b[1]-a[1])*sy
	t := 0.0
	if length2 := dx*dx + dy*dy; length2 > 0 {
		t = max(0, min(1, -(ax*dx+ay*dy)/length2))
	}
	return math.Hypot(ax+t*dx, ay+t*dy)
}

// checkCrossings refuses rings that cross, and a ring that touches itself.
func (f *Fence) checkCrossings(rings []ring) error {
	for _, band := range f.bands {
		slices.SortFunc(band, func(x, y edge) int { return compare(min(x.a[0], x.b[0]), min(y.a[0], y.b[0])) })
		for i, e := range band {
			_, east := minMax(e.a[0], e.b[0])
			for _, g := range band[i+1:] {
				if min(g.a[0], g.b[0]) > east {
					break
				}
				if conflict(e, g) {
					worst := max(e.at, g.at)
					if e.from != g.from {
						worst = g.at
					}
					return rings[g.from].fault(worst, errCrosses)
				}
			}
		}
	}
	return nil
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// conflict reports that two edges may not both be. Edges of two rings may touch, as
// those of two districts do, but not cross; those of one ring may only meet where one
// follows the other, and not turn straight back there.
func conflict(e, g edge) bool {
	o1, o2 := side(e.a, e.b, g.a), side(e.a, e.b, g.b)
	o3, o4 := side(g.a, g.b, e.a), side(g.a, g.b, e.b)
	if o1*o2 < 0 && o3*o4 < 0 {
		return true
	}
	if e.from != g.from {
		return false
	}
	touch := (o1 == 0 && between(e, g.a)) || (o2 == 0 && between(e, g.b)) || (o3 == 0 && between(g, e.a)) || (o4 == 0 && between(g, e.b))
	if !touch {
		return false
	}
	if e.next == g.at || g.next == e.at {
		return o1 == 0 && o2 == 0 && turnsBack(e, g)
	}
	return true
}

// turnsBack reports that two edges on one line that meet at an end overlap.
func turnsBack(e, g edge) bool {
	if e.next != g.at {
		e, g = g, e
	}
	return (e.b[0]-e.a[0])*(g.b[0]-g.a[0])+(e.b[1]-e.a[1])*(g.b[1]-g.a[1]) < 0
}

// side is on which side of a–b the point is: the sign of the cross product.
func side(a, b, p orb.Point) int {
	return compare((b[0]-a[0])*(p[1]-a[1]), (b[1]-a[1])*(p[0]-a[0]))
}

func between(e edge, p orb.Point) bool {
	return p[0] >= min(e.a[0], e.b[0]) && p[0] <= max(e.a[0], e.b[0]) && p[1] >= min(e.a[1], e.b[1]) && p[1] <= max(e.a[1], e.b[1])
}
