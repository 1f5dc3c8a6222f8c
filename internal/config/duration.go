package config

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	durationPart = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h|d|w)`)
	rate         = regexp.MustCompile(`(?i)([0-9 ](bits?|[kmgt]i?b|[kmgt]bits?|b|bytes)|bps|/s|/d|/day)$`)
	bareNumber   = regexp.MustCompile(`^[0-9.]+$`)
)

var units = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond,
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// ParseDuration reads a positive duration: Go's forms, and d for days of 24 hours and w for weeks.
// Its errors do not hold s.
func ParseDuration(s string) (time.Duration, error) {
	rest, total := strings.TrimSpace(s), 0.0
	exact := int64(0)
	switch {
	case rest == "":
		return 0, errors.New("no duration given")
	case bareNumber.MatchString(rest):
		return 0, errors.New("a duration needs a unit, such as 30s, 5m, 12h, 30d")
	case strings.HasPrefix(rest, "-"):
		return 0, errors.New("a duration must not be negative")
	case rate.MatchString(rest):
		return 0, errors.New("a duration expected, this looks like a rate or a size")
	}
	for rest != "" {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return 0, errors.New("not a duration such as 30s, 5m, 12h, 30d, 2w")
		}
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, errors.New("not a duration such as 30s, 5m, 12h, 30d, 2w")
		}
		unit := units[m[2]]
		if total += n * float64(unit); total >= math.MaxInt64 {
			return 0, errors.New("a duration is at most 292 years")
		}
		if whole, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			exact += whole * int64(unit)
		} else {
			exact += int64(math.Round(n * float64(unit)))
		}
		rest = rest[len(m[0]):]
	}
	if exact <= 0 {
		return 0, errors.New("a duration must be more than nothing")
	}
	return time.Duration(exact), nil
}
