//! HTTP dates in whole Unix seconds (RFC 9110 §5.6.7), over the httpdate crate.
//!
//! Deliberately absent: a clock.

use core::time::Duration;
use std::time::UNIX_EPOCH;

/// 31 December 9999, the last second that a date of four digits can say.
const SECONDS_MAX: u64 = 253_402_300_799;
/// The longest form is RFC 850's: `Wednesday, 06-Nov-94 08:49:37 GMT`.
const DATE_BYTES_MAX: usize = 33;

/// The Unix seconds of a date in any of the three forms; `None` for anything else, and for what lies before 1970.
#[must_use]
pub fn parse_date(text: &str) -> Option<u64> {
    if text.len() > DATE_BYTES_MAX {
        return None;
    }
    let time = httpdate::parse_http_date(text).ok()?;
    time.duration_since(UNIX_EPOCH)
        .ok()
        .map(|since| since.as_secs())
}

/// The date of those Unix seconds in the form that is to be sent: `Sun, 06 Nov 1994 08:49:37 GMT`.
#[must_use]
pub fn format_date(unix_seconds: u64) -> String {
    let seconds = unix_seconds.min(SECONDS_MAX);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_5_6_7_three_forms_are_one_time() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(text), Some(784_111_777), "{text}");
        }
        assert_eq!(format_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "now",
            "784111777",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1894 08:49:37 GMT",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn any_time_can_be_said() {
        assert_eq!(format_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format_date(u64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(parse_date(&format_date(u64::MAX)), Some(SECONDS_MAX));
    }
}
