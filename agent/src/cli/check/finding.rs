//! What a check finds, and how it is told: a line each for people as soon as it is known, one document for scripts.

use std::process::ExitCode;

use clap::ArgMatches;
use serde_json::{Value, json};

use crate::cli::output::{Output, Style, span};

/// How a check came out, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// As it should be.
    Ok,
    /// Not looked at.
    Skipped,
    /// It works, and is worth a look.
    Warning,
    /// It will not work.
    Wrong,
}

/// One line of the report.
#[derive(Debug)]
pub(super) struct Finding {
    name: &'static str,
    mark: Mark,
    text: String,
}

impl Finding {
    fn new(name: &'static str, mark: Mark, text: impl Into<String>) -> Self {
        Self { name, mark, text: text.into() }
    }

    pub(super) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Mark::Ok, text)
    }

    pub(super) fn skipped(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Mark::Skipped, text)
    }

    pub(super) fn warning(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Mark::Warning, text)
    }

    pub(super) fn wrong(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(name, Mark::Wrong, text)
    }

    /// What holds, or what is wrong.
    pub(super) fn of(name: &'static str, result: Result<String, String>) -> Self {
        match result {
            Ok(text) => Self::ok(name, text),
            Err(text) => Self::wrong(name, text),
        }
    }
}

impl Mark {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => Style::Good,
            Self::Skipped => Style::Dim,
            Self::Warning => Style::Warn,
            Self::Wrong => Style::Bad,
        }
    }
}

/// All that was found so far.
pub(super) struct Report {
    output: Output,
    found: Vec<Finding>,
}

impl Report {
    pub(super) fn of(matches: &ArgMatches) -> Self {
        Self { output: Output::of(matches), found: Vec::new() }
    }

    /// Adds a finding, and tells it to people.
    pub(super) fn add(&mut self, finding: Finding) -> anyhow::Result<()> {
        if !self.output.json {
            let mut lines = finding.text.lines();
            self.output.line(&[
                span(finding.mark.style(), format!("{:<9}", finding.mark.word())),
                span(Style::Bold, format!("{:<16}", finding.name)),
                lines.next().unwrap_or_default().into(),
            ])?;
            for line in lines {
                self.output.text(&format!("{:25}{line}", ""))?;
            }
        }
        self.found.push(finding);
        Ok(())
    }

    /// Ends the report.
    pub(super) fn end(&self) -> anyhow::Result<ExitCode> {
        let count = |mark: Mark| self.found.iter().filter(|finding| finding.mark == mark).count();
        let (wrong, warnings) = (count(Mark::Wrong), count(Mark::Warning));
        if self.output.json {
            self.output.json(&self.json(wrong, warnings))?;
        } else {
            let summary = match (wrong, warnings) {
                (0, 0) => span(Style::Good, "all of it will work"),
                (0, warnings) => span(Style::Warn, format!("it will work; warnings: {warnings}")),
                (wrong, warnings) => span(Style::Bad, format!("wrong: {wrong}, warnings: {warnings}")),
            };
            self.output.line(&[summary])?;
        }
        Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn json(&self, wrong: usize, warnings: usize) -> Value {
        let one = |f: &Finding| json!({ "check": f.name, "result": f.mark.word(), "text": f.text });
        let findings: Vec<Value> = self.found.iter().map(one).collect();
        json!({ "findings": findings, "wrong": wrong, "warnings": warnings })
    }
}
