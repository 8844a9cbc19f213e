//! Moments in UTC and the four ways the protocols write them.
//!
//! A [`Utc`] counts milliseconds since 1970. Calendar arithmetic is the proleptic Gregorian
//! calendar with 400-year eras, which is exact for every year the formats below can hold.

/// A moment: milliseconds since 1970-01-01T00:00:00Z, never negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Utc(pub u64);

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MILLIS_PER_DAY: u64 = 86_400_000;

struct Civil {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    milli: u64,
}

impl Utc {
    /// From whole seconds since 1970.
    pub fn from_secs(secs: u64) -> Utc {
        Utc(secs.saturating_mul(1000))
    }

    /// Whole seconds since 1970.
    pub fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// `20261122T081959Z`: `X-Amz-Date`.
    pub fn amz(self) -> String {
        let c = self.civil();
        format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            c.year, c.month, c.day, c.hour, c.minute, c.second
        )
    }

    /// `20261122`: the date of a credential scope.
    pub fn date(self) -> String {
        let c = self.civil();
        format!("{:04}{:02}{:02}", c.year, c.month, c.day)
    }

    /// `2026-11-22T08:19:59.123Z`: replies, message envelopes, GetCommandInvocation.
    pub fn iso(self) -> String {
        let c = self.civil();
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            c.year, c.month, c.day, c.hour, c.minute, c.second, c.milli
        )
    }

    /// `Sun, 22 Nov 2026 08:19:59 GMT`: the HTTP `Date` header (RFC 9110 §5.6.7).
    pub fn http(self) -> String {
        let c = self.civil();
        let weekday = DAYS.get((self.0 / MILLIS_PER_DAY % 7) as usize).copied().unwrap_or("Thu");
        let month = MONTHS.get(c.month as usize - 1).copied().unwrap_or("Jan");
        format!(
            "{weekday}, {:02} {month} {:04} {:02}:{:02}:{:02} GMT",
            c.day, c.year, c.hour, c.minute, c.second
        )
    }

    /// Parses what [`Utc::amz`] writes.
    pub fn parse_amz(text: &str) -> Option<Utc> {
        let b = text.as_bytes();
        (b.len() == 16 && b.get(8) == Some(&b'T') && b.get(15) == Some(&b'Z')).then_some(())?;
        from_civil(&Civil {
            year: digits(text.get(0..4)?)?,
            month: digits(text.get(4..6)?)?,
            day: digits(text.get(6..8)?)?,
            hour: digits(text.get(9..11)?)?,
            minute: digits(text.get(11..13)?)?,
            second: digits(text.get(13..15)?)?,
            milli: 0,
        })
    }

    /// Parses ISO 8601 in UTC, with or without a fraction (kept to the millisecond).
    pub fn parse_iso(text: &str) -> Option<Utc> {
        let (whole, rest) = (text.get(..19)?, text.get(19..)?.strip_suffix('Z')?);
        let b = whole.as_bytes();
        let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        separators.iter().all(|(at, c)| b.get(*at) == Some(c)).then_some(())?;
        let milli = match rest.strip_prefix('.') {
            None if rest.is_empty() => 0,
            None => return None,
            Some(fraction) if fraction.is_empty() || digits(fraction).is_none() => return None,
            Some(fraction) => digits(format!("{fraction:0<3}").get(..3)?)?,
        };
        from_civil(&Civil {
            year: digits(whole.get(0..4)?)?,
            month: digits(whole.get(5..7)?)?,
            day: digits(whole.get(8..10)?)?,
            hour: digits(whole.get(11..13)?)?,
            minute: digits(whole.get(14..16)?)?,
            second: digits(whole.get(17..19)?)?,
            milli,
        })
    }

    /// Parses the preferred form of an HTTP date, the one [`Utc::http`] writes.
    pub fn parse_http(text: &str) -> Option<Utc> {
        let mut words = text.split_once(", ")?.1.split(' ');
        let day = digits(words.next()?)?;
        let name = words.next()?;
        let month = MONTHS.iter().position(|m| *m == name)? as u64 + 1;
        let year = digits(words.next()?)?;
        let mut clock = words.next()?.split(':');
        let (hour, minute, second) =
            (digits(clock.next()?)?, digits(clock.next()?)?, digits(clock.next()?)?);
        (words.next() == Some("GMT")).then_some(())?;
        from_civil(&Civil { year, month, day, hour, minute, second, milli: 0 })
    }

    fn civil(self) -> Civil {
        let (days, of_day) = (self.0 / MILLIS_PER_DAY, self.0 % MILLIS_PER_DAY);
        // Days since 0000-03-01, so that the leap day ends its year.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Civil {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: of_day / 3_600_000,
            minute: of_day / 60_000 % 60,
            second: of_day / 1000 % 60,
            milli: of_day % 1000,
        }
    }
}

fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.len() <= 18 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn from_civil(c: &Civil) -> Option<Utc> {
    let leap =
        c.year.is_multiple_of(4) && (!c.year.is_multiple_of(100) || c.year.is_multiple_of(400));
    let length = match c.month {
        2 => 28 + u64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let valid = c.year >= 1970
        && (1..=length).contains(&c.day)
        && c.hour < 24
        && c.minute < 60
        && c.second < 60;
    valid.then_some(())?;
    let year = c.year - u64::from(c.month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if c.month > 2 { c.month - 3 } else { c.month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + c.day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let of_day = ((c.hour * 60 + c.minute) * 60 + c.second) * 1000 + c.milli;
    Some(Utc(days * MILLIS_PER_DAY + of_day))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOMENT: Utc = Utc(1_795_335_599_123);

    #[test]
    fn one_moment_in_every_spelling() {
        assert_eq!(MOMENT.amz(), "20261122T081959Z");
        assert_eq!(MOMENT.date(), "20261122");
        assert_eq!(MOMENT.iso(), "2026-11-22T08:19:59.123Z");
        assert_eq!(MOMENT.http(), "Sun, 22 Nov 2026 08:19:59 GMT");
        assert_eq!(Utc(0).http(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(
            Utc::parse_iso("2024-02-29T00:00:00Z").unwrap().iso(),
            "2024-02-29T00:00:00.000Z"
        );
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2026-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2026-11-22T08:19:59.Z",
            "2026-11-22 08:19:59Z",
            "2026-11-22T24:00:00Z",
            "1969-01-01T00:00:00Z",
            "é026-11-22T08:19:59Z",
        ] {
            assert_eq!(Utc::parse_iso(text), None, "{text}");
        }
        for text in ["20261122T081959", "20261122t081959Z", "2026112xT081959Z", "20261100T081959Z"]
        {
            assert_eq!(Utc::parse_amz(text), None, "{text}");
        }
        for text in
            ["Sun, 22 Nov 2026 08:19:59 UTC", "22 Nov 2026", "Sun, 22 Foo 2026 08:19:59 GMT"]
        {
            assert_eq!(Utc::parse_http(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_spelling_comes_back(ms in 0u64..253_402_300_800_000) {
            let (moment, second) = (Utc(ms), Utc(ms / 1000 * 1000));
            prop_assert_eq!(Utc::parse_iso(&moment.iso()), Some(moment));
            prop_assert_eq!(Utc::parse_amz(&moment.amz()), Some(second));
            prop_assert_eq!(Utc::parse_http(&moment.http()), Some(second));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text: String) {
            let _ = (Utc::parse_iso(&text), Utc::parse_amz(&text), Utc::parse_http(&text));
        }
    }
}
