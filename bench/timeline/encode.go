package timeline

import (
	"slices"
	"strconv"
	"strings"
)

// appendLine appends the line of a file that holds p, as encoding/json would write it, in a fifth of the time.
func (p *Requests) appendLine(dst []byte) []byte {
	dst = append(dst, `{"requests":{"n":`...)
	dst = strconv.AppendInt(dst, int64(p.N), 10)
	for _, c := range p.columns() {
		if len(*c.values) > 0 {
			dst = appendKey(append(dst, ','), c.name)
			dst = appendNumbers(dst, *c.values)
		}
	}
	if len(p.Outcome) > 0 {
		dst = appendOutcomes(append(dst, `,"outcome":`...), p.Outcome)
	}
	if len(p.Hidden) > 0 {
		dst = appendNumbers(append(dst, `,"hidden":`...), p.Hidden)
	}
	return append(dst, "}}\n"...)
}

// appendOutcomes sorts by name, as encoding/json does.
func appendOutcomes(dst []byte, positions map[Outcome][]int64) []byte {
	all := Outcomes()
	slices.SortFunc(all, func(a, b Outcome) int { return strings.Compare(a.String(), b.String()) })
	separator := byte('{')
	for _, o := range all {
		if len(positions[o]) > 0 {
			dst = appendKey(append(dst, separator), o.String())
			dst = appendNumbers(dst, positions[o])
			separator = ','
		}
	}
	return append(dst, '}')
}

func appendKey(dst []byte, name string) []byte {
	dst = append(dst, '"')
	dst = append(dst, name...)
	return append(dst, `":`...)
}

func appendNumbers(dst []byte, values []int64) []byte {
	separator := byte('[')
	for _, v := range values {
		dst = strconv.AppendInt(append(dst, separator), v, 10)
		separator = ','
	}
	return append(dst, ']')
}
