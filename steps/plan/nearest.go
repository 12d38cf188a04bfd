package plan

import (
	"slices"
	"strings"
)

// didYouMean returns `; did you mean "port"?` for the candidate nearest to
// word, or "" when none is near.
func didYouMean(word string, candidates []string) string {
	if best := nearest(word, candidates); best != "" {
		return "; did you mean " + quote(best) + "?"
	}
	return ""
}

// nearest allows one error in a word of up to four letters, and one more for
// every three letters after that. Of equals, the first in the alphabet.
func nearest(word string, candidates []string) string {
	if len(word) > 64 { // nobody mistypes that; and the distance costs len²
		return ""
	}
	limit := 1 + max(0, len(word)-2)/3
	best, bestAt := "", limit+1
	sorted := slices.Clone(candidates)
	slices.Sort(sorted)
	for _, c := range sorted {
		if len(c) > 80 {
			continue
		}
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestAt && d < len(c) {
			best, bestAt = c, d
		}
	}
	return best
}

// distance is the optimal string alignment distance: Levenshtein's, with two
// letters the wrong way round counting as one error.
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
