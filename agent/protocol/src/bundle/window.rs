//! Maintenance windows: `Sun 02:00-05:00`, `Mon,Wed 22:00-02:00`, `02:00-05:00` (every day), in UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::tuf::time::UtcTime;

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const EVERY_DAY: u8 = 0b111_1111;

/// A text that is no window.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no window such as \"Sun 02:00-05:00\", \"Mon,Wed 22:00-02:00\" or \"02:00-05:00\" (UTC)")]
pub struct WindowError(String);

/// When an owner's generation may become current: the same span of time on some days of every week, UTC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Days on which it opens; bit 0 is Monday.
    days: u8,
    /// Minute of the day it opens.
    from: u64,
    /// Minute of the day it closes, before it or, past midnight, after it; never the same.
    to: u64,
}

impl Window {
    /// Whether `at` is in it: its first second is, its last minute's end is not.
    #[must_use]
    pub fn contains(&self, at: UtcTime) -> bool {
        let (day, minute) = (at.unix() / DAY, at.unix() % DAY / MINUTE);
        if self.from < self.to {
            return self.opens_on(day) && (self.from..self.to).contains(&minute);
        }
        (self.opens_on(day) && minute >= self.from) || (day > 0 && self.opens_on(day - 1) && minute < self.to)
    }

    /// Seconds from `at` until it is open: 0 while it is.
    #[must_use]
    pub fn opens_in_seconds(&self, at: UtcTime) -> u64 {
        if self.contains(at) {
            return 0;
        }
        let today = at.unix() / DAY;
        // Eight days reach the same weekday again, later in the day.
        let openings = (today..=today + 7).filter(|day| self.opens_on(*day)).map(|day| day * DAY + self.from * MINUTE);
        openings.filter_map(|opening| opening.checked_sub(at.unix())).min().unwrap_or(self.longest_wait_seconds())
    }

    /// The longest anybody can have to wait for it: what an appliance waits that does not know the time.
    #[must_use]
    pub fn longest_wait_seconds(&self) -> u64 {
        if self.days == EVERY_DAY { DAY } else { 7 * DAY }
    }

    fn opens_on(&self, day: u64) -> bool {
        // 1970-01-01, day 0, was a Thursday.
        self.days >> ((day + 3) % 7) & 1 == 1
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != EVERY_DAY {
            let days: Vec<_> = (0..7).filter(|day| self.days >> day & 1 == 1).map(|day| DAYS[day]).collect();
            write!(f, "{} ", days.join(","))?;
        }
        write!(f, "{:02}:{:02}-{:02}:{:02}", self.from / 60, self.from % 60, self.to / 60, self.to % 60)
    }
}

impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        parse(text).ok_or_else(|| WindowError(text.chars().take(80).collect()))
    }
}

fn parse(text: &str) -> Option<Window> {
    let (days, span) = match text.split_once(' ') {
        None => (EVERY_DAY, text),
        Some((days, span)) => (days_of(days)?, span),
    };
    let (from, to) = span.split_once('-')?;
    let (from, to) = (minute_of_day(from)?, minute_of_day(to)?);
    (from != to).then_some(Window { days, from, to })
}

fn days_of(text: &str) -> Option<u8> {
    text.split(',').try_fold(0, |days, name| {
        let bit = 1 << DAYS.iter().position(|day| *day == name)?;
        (days & bit == 0).then_some(days | bit)
    })
}

fn minute_of_day(text: &str) -> Option<u64> {
    let (hour, minute) = text.split_once(':')?;
    Some(two_digits(hour, 24)? * 60 + two_digits(minute, 60)?)
}

fn two_digits(text: &str, end: u64) -> Option<u64> {
    let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number < end)
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UtcTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_opens_on_its_day_at_its_minute_and_closes_at_its_end() {
        let sunday: Window = "Sun 02:00-05:00".parse().unwrap();
        // 2026-03-01 is a Sunday.
        for (time, open) in [
            ("2026-03-01T01:59:59Z", false),
            ("2026-03-01T02:00:00Z", true),
            ("2026-03-01T04:59:59Z", true),
            ("2026-03-01T05:00:00Z", false),
            ("2026-03-02T03:00:00Z", false),
        ] {
            assert_eq!(sunday.contains(at(time)), open, "{time}");
        }
    }

    #[test]
    fn a_window_past_midnight_belongs_to_the_day_it_opens_on() {
        let night: Window = "Mon,Wed 22:00-02:00".parse().unwrap();
        assert!(night.contains(at("2026-03-02T23:00:00Z")) && night.contains(at("2026-03-03T01:59:59Z")));
        assert!(!night.contains(at("2026-03-03T22:30:00Z")) && !night.contains(at("2026-03-02T01:00:00Z")));
    }

    #[test]
    fn the_wait_ends_at_the_first_opening_and_is_never_longer_than_stated() {
        let sunday: Window = "Sun 02:00-05:00".parse().unwrap();
        assert_eq!(sunday.opens_in_seconds(at("2026-03-01T03:00:00Z")), 0);
        assert_eq!(sunday.opens_in_seconds(at("2026-03-01T01:59:00Z")), 60);
        assert_eq!(sunday.opens_in_seconds(at("2026-03-01T05:00:00Z")), 7 * DAY - 3 * 3600);
        let daily: Window = "02:00-05:00".parse().unwrap();
        assert_eq!(daily.opens_in_seconds(at("2026-03-01T05:00:00Z")), DAY - 3 * 3600);
        for window in [sunday, daily] {
            for hour in 0..24 * 8 {
                let now = at("2026-03-01T00:30:00Z").plus(hour * 3600);
                let wait = window.opens_in_seconds(now);
                assert!(
                    wait <= window.longest_wait_seconds() && window.contains(now.plus(wait)),
                    "{window} at {now:?}"
                );
                assert!(wait == 0 || !window.contains(now.plus(wait - 1)));
            }
        }
    }

    #[test]
    fn a_window_is_written_as_it_was_read() {
        for text in ["Sun 02:00-05:00", "Mon,Wed 22:00-02:00", "02:00-05:00"] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in
            ["", "Sun", "Sun 2:00-05:00", "Sun 02:00", "sun 02:00-05:00", "Sun 02:00-02:00", "Sun,Sun 02:00-05:00"]
        {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
        for text in ["Sun 24:00-05:00", "Sun 02:60-05:00", "Sun  02:00-05:00", "+1:00-02:00", "Sun, 02:00-05:00"] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }
}
