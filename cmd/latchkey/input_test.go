package main

import (
	"math"
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "90s": 90 * time.Second, "24h": day, "1h30m": 90 * time.Minute, "1.5h": 90 * time.Minute,
		"7d": 7 * day, "0d": 0, "1d12h": 36 * time.Hour, "65535d": 65535 * day,
	} {
		var got span
		if err := got.UnmarshalText([]byte(text)); err != nil || time.Duration(got) != want {
			t.Errorf("%q: %v and %v, want %v", text, time.Duration(got), err, want)
		}
	}
	for _, text := range []string{"", "d", "h", "7", "-1h", "-1d", "1d-2h", "1dd", "1d2d", "1.5d", "65536d", "65535d2562047h", "1 d", "12h1d", "٣d"} {
		var got span
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for %v", text, time.Duration(got))
		}
	}
	if 65535*day > math.MaxInt64-day {
		t.Error("the most days that are read come too near to overflow")
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 5, 8, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"7d":                        now.AddDate(0, 0, -7),
		"90m":                       now.Add(-90 * time.Minute),
		"0s":                        now,
		"2026-05-01T09:30:00Z":      time.Date(2026, 5, 1, 9, 30, 0, 0, time.UTC),
		"2026-05-01":                time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC),
		"2026-05-01T09:30:00+02:00": time.Date(2026, 5, 1, 7, 30, 0, 0, time.UTC),
	} {
		var s since
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got := s.from(now); got == nil || !got.Equal(want) {
			t.Errorf("%q: since %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", "yesterday", "2026-05-32", "2026-05-01 09:30:00", "2026-13-01T09:30:00Z", "-1h"} {
		if err := new(since).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was taken for a moment", text)
		}
	}
	if got := (since{}).from(now); got != nil {
		t.Errorf("without a flag, since %v", got)
	}
}
