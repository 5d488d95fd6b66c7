//! Time as a value.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::evidence::receipt::ClockQuality;

/// Seconds since 1970-01-01T00:00:00Z, in years 1970 to 9999; written `2026-03-01T12:00:00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime(u64);

/// A text that is no UTC time of the form `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no UTC time of the form YYYY-MM-DDTHH:MM:SSZ")]
pub struct TimeError(String);

const DAY: u64 = 86_400;
/// 9999-12-31T23:59:59Z.
const LAST: u64 = 253_402_300_799;

impl UtcTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The time `seconds` after 1970-01-01T00:00:00Z, at most the end of year 9999.
    #[must_use]
    pub fn from_unix(seconds: u64) -> Self {
        Self(seconds.min(LAST))
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// The time `seconds` later.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self::from_unix(self.0.saturating_add(seconds))
    }

    /// The time `days` later.
    #[must_use]
    pub fn plus_days(self, days: u64) -> Self {
        self.plus(days.saturating_mul(DAY))
    }
}

/// How far a clock may stand behind signed time before it is called wrong: what a signing machine and an appliance may
/// honestly differ by.
pub const CLOCK_TOLERANCE_SECONDS: u64 = 600;

/// What the caller knows about the time. The core has no clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What the wall clock says; never raises the floor.
    pub wall: UtcTime,
    /// When this program was built: no true time is earlier.
    pub build: UtcTime,
    /// How long an appliance may be without news: a clock further beyond the floor is taken for wrong.
    pub offline_span_days: u64,
}

/// What a clock is worth against signed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether the wall clock contradicts the floor.
    pub quality: ClockQuality,
    /// The time expiry is judged at.
    pub now: UtcTime,
}

impl Clock {
    /// Judges the wall clock against the newest signed time, if there is one.
    ///
    /// A wall clock more than [`CLOCK_TOLERANCE_SECONDS`] behind the floor, or beyond floor + offline span, is
    /// untrusted: expiry is then judged at the floor itself, so that one clock jump neither strands an appliance nor
    /// leaves anything behind once it is corrected.
    #[must_use]
    pub fn judge(&self, signed: Option<UtcTime>) -> Judgement {
        let floor = signed.map_or(self.build, |signed| signed.max(self.build));
        let behind = self.wall.plus(CLOCK_TOLERANCE_SECONDS) < floor;
        let beyond = self.wall > floor.plus_days(self.offline_span_days);
        if behind || beyond {
            Judgement { quality: ClockQuality::Untrusted, now: floor }
        } else {
            Judgement { quality: ClockQuality::Plausible, now: self.wall.max(floor) }
        }
    }
}

/// Days since 1970-01-01 of a proleptic Gregorian date.
///
/// # Source
/// H. Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// As [`days_from_civil`], the other way: (year, month, day).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.0 / DAY);
        let second = self.0 % DAY;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for UtcTime {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let refuse = || TimeError(text.chars().take(40).collect());
        let bytes = text.as_bytes();
        let shape = b"dddd-dd-ddTdd:dd:ddZ";
        let fits = bytes.len() == shape.len()
            && bytes.iter().zip(shape).all(
                |(byte, want)| {
                    if *want == b'd' { byte.is_ascii_digit() } else { byte == want }
                },
            );
        if !fits {
            return Err(refuse());
        }
        let number =
            |from: usize, to: usize| bytes[from..to].iter().fold(0, |sum, byte| sum * 10 + u64::from(byte - b'0'));
        let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
        let (hour, minute, second) = (number(11, 13), number(14, 16), number(17, 19));
        if year < 1970 || !(1..=12).contains(&month) || day == 0 || hour > 23 || minute > 59 || second > 59 {
            return Err(refuse());
        }
        let days = days_from_civil(year, month, day);
        if civil_from_days(days) != (year, month, day) {
            return Err(refuse());
        }
        Ok(Self(days * DAY + hour * 3_600 + minute * 60 + second))
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UtcTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_seconds_are_the_same_time() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2026-11-22T01:39:15Z", 1_795_311_555),
            ("2038-01-19T03:14:08Z", 2_147_483_648),
            ("9999-12-31T23:59:59Z", LAST),
        ] {
            assert_eq!(text.parse::<UtcTime>().unwrap().unix(), seconds, "{text}");
            assert_eq!(UtcTime::from_unix(seconds).to_string(), text);
        }
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01 00:00:00Z",
            "1969-12-31T23:59:59Z",
            "",
        ] {
            assert!(text.parse::<UtcTime>().is_err(), "{text}");
        }
    }
}
