//! A moment as people and RFC 3339 write it. Pure.

use time::OffsetDateTime;

/// The end of the year 9999, in seconds since 1970.
const LAST_SECOND: i64 = 253_402_300_799;

/// Milliseconds since 1970 in UTC, such as `2026-11-21T17:54:40.000Z`; what no calendar of four digits reaches stands as
/// its last moment.
pub fn rfc3339(unix_ms: u64) -> String {
    // A u64 of milliseconds is far within an i64 of seconds, and may be far beyond any calendar.
    let seconds = i64::try_from(unix_ms / 1_000).unwrap_or(i64::MAX).min(LAST_SECOND);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    let millis = unix_ms % 1_000;
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_what_a_calendar_says() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_800_001, "2024-02-29T00:00:00.001Z"),
            (4_107_542_400_001, "2100-03-01T00:00:00.001Z"),
            (u64::MAX, "9999-12-31T23:59:59.615Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
    }
}
