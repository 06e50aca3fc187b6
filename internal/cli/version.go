package cli

import (
	"strconv"
	"strings"
)

// Older reports that release a comes before release b ("v1.4.2" before "v1.10.0", semver.org §11 without
// pre-releases). What is no release compares with nothing: false.
func Older(a, b string) bool {
	x, y := release(a), release(b)
	if x == nil || y == nil {
		return false
	}
	for i := range x {
		if x[i] != y[i] {
			return x[i] < y[i]
		}
	}
	return false
}

func release(v string) []int {
	parts := strings.Split(strings.TrimPrefix(v, "v"), ".")
	if len(parts) != 3 {
		return nil
	}
	numbers := make([]int, 3)
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil || n < 0 {
			return nil
		}
		numbers[i] = n
	}
	return numbers
}
