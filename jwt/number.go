package jwt

import (
	"math"
	"strconv"
)

// number is a JSON number, exactly as written: 0.DIGITS × 10^point.
type number struct {
	digits   span // from the first that is not 0; a dot may be among them; none for zero
	point    int
	negative bool
}

// number reads a number, which must be one that every reader can hold.
func (s *scanner) number() (number, bool) {
	n := number{negative: s.take('-')}
	first := s.pos
	whole := s.digits()
	if whole == 0 || whole > 1 && s.buf[first] == '0' {
		return n, s.fail("a number has no digit before its dot, or a leading zero")
	}
	integer := true
	if s.take('.') {
		if integer = false; s.digits() == 0 {
			return n, s.fail("a number has no digit after its dot")
		}
	}
	n.digits = span{first, s.pos}
	exponent := 0
	if s.take('e') || s.take('E') {
		integer = false
		var ok bool
		if exponent, ok = s.exponent(); !ok {
			return n, s.fail("a number has no digit in its exponent")
		}
	}
	n.point = whole + exponent
	for ; n.digits.start < n.digits.end; n.digits.start++ {
		if c := s.buf[n.digits.start]; c == '0' {
			n.point--
		} else if c != '.' {
			break
		}
	}
	if integer && !n.fitsInteger(s.buf) || !n.fitsFloat(s.buf) {
		return n, s.fail("a number is too large or too small for 64 bits")
	}
	return n, true
}

// exponent reads what follows the e of a number. Beyond 99999 it counts no
// further: no number of a token's length can make up for so many places.
func (s *scanner) exponent() (int, bool) {
	negative := s.take('-')
	if !negative {
		s.take('+')
	}
	first := s.pos
	if s.digits() == 0 {
		return 0, false
	}
	exponent := 0
	for _, c := range s.buf[first:s.pos] {
		exponent = min(exponent*10+int(c-'0'), 99999)
	}
	if negative {
		exponent = -exponent
	}
	return exponent, true
}

// fitsInteger reports whether n, an integer that stands in buf, fits int64 or uint64.
func (n number) fitsInteger(buf []byte) bool {
	digits := buf[n.digits.start:n.digits.end]
	if len(digits) < 19 || len(digits) > 20 {
		return len(digits) < 19
	}
	u, err := strconv.ParseUint(string(digits), 10, 64)
	return err == nil && (!n.negative || u <= -math.MinInt64)
}

// fitsFloat reports whether n is within float64: not rounded to infinity, and to
// zero only if it is zero. It looks at 17 digits, as many as a float64 has: the
// few numbers that differ from a bound behind them are out.
func (n number) fitsFloat(buf []byte) bool {
	switch {
	case n.zero() || -323 < n.point && n.point < 309:
		return true
	case n.point == 309:
		return n.first(17, buf) < 17976931348623158 // 2^1024 - 2^970 rounds to infinity
	case n.point == -323:
		return n.first(17, buf) > 24703282292062327 // 2^-1075 rounds to zero
	}
	return false
}

// zero reports whether n is 0, or -0.
func (n number) zero() bool {
	return n.digits.start == n.digits.end
}

// micros returns n × 10^6, rounded down, if n, which stands in buf, is from 0 to
// MaxTime.
func (n number) micros(buf []byte) (int64, bool) {
	if n.zero() {
		return 0, true
	}
	places := n.point + 6
	if n.negative || places > 18 { // MaxTime × 10^6 has 18 digits
		return 0, false
	}
	micros := n.first(places, buf)
	return micros, micros <= MaxTime*1e6
}

// unit names the unit of a number that is too large for seconds, if it is a time
// in a smaller one, from 1973 on; else it is "".
func (n number) unit() string {
	switch {
	case n.negative || n.zero():
		return ""
	case 12 <= n.point && n.point <= 14: // 1e11 … 1e14
		return "milliseconds"
	case 15 <= n.point && n.point <= 17:
		return "microseconds"
	case 18 <= n.point && n.point <= 20:
		return "nanoseconds"
	}
	return ""
}

// first returns the first places digits of n, 18 at most, as an integer: zeros
// follow those that are written.
func (n number) first(places int, buf []byte) int64 {
	var first int64
	digits := buf[n.digits.start:n.digits.end]
	for range max(places, 0) {
		if len(digits) > 0 && digits[0] == '.' {
			digits = digits[1:]
		}
		first *= 10
		if len(digits) > 0 {
			first += int64(digits[0] - '0')
			digits = digits[1:]
		}
	}
	return first
}

// digits skips decimal digits and returns how many there were.
func (s *scanner) digits() int {
	first := s.pos
	for s.pos < len(s.buf) && '0' <= s.buf[s.pos] && s.buf[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - first
}
