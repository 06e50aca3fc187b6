package fence

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/planar"
	"pgregory.net/rapid"
)

// apart is the distance of two points in metres, east and north.
func apart(a, b Point) (east, north float64) {
	perLat, perLon := metres(a.Lat, wgsAxis, wgsEcc2)
	return (b.Lon - a.Lon) * perLon, (b.Lat - a.Lat) * perLat
}

// at is the point so many metres from p.
func at(p Point, east, north float64) Point {
	perLat, perLon := metres(p.Lat, wgsAxis, wgsEcc2)
	return Point{p.Lat + north/perLat, p.Lon + east/perLon}
}

func TestGoldenPoints(t *testing.T) {
	got := GCJ02.FromWGS84(Point{39.90105, 116.42079})
	if math.Abs(got.Lat-39.90245) > 0.00001 || math.Abs(got.Lon-116.42703) > 0.00001 { // published to a metre
		t.Errorf("GCJ-02 is %.6f, %.6f, want 39.90245, 116.42703", got.Lat, got.Lon)
	}
	// Examples of public converters, with this axis: to the micrometre.
	if g := gcjShift(Point{39.915, 116.404}); math.Abs(g.Lat-39.91640428150164) > 1e-9 || math.Abs(g.Lon-116.41024449916938) > 1e-9 {
		t.Errorf("GCJ-02 is %.9f, %.9f", g.Lat, g.Lon)
	}
	// The published example of the BD-09 form: 39.915 N 116.404 E of GCJ-02.
	if b := bdShift(Point{39.915, 116.404}); math.Abs(b.Lat-39.92133699351021) > 1e-9 || math.Abs(b.Lon-116.41036949371029) > 1e-9 {
		t.Errorf("BD-09 is %.9f, %.9f", b.Lat, b.Lon)
	}
	for _, c := range []struct {
		city        string
		at          Point
		east, north float64
	}{
		{"Wangfujing", Point{39.915, 116.411}, 533, 156},
		{"Shanghai", Point{31.2304, 121.4737}, 431, -216},
		{"Luohu", Point{22.548, 114.131}, 524, -299},
		{"Chengdu", Point{30.6586, 104.0648}, 240, -270},
		{"Changsha", Point{28.2282, 112.9388}, 535, -390},
	} {
		east, north := apart(c.at, GCJ02.FromWGS84(c.at))
		if math.Abs(east-c.east) > 12 || math.Abs(north-c.north) > 12 {
			t.Errorf("%s is moved by %.0f m east, %.0f m north, want %.0f, %.0f", c.city, east, north, c.east, c.north)
		}
	}
}

func TestThereAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Point{rapid.Float64Range(18, 53.5).Draw(t, "lat"), rapid.Float64Range(73.5, 135).Draw(t, "lon")}
		for _, d := range []Datum{WGS84, GCJ02, BD09} {
			moved := d.FromWGS84(p)
			back, err := d.ToWGS84(moved.Lat, moved.Lon)
			if east, north := apart(p, back); err != nil || math.Hypot(east, north) > 0.01 {
				t.Fatalf("%s: %v comes back as %v, %v", d, p, back, err)
			}
		}
	})
}

func TestOutsideOfChinaNothingIsMoved(t *testing.T) {
	for _, p := range []Point{{48.8566, 2.3522}, {-33.86, 151.2}, {35.68, 139.69}, {0, 105}} {
		for _, d := range []Datum{GCJ02, BD09} {
			if back, err := d.ToWGS84(p.Lat, p.Lon); back != p || err != nil || d.FromWGS84(p) != p {
				t.Errorf("%s moves %v to %v, %v", d, p, back, err)
			}
		}
	}
	for _, bad := range []Point{{91, 0}, {0, 181}, {math.NaN(), 0}, {0, math.NaN()}, {math.Inf(1), 0}} {
		if _, err := GCJ02.ToWGS84(bad.Lat, bad.Lon); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	if _, err := Datum("").ToWGS84(39, 116); err == nil {
		t.Error("a coordinate without a datum was taken")
	}
}

// square is a ring of half the side around c.
func square(c Point, half float64) orb.Ring {
	corner := func(e, n float64) orb.Point { p := at(c, e, n); return orb.Point{p.Lon, p.Lat} }
	return orb.Ring{corner(-half, -half), corner(half, -half), corner(half, half), corner(-half, half), corner(-half, -half)}
}

// area writes polygons in a datum.
func area(tb testing.TB, d Datum, polygons ...orb.Polygon) []byte {
	tb.Helper()
	moved := make([][][][2]float64, len(polygons))
	for i, p := range polygons {
		for _, r := range p {
			var ring [][2]float64
			for _, v := range r {
				w := d.FromWGS84(Point{v[1], v[0]})
				ring = append(ring, [2]float64{w.Lon, w.Lat})
			}
			moved[i] = append(moved[i], ring)
		}
	}
	b, err := json.Marshal(map[string]any{"type": "MultiPolygon", "datum": d, "coordinates": moved})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

var wangfujing = Point{39.915, 116.411}

// town is a square of 2 km with a hole of 200 m in its middle and a part 5 km east.
func town() []orb.Polygon {
	return []orb.Polygon{
		{square(wangfujing, 1000), square(wangfujing, 100)},
		{square(at(wangfujing, 5000, 0), 300)},
	}
}

func TestBordersAndHolesToTheMetre(t *testing.T) {
	for _, d := range []Datum{WGS84, GCJ02, BD09} {
		f, err := Parse(area(t, d, town()...))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name            string
			east, north, by float64
			want            Verdict
		}{
			{"a metre inside", 999, 500, 0, Inside},
			{"a metre outside", 1001, 500, 0, Outside},
			{"on the border", 1000, 500, 0, Inside},
			{"on the border, a metre vague", 1000, 500, 1, Ambiguous},
			{"inside by more than the radius", 979, 500, 20, Inside},
			{"inside by less", 981, 500, 20, Ambiguous},
			{"outside by more", 1021, 500, 20, Outside},
			{"outside by less", 1019, 500, 20, Ambiguous},
			{"in the hole", 0, 0, 99, Outside},
			{"in the hole, vaguely", 0, 0, 101, Ambiguous},
			{"in the hole by a metre", 99, 0, 0, Outside},
			{"out of the hole by a metre", 101, 0, 0, Inside},
			{"on the hole's border", 100, 0, 0, Inside},
			{"in the detached part", 5000, 0, 299, Inside},
			{"between the parts", 3000, 0, 1500, Outside},
			{"between the parts, vaguely", 3000, 0, 1800, Ambiguous},
			{"far away", 400_000, 0, 1000, Outside},
			{"anywhere", 400_000, 0, 1_000_000, Ambiguous},
		} {
			p := d.FromWGS84(at(wangfujing, c.east, c.north))
			got, err := f.Locate(Fix{d, p.Lat, p.Lon, c.by})
			if got != c.want || err != nil {
				t.Errorf("%s: %s: got %s, want %s (%v)", d, c.name, got, c.want, err)
			}
		}
	}
}

// TestTheDatumDecides: a point just inside, taken for another datum, is outside.
func TestTheDatumDecides(t *testing.T) {
	f, err := Parse(area(t, WGS84, town()...))
	if err != nil {
		t.Fatal(err)
	}
	p := at(wangfujing, -900, 500)
	if v, err := f.Locate(Fix{WGS84, p.Lat, p.Lon, 10}); v != Inside || err != nil {
		t.Error(v, err)
	}
	if v, err := f.Locate(Fix{GCJ02, p.Lat, p.Lon, 10}); v != Outside || err != nil {
		t.Errorf("read as GCJ-02 it lies 533 m further west, but is %s, %v", v, err)
	}
}

// TestThousandPoints asks a jagged town, in both datums, and compares with orb's plain
// way over all edges.
func TestThousandPoints(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	shapes := orb.MultiPolygon{{jagged(wangfujing, 3000, 500, random), square(wangfujing, 400)}, {jagged(at(wangfujing, 9000, 2000), 1500, 77, random)}}
	f, err := Parse(area(t, WGS84, shapes...))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[Verdict]int{}
	for range 1000 {
		p := at(wangfujing, random.Float64()*15000-4000, random.Float64()*7000-3000)
		want := Outside
		if planar.MultiPolygonContains(shapes, orb.Point{p.Lon, p.Lat}) {
			want = Inside
		}
		by := random.Float64() * 400
		off := true
		perLat, perLon := metres(p.Lat, wgsAxis, wgsEcc2)
		for _, polygon := range shapes {
			for _, r := range polygon {
				for i := range r[1:] {
					off = off && segmentDistance(r[i], r[i+1], orb.Point{p.Lon, p.Lat}, perLon, perLat) > by
				}
			}
		}
		if !off {
			want = Ambiguous
		}
		counts[want]++
		for _, d := range []Datum{WGS84, GCJ02} {
			m := d.FromWGS84(p)
			if got, err := f.Locate(Fix{d, m.Lat, m.Lon, by}); got != want || err != nil {
				t.Errorf("%s %v: got %s, want %s (%v)", d, p, got, want, err)
			}
		}
	}
	if counts[Inside] < 100 || counts[Outside] < 100 || counts[Ambiguous] < 50 {
		t.Errorf("the points show little: %v", counts)
	}
}

// jagged is a star-shaped ring of n vertices.
func jagged(c Point, radius float64, n int, random *rand.Rand) orb.Ring {
	var r orb.Ring
	for i := range n {
		sin, cos := math.Sincos(2 * math.Pi * float64(i) / float64(n))
		d := radius * (0.7 + 0.3*random.Float64())
		p := at(c, cos*d, sin*d)
		r = append(r, orb.Point{p.Lon, p.Lat})
	}
	return append(r, r[0])
}

func TestNeighboursHaveNoBorderBetweenThem(t *testing.T) {
	east := Point{wangfujing.Lat, wangfujing.Lon}
	a := square(east, 500)
	b := orb.Ring{a[1], {2*a[1][0] - a[0][0], a[1][1]}, {2*a[1][0] - a[0][0], a[2][1]}, a[2], a[1]}
	f, err := Parse(area(t, WGS84, orb.Polygon{a}, orb.Polygon{b}))
	if err != nil {
		t.Fatal(err)
	}
	p := at(wangfujing, 500, 0)
	if v, err := f.Locate(Fix{WGS84, p.Lat, p.Lon, 50}); v != Inside || err != nil {
		t.Errorf("between two districts: %s, %v", v, err)
	}
}

func TestParseRefuses(t *testing.T) {
	collection := `{"type":"FeatureCollection","datum":"wgs84","features":[
		{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[[[116,39],[116.1,39],[116.1,39.1],[116,39]]]}},
		{"type":"Feature","properties":{},"geometry":{"type":"Polygon","coordinates":[%s]}}]}`
	for name, c := range map[string]struct {
		rings    string
		position int
		err      error
	}{
		"unclosed":           {`[[117,39],[117.1,39],[117.1,39.1],[117,39.1]]`, 3, errOpen},
		"three positions":    {`[[117,39],[117.1,39],[117,39]]`, -1, errShort},
		"exchanged":          {`[[39,117],[39,117.1],[39.1,117.1],[39,117]]`, 0, errExchanged},
		"bow tie":            {`[[117,39],[117.1,39.1],[117.1,39],[117,39.2],[117,39]]`, 2, errCrosses},
		"eight at a vertex":  {`[[117,39],[117.1,39],[117.05,39.05],[117.1,39.1],[117,39.1],[117.05,39.05],[117,39]]`, -2, errCrosses},
		"spike":              {`[[117,39],[117.1,39],[117.1,39.1],[117.2,39.1],[117.1,39.1],[117,39.1],[117,39]]`, -2, errCrosses},
		"flat":               {`[[117,39],[117.1,39],[117.2,39],[117,39]]`, -1, errFlat},
		"one number":         {`[[117],[117.1,39],[117.1,39.1],[117,39]]`, 0, errPosition},
		"hole outside":       {`[[117,39],[117.1,39],[117.1,39.1],[117,39]],[[118,39],[118.1,39],[118.1,39.1],[118,39]]`, -1, errHole},
		"hole through":       {`[[117,39],[117.2,39],[117.2,39.2],[117,39.2],[117,39]],[[117.1,39.1],[117.3,39.1],[117.3,39.15],[117.1,39.1]]`, -2, errCrosses},
		"inside another":     {`[[116.06,39.02],[116.08,39.02],[116.08,39.04],[116.06,39.02]]`, -1, errNested},
		"over another":       {`[[116.05,39.02],[116.2,39.02],[116.2,39.04],[116.05,39.02]]`, -2, errCrosses},
		"the same once more": {`[[116,39],[116.1,39],[116.1,39.1],[116,39]]`, -1, errNested},
	} {
		_, err := Parse(fmt.Appendf(nil, collection, c.rings))
		where, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, c.err) || (c.position > -2 && where.Position != c.position) {
			t.Errorf("%s: got %v, want position %d: %v", name, err, c.position, c.err)
			continue
		}
		if !strings.Contains(err.Error(), "feature 1") && where.Ring == 0 && !strings.HasSuffix(name, "another") && !errors.Is(c.err, errNested) {
			t.Errorf("%s: the error does not name the feature: %v", name, err)
		}
	}
	for name, b := range map[string]string{
		"no datum":    `{"type":"Polygon","coordinates":[[[116,39],[116.1,39],[116.1,39.1],[116,39]]]}`,
		"a line":      `{"type":"LineString","datum":"wgs84","coordinates":[[116,39],[116.1,39]]}`,
		"nothing":     `{"type":"FeatureCollection","datum":"wgs84","features":[]}`,
		"no geometry": `{"type":"Feature","datum":"wgs84"}`,
		"no ring":     `{"type":"Polygon","datum":"wgs84","coordinates":[]}`,
		"no JSON":     `x`,
		"too large":   strings.Repeat(" ", MaxSize+1),
	} {
		if _, err := Parse([]byte(b)); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	f, err := Parse(area(t, WGS84, town()...))
	if err != nil {
		t.Fatal(err)
	}
	for _, fix := range []Fix{{WGS84, 39, 116, -1}, {WGS84, 39, 116, math.NaN()}, {WGS84, 39, 116, math.Inf(1)}, {"", 39, 116, 1}, {WGS84, 116, 39, 1}} {
		if v, err := f.Locate(fix); err == nil {
			t.Errorf("%+v is %s", fix, v)
		}
	}
}

func TestAnIslandInALake(t *testing.T) {
	_, err := Parse(area(t, WGS84, orb.Polygon{square(wangfujing, 1000), square(wangfujing, 500)}, orb.Polygon{square(wangfujing, 100)}))
	if err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(area(f, WGS84, town()...))
	f.Add(area(f, BD09, town()...))
	f.Add([]byte(`{"type":"FeatureCollection","datum":"gcj02","features":[{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[116,39],[116.1,39,5],[116.1,39.1],[116,39]]]}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		area, err := Parse(b)
		if err != nil {
			return
		}
		for _, p := range []Point{wangfujing, {area.bound.Min[1], area.bound.Min[0]}, {area.bound.Max[1], area.bound.Max[0]}} {
			if v, err := area.Locate(Fix{WGS84, p.Lat, p.Lon, 5}); err != nil || (v != Inside && v != Outside && v != Ambiguous) {
				t.Errorf("%v is %q, %v", p, v, err)
			}
		}
	})
}

func BenchmarkLocate(b *testing.B) {
	f, err := Parse(area(b, WGS84, orb.Polygon{jagged(wangfujing, 30_000, 5000, rand.New(rand.NewPCG(1, 2)))}))
	if err != nil {
		b.Fatal(err)
	}
	for name, east := range map[string]float64{"middle": 0, "border": 25_000, "outside": 100_000} {
		p := GCJ02.FromWGS84(at(wangfujing, east, 10))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := f.Locate(Fix{GCJ02, p.Lat, p.Lon, 30}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
