//! The table that is printed at the end.

use std::fmt::Write as _;

use crate::run::Outcome;

/// The outcomes as aligned plain text, then what they depend on.
pub(crate) fn table(outcomes: &[Outcome], seed: u64) -> String {
    let head = ["fault", "tries", "passed", "notes", "seconds"].map(str::to_owned);
    let lines: Vec<[String; 5]> = std::iter::once(head).chain(outcomes.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let [fault, tries, passed, notes, seconds] = [0, 1, 2, 3, 4].map(width);
    let mut text = String::new();
    for [a, b, c, d, e] in &lines {
        let line = format!("{a:fault$} | {b:>tries$} | {c:>passed$} | {d:notes$} | {e:>seconds$}");
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    writeln!(text, "\nseed {seed}, kernel {}", kernel()).unwrap();
    text
}

fn cells(outcome: &Outcome) -> [String; 5] {
    let verdict = if outcome.failed { "FAILED; " } else { "" };
    [
        outcome.fault.to_owned(),
        outcome.tries.to_string(),
        outcome.passed.to_string(),
        format!("{verdict}{}", outcome.notes),
        format!("{:.0}", outcome.took.as_secs_f64()),
    ]
}

fn kernel() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", release.trim(), std::env::consts::ARCH)
}
