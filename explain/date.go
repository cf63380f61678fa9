package explain

import (
	"strconv"
	"strings"
	"time"
)

// zones are the names that real reports use for their zone, in hours. Numeric
// zones are what RFC 5322 asks for.
var zones = map[string]float64{
	"UT": 0, "UTC": 0, "GMT": 0, "Z": 0, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
	"JST": 9, "CET": 1, "CEST": 2, "MET": 1, "MEST": 2, "WET": 0, "WEST": 1, "EET": 2, "EEST": 3, "MSK": 3, "IST": 5.5, "BST": 1, "HKT": 8, "KST": 9, "AEST": 10, "AEDT": 11,
}

const months = "janfebmaraprmayjunjulaugsepoctnovdec"

// when is a date as a report tells it.
type when struct {
	time.Time
	// odd: the day of the week is not that of the date. Nobody's clock writes
	// that: the date was edited, and nothing must be computed from it.
	odd bool
}

// date reads a date of RFC 5322 3.3 and its relatives; the zero value if it is
// none. A zone that is missing or unknown counts as UTC.
func date(s string) when {
	s, _, _ = strings.Cut(s, "(")
	fs := strings.FieldsFunc(head(s, 100), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })
	if len(fs) == 0 {
		return when{}
	}
	weekday := ""
	if !digit(fs[0][0]) {
		weekday, fs = fs[0], fs[1:]
	}
	if len(fs) > 1 && weekday != "" && !digit(fs[0][0]) { // "Thu Apr 29 23:34:45 2010"
		return clock(weekday, fs)
	}
	if len(fs) > 0 && strings.Count(fs[0], "-") == 2 {
		return dashed(weekday, fs)
	}
	if len(fs) < 4 {
		return when{}
	}
	return made(weekday, fs[0], fs[1], fs[2], fs[3], fs[4:])
}

// clock reads the form of C's asctime.
func clock(weekday string, fs []string) when {
	switch {
	case len(fs) >= 4 && strings.Contains(fs[2], ":"):
		return made(weekday, fs[1], fs[0], fs[3], fs[2], fs[4:])
	case len(fs) >= 4 && strings.Contains(fs[3], ":"):
		return made(weekday, fs[1], fs[0], fs[2], fs[3], fs[4:])
	}
	return when{}
}

// dashed reads "2013-07-08 18-21-01" and "29-Apr-2017 23:34:45".
func dashed(weekday string, fs []string) when {
	p := strings.Split(fs[0], "-")
	if len(p[0]) == 4 {
		p[0], p[2] = p[2], p[0]
	}
	if len(fs) < 2 {
		return when{}
	}
	return made(weekday, p[0], p[1], p[2], strings.ReplaceAll(fs[1], "-", ":"), fs[2:])
}

// lastYear bounds the years that are believed; with what is added to a date, JSON
// can write it.
const lastYear = 2999

func made(weekday, day, month, year, hour string, zone []string) when {
	d, err := strconv.Atoi(day)
	y, err2 := strconv.Atoi(year)
	m := monthOf(month)
	if err != nil || err2 != nil || m == 0 || d < 1 || d > 31 || y < 0 || y > lastYear {
		return when{}
	}
	switch {
	case y < 50:
		y += 2000
	case y < 1000:
		y += 1900
	}
	hms := strings.Split(hour, ":")
	if len(hms) < 2 {
		return when{}
	}
	var n [3]int
	for i := range min(3, len(hms)) {
		w, _, _ := strings.Cut(hms[i], ".")
		if n[i], err = strconv.Atoi(w); err != nil || n[i] < 0 || n[i] > 60 {
			return when{}
		}
	}
	t := time.Date(y, m, d, n[0], n[1], n[2], 0, zoneOf(zone))
	odd := t.Day() != d
	if len(weekday) >= 3 && !strings.EqualFold(weekday[:3], t.Weekday().String()[:3]) && strings.Contains("sun mon tue wed thu fri sat", strings.ToLower(weekday[:3])) {
		odd = true
	}
	return when{t, odd}
}

func monthOf(s string) time.Month {
	if n, err := strconv.Atoi(s); err == nil && n >= 1 && n <= 12 {
		return time.Month(n)
	}
	if len(s) < 3 {
		return 0
	}
	if i := strings.Index(months, strings.ToLower(s[:3])); i >= 0 && i%3 == 0 {
		return time.Month(i/3 + 1)
	}
	return 0
}

func zoneOf(fs []string) *time.Location {
	for _, z := range fs {
		if len(z) == 5 && (z[0] == '+' || z[0] == '-') {
			n, err := strconv.Atoi(z[1:])
			if err != nil || n/100 > 14 || n%100 > 59 {
				return time.UTC
			}
			sec := n/100*3600 + n%100*60
			if z[0] == '-' {
				sec = -sec
			}
			if sec == 0 {
				return time.UTC
			}
			return time.FixedZone("", sec)
		}
		if h, ok := zones[strings.ToUpper(z)]; ok {
			if h == 0 {
				return time.UTC
			}
			return time.FixedZone("", int(h*3600))
		}
	}
	return time.UTC
}
