//! `--dry-run`: asks a node what would become of a document, and shows its answer as a table.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256 as Hasher};

use super::broker::PATIENCE;
use super::document::version;
use crate::cli::output::{Output, Progress, Span, Style, span};
use crate::cli::table::{Align, Table};
use crate::cli::words::{bytes, list, number, text};
use crate::desired::Sha256;
use crate::mqtt::{Heard, Operator, OperatorError, Retained, Said};

const COLUMNS: &[(&str, Align)] = &[
    ("FUNCTION", Align::Left),
    ("ACTION", Align::Left),
    ("VERSION", Align::Left),
    ("DOWNLOAD", Align::Right),
    ("DISK", Align::Right),
    ("REMARKS", Align::Left),
];

/// Publishes a document as a dry run, and tells what the node says to it.
pub(super) fn ask(
    operator: &mut Operator,
    mut document: Value,
    kept: &Retained,
    output: &Output,
    wait: u64,
) -> anyhow::Result<ExitCode> {
    if let Value::Object(fields) = &mut document {
        fields.insert("dryRun".to_owned(), true.into());
    }
    let message = document.to_string().into_bytes();
    let version = version(&document);
    let mut answer = Answer::to(&message, kept);
    operator.publish_dry_run(message, Instant::now() + PATIENCE)?;
    if wait > 0 {
        answer.wait(operator, version, Instant::now() + Duration::from_secs(wait))?;
    }
    let good = answer.code() == Some(200) || wait == 0;
    if output.json {
        let dry_run = answer.done.clone().unwrap_or(Value::Null);
        output.json(&json!({ "version": version, "dryRun": dry_run, "status": answer.online }))?;
    } else {
        let style = if good { Style::Good } else { Style::Bad };
        let words = span(style, answer.in_words(wait));
        output.line(&[format!("dry run of version {version}: ").into(), words])?;
        if let Some(told) = &answer.done {
            show(output, told)?;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the node says to one message.
struct Answer {
    /// The sha256 of the message.
    message: String,
    /// The last dry run that the node had told of before.
    before: Option<(String, u64)>,
    /// What it is at.
    at: Option<String>,
    /// Its answer.
    done: Option<Value>,
    /// Why there will be none.
    given_up: Option<String>,
    online: Option<String>,
}

impl Answer {
    fn to(message: &[u8], kept: &Retained) -> Self {
        let reported = kept.reported.as_deref().and_then(|it| serde_json::from_slice::<Value>(it).ok());
        let before = reported.as_ref().and_then(|reported| reported.get("dryRun")).map(which);
        let online = kept.status.as_deref().map(|it| String::from_utf8_lossy(it).into_owned());
        let message = Sha256::from_bytes(Hasher::digest(message).into()).to_string();
        Self { message, before, at: None, done: None, given_up: None, online }
    }

    fn wait(&mut self, operator: &mut Operator, version: u64, until: Instant) -> Result<(), OperatorError> {
        let mut progress = Progress::new();
        while self.done.is_none() && self.given_up.is_none() {
            let at = self.at.as_deref().unwrap_or("waiting for the node");
            progress.show(&format!("dry run of version {version}: {at}"));
            let Some(Heard { said, payload, .. }) = operator.next(Some(until))? else { break };
            match said {
                Said::Status => self.online = Some(String::from_utf8_lossy(&payload).into_owned()),
                Said::Reported => {
                    if let Ok(reported) = serde_json::from_slice(&payload) {
                        self.take(&reported);
                    }
                }
                Said::Desired | Said::Heartbeat | Said::Telemetry(_) => {}
            }
        }
        Ok(())
    }

    /// Takes in a reported state.
    fn take(&mut self, reported: &Value) {
        let told = reported.get("dryRun");
        let ours = told.filter(|told| {
            text(told, "/message") == self.message && self.before.as_ref() != Some(&which(told))
        });
        match ours {
            Some(told) if number(told, "/code") == 202 => {
                self.at = Some(text(told, "/description").to_owned());
            }
            Some(told) => self.done = Some(told.clone()),
            None if self.at.is_some() => {
                let other = if told.is_some() { "another dry run" } else { "another desired state" };
                self.given_up = Some(format!("given up, since {other} came"));
            }
            None => {}
        }
    }

    fn code(&self) -> Option<u64> {
        self.done.as_ref().map(|told| number(told, "/code"))
    }

    fn in_words(&self, wait: u64) -> String {
        if let Some(told) = &self.done {
            let (code, words) = (number(told, "/code"), text(told, "/description"));
            return match code {
                200 | 500 => words.to_owned(),
                code => format!("refused ({code}): {words}"),
            };
        }
        match (&self.given_up, &self.at, self.online.as_deref()) {
            (Some(why), ..) => why.clone(),
            _ if wait == 0 => "published".to_owned(),
            (None, Some(at), _) => format!("no answer within {wait} s: {at}"),
            (None, None, Some("online")) => format!("the node says nothing to it within {wait} s"),
            (None, None, _) => "the node is not online, and the broker keeps no dry run for it".to_owned(),
        }
    }
}

/// What tells a dry run from all others.
fn which(told: &Value) -> (String, u64) {
    (text(told, "/message").to_owned(), number(told, "/run"))
}

/// What a dry run says, for people.
fn show(output: &Output, told: &Value) -> anyhow::Result<()> {
    let mut table = Table::new(COLUMNS).whole();
    let functions = told.get("functions").and_then(Value::as_object);
    for (id, function) in functions.into_iter().flatten() {
        table.row(row(id, function));
    }
    if !table.is_empty() {
        output.text("")?;
        table.write(output)?;
    }
    let lines = [
        (number(told, "/moreFunctions") > 0)
            .then(|| format!("and {} functions more", number(told, "/moreFunctions"))),
        changes(told, "routes"),
        changes(told, "middleware"),
        sums(told),
    ];
    if lines.iter().any(Option::is_some) {
        output.text("")?;
    }
    lines.into_iter().flatten().try_for_each(|line| output.text(&line))
}

fn row(id: &str, function: &Value) -> Vec<Span> {
    let version = |key: &str| function.get(key).and_then(Value::as_u64);
    let versions = match (version("fromVersion"), version("toVersion")) {
        (Some(from), Some(to)) => format!("{from} to {to}"),
        (None, Some(only)) | (Some(only), None) => only.to_string(),
        (None, None) => String::new(),
    };
    let amount = |key: &str| match function.get(key).and_then(Value::as_u64) {
        Some(amount) => bytes(amount),
        None if text(function, "/action") == "remove" => String::new(),
        None => "?".to_owned(),
    };
    let mut remarks = Vec::new();
    let error = text(function, "/error");
    if !error.is_empty() {
        remarks.push(error.to_owned());
    }
    for (key, words) in [("/notLooked", "not looked at"), ("/newPermissions", "new permissions")] {
        if !text(function, key).is_empty() {
            remarks.push(format!("{words}: {}", text(function, key)));
        }
    }
    if function.get("awaitsApproval") == Some(&Value::Bool(true)) {
        remarks.push("would wait for approval".to_owned());
    }
    let style = match (error.is_empty(), remarks.is_empty()) {
        (false, _) => Style::Bad,
        (true, false) => Style::Warn,
        (true, true) => Style::Plain,
    };
    vec![
        id.into(),
        text(function, "/action").into(),
        versions.into(),
        amount("downloadBytes").into(),
        amount("diskBytes").into(),
        span(style, remarks.join("; ")),
    ]
}

/// What would befall routes or middleware, where anything would.
fn changes(told: &Value, key: &str) -> Option<String> {
    let of = told.get(key)?;
    let mut words = Vec::new();
    for what in ["added", "changed", "removed"] {
        let ids: Vec<&str> = list(of, &format!("/{what}")).iter().filter_map(Value::as_str).collect();
        if !ids.is_empty() {
            words.push(format!("{what} {}", ids.join(", ")));
        }
    }
    if number(of, "/more") > 0 {
        words.push(format!("and {} more", number(of, "/more")));
    }
    (!words.is_empty()).then(|| format!("{key}: {}", words.join("; ")))
}

fn sums(told: &Value) -> Option<String> {
    told.get("diskBytes")?;
    let amount = |key: &str| told.get(key).and_then(Value::as_u64).map_or("?".to_owned(), bytes);
    Some(format!(
        "{} to download; {} of disk, {} free; {} of memory at most, {} now, {} free",
        amount("downloadBytes"),
        amount("diskBytes"),
        amount("diskFreeBytes"),
        amount("memoryBytes"),
        amount("memoryNowBytes"),
        amount("memoryAvailableBytes")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(run: u64, code: u64) -> Value {
        let message = Sha256::from_bytes(Hasher::digest(b"ours").into()).to_string();
        json!({ "dryRun": { "message": message, "run": run, "code": code, "description": "words" } })
    }

    fn answer(before: &Value) -> Answer {
        let kept = Retained { reported: Some(before.to_string().into_bytes()), ..Retained::default() };
        Answer::to(b"ours", &kept)
    }

    #[test]
    fn only_the_answer_to_this_message_counts() {
        let mut answer = answer(&reported(3, 200));
        answer.take(&reported(3, 200));
        assert_eq!(answer.code(), None, "it was told before");
        answer.take(&json!({ "dryRun": { "message": "another", "run": 4, "code": 200 } }));
        assert_eq!((answer.code(), &answer.given_up), (None, &None));
        answer.take(&reported(5, 202));
        assert_eq!((answer.code(), answer.at.as_deref()), (None, Some("words")));
        answer.take(&reported(5, 500));
        assert_eq!(answer.code(), Some(500));
    }

    #[test]
    fn what_comes_between_ends_the_wait() {
        for (report, why) in [
            (json!({}), "given up, since another desired state came"),
            (json!({ "dryRun": { "message": "another", "run": 2, "code": 202 } }), "another dry run"),
        ] {
            let mut answer = answer(&Value::Null);
            answer.take(&report);
            assert_eq!(answer.given_up, None, "it has not begun");
            answer.take(&reported(1, 202));
            answer.take(&report);
            assert!(answer.in_words(9).contains(why), "{}", answer.in_words(9));
        }
    }

    #[test]
    fn a_row_says_what_matters_of_a_function() {
        let function = json!({ "action": "update", "fromVersion": 1, "toVersion": 2, "downloadBytes": 2048,
                               "newPermissions": "sends telemetry", "awaitsApproval": true, "error": "no" });
        let cells: Vec<String> = row("f", &function).into_iter().map(|span| span.text).collect();
        let remarks = "no; new permissions: sends telemetry; would wait for approval";
        assert_eq!(cells, ["f", "update", "1 to 2", "2.0 KB", "?", remarks]);
        let told = json!({ "routes": { "added": ["a", "b"], "more": 3 }, "middleware": {} });
        assert_eq!(changes(&told, "routes").as_deref(), Some("routes: added a, b; and 3 more"));
        assert_eq!(changes(&told, "middleware"), None);
    }
}
