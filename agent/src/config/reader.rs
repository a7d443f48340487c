//! Reads one typed value per key out of the merged texts and notes what is wrong. It knows nothing of what values
//! mean together.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::key::{Kind, Unit};
use super::layers::{Merged, Setting};
use super::problems::{Problem, Source};

/// The longest part of a faulty value that a message quotes, in characters.
const QUOTED: usize = 80;

/// Reads values; a value that can not be read is noted as a problem, and something harmless stands for it, so that
/// reading goes on and finds the other problems.
pub(super) struct Reader {
    pub(super) merged: Merged,
}

impl Reader {
    fn setting(&self, name: &str) -> Option<&Setting> {
        self.merged.settings.iter().find(|setting| setting.key.name == name)
    }

    /// Whether a layer above the defaults gives this key.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.setting(name).is_some_and(|setting| setting.source != Source::Default)
    }

    /// Notes a fault of this key, as the rest of a sentence that begins with the key.
    pub(super) fn fault(&mut self, name: &str, fault: impl Into<String>) {
        let source = self.setting(name).map_or(Source::Default, |setting| setting.source.clone());
        self.merged.problems.push(Problem { key: Some(name.to_owned()), source, fault: fault.into() });
    }

    /// The key's value by `parse`; `None` where it is unset or faulty. The error of `parse` continues a sentence
    /// that begins with the value.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(Kind, &str) -> Result<T, String>,
    ) -> Option<T> {
        let setting = self.setting(name)?;
        let text = setting.text.as_deref()?;
        let parsed = match text.chars().find(|c| c.is_control()) {
            Some(control) => Err(format!("holds the control character {control:?}")),
            None => parse(setting.key.kind, text),
        };
        match parsed {
            Ok(value) => Some(value),
            Err(fault) => {
                let shown = setting.shown().unwrap_or_default();
                let cut = if shown.chars().count() > QUOTED { "…" } else { "" };
                let start: String = shown.chars().take(QUOTED).collect();
                self.fault(name, format!("`{}{cut}` {fault}", start.escape_debug()));
                None
            }
        }
    }

    /// A whole number within the table's range.
    pub(super) fn number<T: TryFrom<u64> + Default>(&mut self, name: &str) -> T {
        self.optional(name, |kind, text| {
            let Kind::Whole { unit, min, max } = kind else {
                return Err("is not read as a number".to_owned());
            };
            let number = text.parse::<u64>().ok().filter(|number| (min..=max).contains(number));
            number
                .and_then(|number| T::try_from(number).ok())
                .ok_or_else(|| format!("is not {} from {min} to {max}", noun(unit)))
        })
        .unwrap_or_default()
    }

    /// A number of seconds.
    pub(super) fn seconds(&mut self, name: &str) -> Duration {
        Duration::from_secs(self.number(name))
    }

    /// A number of GB, in bytes.
    pub(super) fn gigabytes(&mut self, name: &str) -> u64 {
        self.optional(name, |_, text| {
            gigabytes(text).ok_or_else(|| {
                "is not a number of GB from 0.01 to 100000, with at most three decimals".to_owned()
            })
        })
        .unwrap_or_default()
    }

    /// True or false.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.optional(name, |_, text| match text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("is not true, false, 1 or 0".to_owned()),
        })
        .unwrap_or_default()
    }

    /// A text that may be unset.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.optional(name, |_, text| Ok(text.to_owned()))
    }

    /// A path that may be unset.
    pub(super) fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    /// A value whose type reads itself; `form` says what it is, with its article.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, form: &str) -> Option<T> {
        self.optional(name, |_, text| text.parse().map_err(|_| format!("is not {form}")))
    }

    /// An IP address.
    pub(super) fn ip(&mut self, name: &str) -> Option<IpAddr> {
        self.parsed(name, "an IP address such as 0.0.0.0, 127.0.0.1 or ::")
    }
}

fn noun(unit: Unit) -> &'static str {
    match unit {
        Unit::Port => "a port",
        Unit::Seconds => "a number of seconds",
        Unit::Bytes => "a number of bytes",
        Unit::Megabytes => "a number of MB",
        Unit::Pages => "a number of pages",
        Unit::Count => "a number",
    }
}

/// Bytes of a decimal number of GB; `None` outside 0.01 to 100000 and past three decimals.
fn gigabytes(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 3 {
        return None;
    }
    let thousandths =
        whole.parse::<u64>().ok()?.checked_mul(1000)? + format!("{decimals:0<3}").parse::<u64>().ok()?;
    // At most 10^8 × 2^30, which a u64 holds.
    (10..=100_000_000).contains(&thousandths).then(|| thousandths * (1 << 30) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gigabytes_have_decimals_and_a_range() {
        assert_eq!(gigabytes("10"), Some(10 << 30));
        assert_eq!(gigabytes("0.5"), Some(1 << 29));
        assert_eq!(gigabytes("0.010"), Some((10 << 30) / 1000));
        assert_eq!(gigabytes("100000"), Some(100_000 << 30));
        let bad = [
            "0",
            "0.0",
            "0.001",
            "0.0001",
            "100000.001",
            "-1",
            "+1",
            "1e3",
            ".5",
            "5.",
            "",
            "inf",
            "18446744073709551615",
        ];
        for text in bad {
            assert_eq!(gigabytes(text), None, "{text}");
        }
    }
}
